"""The boundary of every rule of the risk gate, as one table: how to bring about a value, and which limit holds it.

`make boundaries` prints, for each rule, what became of limit - 1, limit, limit + 1, ten times the limit, 0
and -1; the test of the same name asserts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfast._native import (
    AccountSnapshot,
    AverageVolume,
    Calendar,
    Decision,
    Fill,
    OrderClass,
    OrderEvent,
    OrderEventKind,
    OrderIntent,
    OrderStatus,
    OrderType,
    Quote,
    Reason,
    RiskGate,
    RiskLimits,
    Shortability,
    Side,
    TimeInForce,
    Verdict,
)
from holdfast._native import IntentAction as Action

E9 = 1_000_000_000
NOW_NS = 1_720_013_400 * E9
DAY_NS = 86_400 * E9
SHARES_MAX = 9 * 10**9 * E9
# The least window in which the same request repeats itself.
STEP_NS = RiskLimits.loosest()["duplicate_window_ns"]
SYMBOL = "BTC/USD"
SHARE = "IBM"
PERCENT = E9 // 100
SYMBOLS = [SYMBOL, *(f"S{index:02}/USD" for index in range(60)), SHARE]
EQUITY_E9 = 1_000_000 * E9


class Denied(Exception):
    """An order on the way to the value was denied: the rule, its limit and the value."""

    def __init__(self, outcome: tuple[Reason, int, int]) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(slots=True)
class Bench:
    """A reconciled gate under loose limits but one, with a quote of every symbol at one price."""

    limits: dict[str, int]
    price_e9: int = 100 * E9
    now_ns: int = NOW_NS
    session_ns: int = NOW_NS
    equity_e9: int = EQUITY_E9
    margin: tuple[int, int, int, int, int] = (0, 1, 1, 1, 0)
    gate: RiskGate = field(init=False)
    _orders: int = 0

    def __post_init__(self) -> None:
        loose = RiskLimits.loosest() | {"protection_stop_e9": PERCENT // 100}
        limits = RiskLimits(is_short_allowed=True, is_resumed_by_operator=True, **(loose | self.limits))
        sessions = [(NOW_NS + day * DAY_NS - E9, NOW_NS + day * DAY_NS + DAY_NS // 4) for day in (0, 1, 7)]
        self.gate = RiskGate(limits, SYMBOLS, Calendar(sessions, [], [self.margin]))
        self.account()
        self.gate.set_reconciled(is_reconciled=True)
        for symbol in SYMBOLS:
            self.quote(symbol=symbol)
            self.average_volume(SHARES_MAX, symbol=symbol)
        self.advance()

    def account(self, *, equity_e9: int = 0, last_e9: int = 0, buying_power_e9: int = 10**9 * E9) -> None:
        """Report the account."""
        snapshot = AccountSnapshot(
            equity_e9=equity_e9 or self.equity_e9,
            last_equity_e9=last_e9,
            buying_power_e9=buying_power_e9,
            is_shorting_enabled=1,
        )
        self.gate.apply_execution(snapshot, self.now_ns)

    def quote(self, bid_e9: int = 0, ask_e9: int = 0, *, symbol: str = SYMBOL) -> None:
        """Quote a symbol now; without prices 1e-9 USD around the bench's price, so that it is not locked."""
        bid_e9, ask_e9 = bid_e9 or self.price_e9 - 1, ask_e9 or self.price_e9 + 1
        record = Quote(symbol=symbol, bid_price_e9=bid_e9, ask_price_e9=ask_e9)
        self.gate.apply_market(record, self.now_ns)

    def average_volume(self, volume_e9: int, *, symbol: str = SYMBOL) -> None:
        """Report the average volume of a symbol, its newest session a day ago."""
        record = AverageVolume(symbol=symbol, volume_e9=volume_e9, session_count=20, ts_event_ns=self.now_ns - DAY_NS)
        self.gate.apply_market(record, self.now_ns)

    def advance(self) -> None:
        """Let time pass for the gate."""
        self.gate.advance(now_ns=self.now_ns, session_ns=self.session_ns)

    def intent(self, quantity_e9: int = E9, **terms: Any) -> OrderIntent:  # noqa: ANN401
        """Return a limit order at the bench's price."""
        whole: dict[str, Any] = {
            "strategy": "test",
            "symbol": SYMBOL,
            "action": Action.NEW,
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.DAY,
            "quantity_e9": quantity_e9,
            "limit_price_e9": self.price_e9,
        }
        return OrderIntent(**(whole | terms))

    def approve(self, quantity_e9: int = E9, **terms: Any) -> Decision:  # noqa: ANN401
        """Approve an order; the clock goes on so that it repeats nothing."""
        self._orders += 1
        decision = self.gate.judge(
            self.intent(quantity_e9, **terms),
            intent_seq=self._orders,
            client_order_id=f"hf-1-{self._orders:x}",
            now_ns=self.now_ns,
            session_ns=self.session_ns,
        )
        if decision.verdict is not Verdict.APPROVED:
            raise Denied((decision.rule, decision.limit_e9, decision.value_e9))
        self.now_ns += STEP_NS
        return decision

    def fill(self, decision: Decision, price_e9: int = 0) -> None:
        """Fill an order completely."""
        fill = Fill(
            execution_id=f"00000000-0000-0000-0000-{self._orders:012x}",
            client_order_id=decision.client_order_id,
            symbol=decision.symbol,
            strategy="test",
            quantity_e9=decision.quantity_e9,
            price_e9=price_e9 or self.price_e9,
            side=decision.side,
            ts_event_ns=self._orders,
        )
        self.gate.apply_execution(fill, self.now_ns)

    def answer(self, decision: Decision, status: OrderStatus) -> None:
        """Answer an order as the venue does."""
        venue_order_id = f"00000000-0000-0000-0001-{self._orders:012x}" if status is OrderStatus.CANCELED else ""
        event = OrderEvent(
            client_order_id=decision.client_order_id,
            venue_order_id=venue_order_id or "00000000-0000-0000-0000-000000000000",
            symbol=decision.symbol,
            side=decision.side,
            quantity_e9=decision.quantity_e9,
            kind=OrderEventKind.UPDATED,
            status=status,
        )
        self.gate.apply_execution(event, self.now_ns)

    def round_trip(self, result_e9: int) -> None:
        """Buy and sell one, with this profit or loss."""
        self.fill(self.approve())
        self.fill(self.approve(side=Side.SELL, limit_price_e9=self.price_e9 + E9), self.price_e9 + result_e9)

    def broken(self, intent: OrderIntent | None = None) -> tuple[Reason, int, int] | None:
        """Return the rule that an intent breaks now, with limit and value."""
        return self.gate.broken_rule(intent or self.intent(), now_ns=self.now_ns, session_ns=self.session_ns)


