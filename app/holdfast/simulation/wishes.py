"""Operators who change risk limits while trading goes on: one wishes, another, or in vain the same one, approves."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from holdfast import clock
from holdfast._native import LimitChange, RiskLimits
from holdfast.gateway.control import Control
from holdfast.gateway.limit_view import LimitView, to_e9
from holdfast.gateway.limits import Limits
from holdfast.gateway.refusal import Refusal
from holdfast.settings.risk_limits import E9, limit_keys

# One run in so many has wishes.
RUNS = 4
COUNT_MAX = 4
# What the strategies of the simulation run into.
KEYS = ("order.quantity_max", "order.notional_max_usd", "position.quantity_max", "activity.open_orders_max")
PERCENTS = (40, 70, 120, 150)
FIRST_S = 0.5
# Lets something happen so many seconds later.
Later = Callable[[float, Callable[[], None]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWish:
    """What one person wants a limit to be, in percent of what is configured, and what becomes of it.

    `is_alone`: nobody else approves, the same person tries to. `is_forged`: it is written as if it had been approved.
    """

    at_s: float
    key: str
    percent: int
    duration_s: int
    approved_after_s: float
    is_alone: bool = False
    is_forged: bool = False


def draw_wishes(seed: int, trading_s: float) -> tuple[LimitWish, ...]:
    """Draw a seed's wishes from dice of their own: no other part of its plan depends on them."""
    draw = random.Random(f"{seed} limits")  # noqa: S311 - repeatable on purpose
    count = 0 if draw.randrange(RUNS) else draw.randint(1, COUNT_MAX)
    wishes = [
        LimitWish(
            at_s=draw.uniform(FIRST_S, trading_s),
            key=draw.choice(KEYS),
            percent=draw.choice(PERCENTS),
            duration_s=draw.randint(1, 5),
            approved_after_s=draw.uniform(0.0, 1.0),
            is_alone=draw.randrange(4) == 0,
            is_forged=draw.randrange(6) == 0,
        )
        for _ in range(count)
    ]
    return tuple(sorted(wishes, key=lambda wish: wish.at_s))


class Operators:
    """Two people before the gateway's own code; `told` counts what became of their wishes."""

    def __init__(
        self, control: Control, configured: RiskLimits, later: Callable[[float, Callable[[], None]], None]
    ) -> None:
        self._limits = Limits(LimitView(configured), control)
        self._configured = configured.as_dict()
        self._control = control
        self._later = later
        self.told: dict[str, int] = {}

    def wish(self, wish: LimitWish) -> None:
        """Let one person ask, and have the answer given later if it takes a second one."""
        native = limit_keys()[wish.key]
        value = self._configured[native.name] * wish.percent // 100
        duration_s = wish.duration_s if wish.percent > 100 else 0
        if wish.is_forged:
            self._forge(native.name, value, duration_s)
            return
        try:
            seq = self._limits.propose("ann", "drill", wish.key, Decimal(value) / native.scale, duration_s)
        except Refusal as refusal:
            self._tell(f"refused {refusal.code}")
            return
        self._tell("proposed" if seq else "tightened")
        if seq:
            self._later(wish.approved_after_s, lambda: self._approve(seq, "ann" if wish.is_alone else "bob"))

    def _approve(self, seq: int, approver: str) -> None:
        try:
            self._limits.approve(seq, approver, "drill")
        except Refusal as refusal:
            self._tell(f"refused {refusal.code}")
            return
        self._tell("approved")

    def _forge(self, name: str, value: int, duration_s: int) -> None:
        """Write what no gateway writes: a change whose second person is the first one."""
        now_ns = clock.now_ns()
        change = LimitChange(
            operator="mallory",
            approver="mallory",
            reason="drill",
            key=name,
            new_e9=to_e9(name, value),
            expires_ns=now_ns + duration_s * E9 if duration_s else 0,
            ts_event_ns=now_ns,
        )
        self._control.append(change, now_ns)
        self._limits.view.apply(change, seq=0, ts_ns=now_ns, cause_seq=0)
        self._tell("forged")

    def _tell(self, word: str) -> None:
        name = f"limit {word}"
        self.told[name] = self.told.get(name, 0) + 1
