"""What the execution-engine tells Prometheus of account, positions and the quality of its fills."""

from dataclasses import dataclass, field

from holdfast import metrics
from holdfast._native import Decision, Position, Side, is_protective
from holdfast.execution.gate import Gate
from holdfast.execution.ledger import Ledger
from holdfast.venues.alpaca.order_messages import OrderUpdate
from holdfast.venues.alpaca.orders import VenueFill

E9 = 1_000_000_000
REFERENCES_MAX = 10_000
ENDED_EVENTS = frozenset({"fill", "canceled", "expired", "rejected", "done_for_day"})


@dataclass(slots=True)
class Figures:
    """Remembers the price that each order was decided at, the newest `REFERENCES_MAX`; the rest is read when shown."""

    _reference_e9: dict[str, int] = field(default_factory=dict)
    _shown: frozenset[str] = frozenset()

    def decided(self, decision: Decision) -> None:
        """Remember what a fill of this order is compared with."""
        if decision.client_order_id and decision.reference_price_e9 > 0:
            self._reference_e9[decision.client_order_id] = decision.reference_price_e9
            if len(self._reference_e9) > REFERENCES_MAX:
                del self._reference_e9[next(iter(self._reference_e9))]

    def updated(self, update: OrderUpdate) -> None:
        """Count the end of an order of ours; a protective stop is meant to end without a fill."""
        is_wished = update.order.is_own and not is_protective(update.order.client_order_id)
        if is_wished and update.event in ENDED_EVENTS:
            metrics.ORDERS_ENDED.labels(how=update.event).inc()

    def filled(self, client_order_id: str, fill: VenueFill) -> None:
        """Compare a fill with the price that its order was decided at."""
        reference_e9 = self._reference_e9.get(client_order_id, 0)
        if reference_e9:
            worse_bps = slippage_bps(fill.side, price_e9=fill.price_e9, reference_price_e9=reference_e9)
            # The sum of a histogram may only rise.
            metrics.SLIPPAGE_BPS.observe(max(worse_bps, 0.0))

    def show(self, ledger: Ledger, gate: Gate) -> None:
        """Set every gauge."""
        metrics.KILL_LATCH_SET.set(gate.latch.is_set or not gate.latch.is_linked)
        metrics.VENUE_OPEN.set(gate.is_venue_open)
        open_orders = ledger.orders.open_orders()
        metrics.OPEN_ORDERS.set(len(open_orders))
        metrics.EXTERNAL_ORDERS.set(sum(order.is_external for order in open_orders))
        metrics.PROFIT.labels(kind="realized").set(ledger.positions.realized_pnl_e9 / E9)
        self._show_positions([position for position in ledger.positions.positions() if position.quantity_e9])
        account = ledger.account
        if account is not None:
            metrics.EQUITY.set(account.equity_e9 / E9)
            metrics.LAST_EQUITY.set(account.last_equity_e9 / E9)
            metrics.CASH.set(account.cash_e9 / E9)
            metrics.BUYING_POWER.set(account.buying_power_e9 / E9)
            metrics.ACCOUNT_BLOCKED.set(account.is_trading_blocked)

    def _show_positions(self, held: list[Position]) -> None:
        metrics.OPEN_POSITIONS.set(len(held))
        for position in held:
            metrics.POSITION_QUANTITY.labels(symbol=position.symbol).set(position.quantity_e9 / E9)
            metrics.POSITION_COST.labels(symbol=position.symbol).set(
                position.quantity_e9 * position.average_price_e9 / E9 / E9
            )
        shown = frozenset(position.symbol for position in held)
        for symbol in self._shown - shown:
            metrics.POSITION_QUANTITY.remove(symbol)
            metrics.POSITION_COST.remove(symbol)
        self._shown = shown


def slippage_bps(side: Side, *, price_e9: int, reference_price_e9: int) -> float:
    """Return how much worse than the reference an execution was; negative where it was better."""
    worse_e9 = reference_price_e9 - price_e9 if side is Side.SELL else price_e9 - reference_price_e9
    return worse_e9 * 10_000 / reference_price_e9