Outcome = tuple[Reason, int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """One rule: the limit's name, its value, and what the gate says of a value.

    `is_least` is a limit that denies what is below it; `or_rules` what may be asked before at ten times the limit;
    `is_state` a value that no single order has: 0 and less are rest. `is_shifted`: the value stands at the limit, the
    limit moves as far the other way, since not every value occurs.
    """

    rule: Reason
    limit_name: str
    limit: int
    probe: Callable[[dict[str, int], int], Outcome]
    scale: int = 1
    is_least: bool = False
    is_state: bool = False
    is_shifted: bool = False
    or_rules: tuple[Reason, ...] = ()

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.rule.label} ({self.limit_name})"

    def values(self) -> dict[str, int]:
        """Return the values to try, by what the table calls them."""
        tried = {"limit - 1": self.limit - 1, "limit": self.limit, "limit + 1": self.limit + 1}
        tried["10 x limit"] = 10 * self.limit
        return tried | ({} if self.is_state or self.is_shifted else {"0": 0, "-1": -1})

    def outcome(self, value: int) -> Outcome:
        """Return what the gate says of a value under this limit."""
        if self.is_shifted:
            moved = 2 * self.limit - value if value < 2 * self.limit else self.limit * self.limit // value
            return self._ask({self.limit_name: moved}, value)
        limits = {self.limit_name: self.limit} if self.limit_name in RiskLimits.bounds() else {}
        return self._ask(limits, value)

    def _ask(self, limits: dict[str, int], value: int) -> Outcome:
        try:
            return self.probe(limits, value)
        except Denied as denied:
            return denied.outcome


