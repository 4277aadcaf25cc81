"""Operators of a run who change risk limits through the API: one wishes, another, or in vain the same one, approves."""

import asyncio
import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from holdfast.errors import BadInput, OperatingError
from holdfast.gateway.client import ask
from holdfast.gateway.tokens import Role, TokenFile, tokens_file
from holdfast.settings import Settings
from holdfast.settings.risk_limits import limit_keys, load_risk_limits
from holdfast.simulation.wishes import LimitWish

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NAMES = ("ann", "bob")


@dataclass(slots=True)
class Operators:
    """Two people with tokens; `told` counts what became of their wishes. Made before the gateway starts."""

    settings: Settings
    told: Counter[str]
    _tokens: dict[str, str] = field(default_factory=dict)
    _configured: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give them tokens."""
        file = TokenFile(tokens_file(self.settings))
        self._tokens = {name: file.create(name, Role.ADMIN, EPOCH) for name in NAMES}
        self._configured = load_risk_limits(self.settings).limits.as_dict()

    async def wish(self, wish: LimitWish) -> None:
        """Ask at the wish's time, and have the answer given if it takes a second person."""
        await asyncio.sleep(wish.at_s)
        native = limit_keys()[wish.key]
        value = Decimal(self._configured[native.name] * wish.percent // 100) / native.scale
        body: dict[str, object] = {"key": wish.key, "value": f"{value:f}", "reason": "drill"}
        body["duration_s"] = wish.duration_s if wish.percent > 100 else 0
        answer = await self._ask("ann", "proposals", body)
        if answer is None:
            return
        self.told["limit proposed" if answer["proposal"] else "limit tightened"] += 1
        if answer["proposal"]:
            await asyncio.sleep(wish.approved_after_s)
            approver = NAMES[0] if wish.is_alone or wish.is_forged else NAMES[1]
            if await self._ask(approver, f"proposals/{answer['proposal']}/approve", {"reason": "drill"}) is not None:
                self.told["limit approved"] += 1

    async def _ask(self, name: str, path: str, body: dict[str, object]) -> dict[str, Any] | None:
        try:
            return await asyncio.to_thread(ask, self.settings, self._tokens[name], f"limits/{path}", body)
        except BadInput:
            self.told["limit refused"] += 1
        except OperatingError:
            # The gateway may be frozen or dead in this moment.
            self.told["limit unanswered"] += 1
        return None