def _quantity(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits, price_e9=E9)
    return bench.broken(bench.intent(value))


def _average_volume(limits: dict[str, int], value: int) -> Outcome:
    """Of a billion shares one part in a billion is a share."""
    bench = Bench(limits, price_e9=E9)
    bench.average_volume(E9 * E9, symbol=SHARE)
    return bench.broken(bench.intent(value * E9, symbol=SHARE))


def _of_equity(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits, price_e9=E9, equity_e9=1_000 * E9)
    return bench.broken(bench.intent(value * 1_000))


def _initial_margin(limits: dict[str, int], _: int) -> Outcome:
    """Positions of 500 USD need twice that, so that no limit on shares of the equity comes before; the equity moves."""
    bench = Bench({}, price_e9=E9, equity_e9=limits["equity"], margin=(0, 2 * E9, 1, 1, 0))
    return bench.broken(bench.intent(500 * E9))


def _least_equity(_: dict[str, int], value: int) -> Outcome:
    bench = Bench({}, equity_e9=25_000 * E9, margin=(0, 1, 1, 1, value))
    return bench.broken()


def _buying_power(_: dict[str, int], value: int) -> Outcome:
    bench = Bench({}, price_e9=E9)
    bench.account(buying_power_e9=1_000 * E9)
    return bench.broken(bench.intent(value))


def _price(limits: dict[str, int], value: int) -> Outcome:
    return (bench := Bench(limits)).broken(bench.intent(limit_price_e9=value))


def _collar(limits: dict[str, int], value: int) -> Outcome:
    return (bench := Bench(limits)).broken(bench.intent(limit_price_e9=100 * E9 + 100 * value))


def _quote_age(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    bench.now_ns += value
    return bench.broken()


def _locked(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    bench.quote(bench.price_e9, bench.price_e9)
    bench.now_ns += value
    return bench.broken()


def _spread(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    bench.quote(100 * E9 - 50 * value, 100 * E9 + 50 * value)
    return bench.broken()


def _move(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    bench.price_e9 += 100 * value
    bench.quote()
    return bench.broken()


def _jump_hold(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits | {"quote_jump_max_e9": PERCENT})
    bench.price_e9 += 2 * E9
    bench.quote()
    bench.now_ns += value
    return bench.broken()


def _open_positions(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    for symbol in SYMBOLS[1:value]:
        bench.approve(symbol=symbol)
    return bench.broken()


def _burst(limits: dict[str, int], value: int) -> Outcome:
    return _open_positions(limits | {"order_rate_per_s_max": 1}, value)


def _repeated(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    for quantity in range(1, value):
        bench.approve(quantity * E9)
    return bench.broken(bench.intent(value * E9))


def _identical(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    for _ in range(1, value):
        bench.approve()
    return bench.broken()


def _liquidations(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    bench.fill(bench.approve())
    for _ in range(value):
        bench.answer(bench.approve(side=Side.SELL, limit_price_e9=101 * E9), OrderStatus.CANCELED)
    return bench.broken(bench.intent(2 * E9))


def _duplicate(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    bench.approve()
    bench.now_ns += value - STEP_NS
    return bench.broken()


def _loss(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits | {"drawdown_max_e9": E9 // 2})
    bench.account(equity_e9=EQUITY_E9 - value, last_e9=EQUITY_E9)
    return bench.broken()


def _loss_of_days(limits: dict[str, int], value: int, *, days: int = 1) -> Outcome:
    """Lose in two days, so that no day loses more than its own limit; a week apart, no week either."""
    limit = next(iter(limits.values()))
    bench = Bench({"daily_loss_max_e9": limit, "weekly_loss_max_e9": limit} | limits)
    bench.round_trip(-(value // 2))
    bench.session_ns += days * DAY_NS
    bench.advance()
    bench.round_trip(-(value - value // 2))
    return bench.broken(bench.intent(2 * E9))


def _drawdown(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    bench.account(equity_e9=EQUITY_E9 - value * (EQUITY_E9 // E9))
    return bench.broken()


def _losses_in_a_row(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    for _ in range(1, value):
        bench.round_trip(-1)
    return bench.broken(bench.intent(2 * E9))


def _trades(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    for symbol in SYMBOLS[1:value]:
        bench.fill(bench.approve(symbol=symbol))
    return bench.broken()


def _rejects(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits | {"reject_sample_min": 100})
    for symbol in SYMBOLS[1:value]:
        bench.answer(bench.approve(symbol=symbol), OrderStatus.REJECTED)
    return bench.broken()


def _reject_rate(limits: dict[str, int], _: int) -> Outcome:
    """Three of ten answers were rejections: shares in between do not occur, so the limit moves."""
    bench = Bench(limits | {"reject_sample_min": 10})
    for place, symbol in enumerate(SYMBOLS[1:11]):
        bench.answer(bench.approve(symbol=symbol), OrderStatus.REJECTED if place < 3 else OrderStatus.CANCELED)
    return bench.broken()


def _trade_loss(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    return bench.broken(bench.intent(stop_loss_price_e9=100 * E9 - value, order_class=OrderClass.OTO))


def _stop_distance(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits | ({"stop_loss_default_e9": PERCENT}))
    return bench.broken(bench.intent(stop_loss_price_e9=100 * E9 - 100 * value, order_class=OrderClass.OTO))


def _declared(limits: dict[str, int], value: int) -> Outcome:
    bench = Bench(limits)
    return bench.broken(bench.intent(notional_e9=100 * E9 + 100 * value))


def _close(_: dict[str, int], value: int) -> Outcome:
    bench = Bench({})
    bench.fill(bench.approve(4 * E9))
    return bench.broken(bench.intent(value, side=Side.SELL, limit_price_e9=101 * E9))


def _close_beside_an_open_order(_: dict[str, int], value: int) -> Outcome:
    bench = Bench({})
    bench.fill(bench.approve(40 * E9))
    bench.approve(36 * E9, side=Side.SELL, limit_price_e9=101 * E9)
    return bench.broken(bench.intent(value, side=Side.SELL, limit_price_e9=101 * E9))


def _borrow_age(_: dict[str, int], value: int) -> Outcome:
    """The venue allowed a short so long ago."""
    bench = Bench({})
    bench.gate.apply_execution(Shortability(symbol=SHARE, is_shortable=1), bench.now_ns)
    bench.now_ns += value
    bench.quote(symbol=SHARE)
    return bench.broken(bench.intent(symbol=SHARE, side=Side.SELL))


R = Reason
BOUNDARIES = (
    Boundary(rule=R.ORDER_QUANTITY, limit_name="order_quantity_max_e9", limit=10 * E9, probe=_quantity),
    Boundary(
        rule=R.AVERAGE_VOLUME,
        limit_name="average_volume_share_max_e9",
        limit=1_000,
        probe=_average_volume,
        scale=E9,
    ),
    Boundary(rule=R.SHORT_DISALLOWED, limit_name="age of the venue's word", limit=DAY_NS, probe=_borrow_age),
    Boundary(rule=R.ORDER_NOTIONAL, limit_name="order_notional_max_e9", limit=1_000 * E9, probe=_quantity),
    Boundary(rule=R.PRICE_RANGE, limit_name="price_max_e9", limit=100 * E9, probe=_price, or_rules=(R.PRICE_COLLAR,)),
    Boundary(
        rule=R.PRICE_RANGE,
        limit_name="price_min_e9",
        limit=100 * E9,
        probe=_price,
        is_least=True,
        or_rules=(R.INTENT_INVALID, R.PRICE_COLLAR),
    ),
    Boundary(rule=R.PRICE_COLLAR, limit_name="price_collar_e9", limit=3 * PERCENT, probe=_collar),
    Boundary(rule=R.QUOTE_STALE, limit_name="quote_age_max_ns", limit=E9, probe=_quote_age),
    Boundary(rule=R.QUOTE_LOCKED, limit_name="quote_locked_max_ns", limit=E9, probe=_locked),
    Boundary(rule=R.QUOTE_WIDE, limit_name="quote_spread_max_e9", limit=5 * PERCENT, probe=_spread),
    Boundary(rule=R.QUOTE_JUMPED, limit_name="quote_jump_max_e9", limit=5 * PERCENT, probe=_move),
    Boundary(rule=R.QUOTE_JUMPED, limit_name="quote_jump_hold_ns", limit=E9, probe=_jump_hold, is_least=True),
    Boundary(rule=R.PRICE_DRIFT, limit_name="price_drift_max_e9", limit=2 * PERCENT, probe=_move),
    Boundary(rule=R.POSITION_QUANTITY, limit_name="position_quantity_max_e9", limit=100 * E9, probe=_quantity),
    Boundary(rule=R.POSITION_NOTIONAL, limit_name="position_notional_max_e9", limit=100 * E9, probe=_quantity),
    Boundary(rule=R.GROSS_EXPOSURE, limit_name="gross_exposure_max_e9", limit=100 * E9, probe=_quantity),
    Boundary(rule=R.NET_EXPOSURE, limit_name="net_exposure_max_e9", limit=100 * E9, probe=_quantity),
    Boundary(rule=R.CONCENTRATION, limit_name="concentration_max_e9", limit=25 * PERCENT, probe=_of_equity),
    Boundary(
        rule=R.LEVERAGE, limit_name="leverage_max_e9", limit=E9 // 2, probe=_of_equity, or_rules=(R.CONCENTRATION,)
    ),
    Boundary(
        rule=R.MARGIN_REGIME,
        limit_name="equity",
        limit=1_000 * E9,
        probe=_initial_margin,
        is_shifted=True,
        or_rules=(R.CONCENTRATION,),
    ),
    Boundary(rule=R.MARGIN_REGIME, limit_name="least equity", limit=25_000 * E9, probe=_least_equity, is_state=True),
    Boundary(rule=R.BUYING_POWER, limit_name="of the account", limit=1_000 * E9, probe=_buying_power),
    Boundary(rule=R.DAILY_NOTIONAL, limit_name="daily_notional_max_e9", limit=1_000 * E9, probe=_quantity),
    Boundary(rule=R.TRADE_LOSS, limit_name="trade_loss_max_e9", limit=5 * E9, probe=_trade_loss),
    Boundary(rule=R.INTENT_INVALID, limit_name="stop_loss_max_e9", limit=5 * PERCENT, probe=_stop_distance),
    Boundary(
        rule=R.NOTIONAL_MISMATCH, limit_name="notional_mismatch_max_e9", limit=PERCENT, probe=_declared, is_state=True
    ),
    Boundary(
        rule=R.OPEN_POSITIONS, limit_name="open_positions_max", limit=3, probe=_open_positions, scale=E9, is_state=True
    ),
    Boundary(rule=R.OPEN_ORDERS, limit_name="open_orders_max", limit=3, probe=_open_positions, scale=E9, is_state=True),
    Boundary(rule=R.ORDER_RATE, limit_name="order_burst_max", limit=3, probe=_burst, scale=E9, is_state=True),
    Boundary(rule=R.DUPLICATE_INTENT, limit_name="duplicate_window_ns", limit=E9, probe=_duplicate, is_least=True),
    Boundary(
        rule=R.REPEAT_EXECUTION, limit_name="repeat_entries_max", limit=3, probe=_repeated, scale=E9, is_state=True
    ),
    Boundary(
        rule=R.REPEAT_IDENTICAL, limit_name="repeat_identical_max", limit=3, probe=_identical, scale=E9, is_state=True
    ),
    Boundary(
        rule=R.STRATEGY_DISABLED,
        limit_name="repeat_liquidations_max",
        limit=3,
        probe=_liquidations,
        scale=E9,
        is_state=True,
    ),
    Boundary(rule=R.DAILY_LOSS, limit_name="daily_loss_max_e9", limit=1_000 * E9, probe=_loss, is_state=True),
    Boundary(
        rule=R.DAILY_LOSS,
        limit_name="daily_loss_share_max_e9",
        limit=PERCENT,
        probe=lambda limits, value: _loss(limits, value * (EQUITY_E9 // E9)),
        scale=EQUITY_E9 // E9,
        is_state=True,
    ),
    Boundary(
        rule=R.DAILY_LOSS_KILL,
        limit_name="daily_loss_kill_max_e9",
        limit=2 * PERCENT,
        probe=lambda limits, value: _loss(limits | {"daily_loss_share_max_e9": PERCENT}, value * (EQUITY_E9 // E9)),
        scale=EQUITY_E9 // E9,
        is_state=True,
        or_rules=(R.DAILY_LOSS,),
    ),
    Boundary(
        rule=R.WEEKLY_LOSS,
        limit_name="weekly_loss_max_e9",
        limit=10 * E9,
        probe=_loss_of_days,
        is_state=True,
        or_rules=(R.DAILY_LOSS,),
    ),
    Boundary(
        rule=R.MONTHLY_LOSS,
        limit_name="monthly_loss_max_e9",
        limit=10 * E9,
        probe=lambda limits, value: _loss_of_days(limits, value, days=7),
        is_state=True,
        or_rules=(R.DAILY_LOSS, R.WEEKLY_LOSS),
    ),
    Boundary(rule=R.DRAWDOWN, limit_name="drawdown_max_e9", limit=5 * PERCENT, probe=_drawdown, is_state=True),
    Boundary(
        rule=R.CONSECUTIVE_LOSSES,
        limit_name="consecutive_losses_max",
        limit=3,
        probe=_losses_in_a_row,
        scale=E9,
        is_state=True,
    ),
    Boundary(rule=R.TRADES_PER_DAY, limit_name="trades_per_day_max", limit=3, probe=_trades, scale=E9, is_state=True),
    Boundary(
        rule=R.REJECTS_IN_A_ROW, limit_name="rejects_in_a_row_max", limit=3, probe=_rejects, scale=E9, is_state=True
    ),
    Boundary(
        rule=R.REJECT_RATE,
        limit_name="reject_rate_max_e9",
        limit=30 * PERCENT,
        probe=_reject_rate,
        is_shifted=True,
    ),
    Boundary(rule=R.FLIP_THROUGH_ZERO, limit_name="of the position", limit=4 * E9, probe=_close),
    Boundary(
        rule=R.QUANTITY_AVAILABLE,
        limit_name="of the position less open orders",
        limit=4 * E9,
        probe=_close_beside_an_open_order,
    ),
)


def cell(outcome: Outcome) -> str:
    """Return what the table says of an outcome."""
    return "passes" if outcome is None else f"{outcome[0].label} {outcome[1]} < {outcome[2]}"


def main() -> None:
    """Print the table."""
    for boundary in BOUNDARIES:
        print(f"{boundary.name}: limit {boundary.limit}")  # noqa: T201 - the table is the command's answer
        for word, value in boundary.values().items():
            print(f"  {word:>10} {value:>22}  {cell(boundary.outcome(value))}")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
