"""What the journals say happened, read from their first record."""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast._native import (
    AccountSnapshot,
    Bar,
    Channel,
    Decision,
    Fill,
    Gap,
    IntentAction,
    Order,
    OrderEvent,
    OrderEventKind,
    OrderIntent,
    OrderStatus,
    OrderTable,
    Quote,
    Signal,
    Trade,
    Verdict,
)

if TYPE_CHECKING:
    from holdfast._native import Record

UNPROVEN = frozenset({OrderStatus.SUBMITTING, OrderStatus.UNKNOWN})
MOVING = UNPROVEN | {OrderStatus.PENDING_NEW, OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE}


@dataclass(slots=True)
class Account:
    """What the journals say happened; amounts scaled by 1e-9."""

    market_data: Counter[str] = field(default_factory=lambda: Counter(quotes=0, trades=0, bars=0, gaps=0))
    market_event_seq: int = 0
    gaps_open: dict[tuple[str, str], int] = field(default_factory=dict)
    signals: int = 0
    intents: int = 0
    approved: dict[str, Decision] = field(default_factory=dict)
    approved_ids: list[str] = field(default_factory=list)
    denied: Counter[str] = field(default_factory=Counter)
    orders: OrderTable = field(default_factory=OrderTable)
    submissions: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    fills: dict[str, Fill] = field(default_factory=dict)
    fills_repeated: list[str] = field(default_factory=list)
    first_cash_e9: int | None = None
    tick_to_wire_ns: list[int] = field(default_factory=list)
    hop_ns: list[int] = field(default_factory=list)

    @property
    def unknown(self) -> int:
        """Return how many orders have no proven outcome."""
        return sum(map(self.is_unproven, self.orders.orders()))

    @staticmethod
    def is_unproven(order: Order) -> bool:
        """Say whether nothing proves what became of an order that left."""
        return order.is_unknown or order.status in UNPROVEN

    @property
    def in_flight(self) -> int:
        """Return how many approvals have not reached the venue or may change by themselves."""
        return in_flight(self.approved.keys(), self.orders)

    def positions_e9(self) -> dict[str, int]:
        """Return the signed quantity of each symbol with a position, summed over the fills."""
        positions: Counter[str] = Counter()
        for fill in self.fills.values():
            positions[fill.symbol] += fill.quantity_e9 if fill.side.label == "buy" else -fill.quantity_e9
        return {symbol: quantity for symbol, quantity in positions.items() if quantity}

    def cash_e9(self) -> int:
        """Return the first cash reported by the venue plus the flows of every fill."""
        flows = 0
        for fill in self.fills.values():
            amount = fill.quantity_e9 * fill.price_e9 // 10**9
            flows += (-amount if fill.side.label == "buy" else amount) - fill.fee_e9
        return (self.first_cash_e9 or 0) + flows


def in_flight(approved: AbstractSet[str], orders: OrderTable) -> int:
    """Return how many of the approved orders have not reached the venue, or may change by themselves."""
    known = orders.orders()
    return sum(order.status in MOVING for order in known) + len(approved - {order.client_order_id for order in known})


def is_order_approved(decision: Decision) -> bool:
    """Whether an order, new or replacing another, was approved."""
    return decision.verdict is Verdict.APPROVED and decision.action is not IntentAction.CANCEL


def account_of(journals: "Mapping[str, Iterable[Record]]", *, skips_market_data: bool = False) -> Account:
    """Read journals by name; the market's is long and not always wanted."""
    account = Account()
    if not skips_market_data:
        _read_market(account, journals["market_data"])
    intents_ns: dict[int, int] = {}
    for record in journals["signals"]:
        if isinstance(record, Signal):
            account.signals += 1
        elif isinstance(record, OrderIntent):
            account.intents += 1
            intents_ns[record.seq] = record.ts_ns
    for record in journals["orders"]:
        if isinstance(record, Decision):
            if is_order_approved(record):
                account.approved[record.client_order_id] = record
                account.approved_ids.append(record.client_order_id)
            elif record.verdict is Verdict.DENIED:
                account.denied[record.rule.label] += 1
            if record.intent_seq in intents_ns:
                account.hop_ns.append(record.ts_ns - intents_ns[record.intent_seq])
    for record in journals["executions"]:
        _read_execution(account, record)
    return account


def _read_market(account: Account, records: "Iterable[Record]") -> None:
    names = {Quote: "quotes", Trade: "trades", Bar: "bars"}
    for record in records:
        if isinstance(record, Gap):
            _read_gap(account, record)
        elif (name := names.get(type(record))) is not None:
            account.market_data[name] += 1
            # What history brings has no origin: it is no event after the gap that it fills.
            if record.origin_ns:
                account.market_event_seq = record.seq


def _read_gap(account: Account, gap: Gap) -> None:
    """Count a gap, or end it: the repair of all channels of a symbol ends what an earlier process left open.

    One that is told again reaches on from there.
    """
    if not gap.is_repaired:
        account.market_data["gaps"] += 1
        account.gaps_open[gap.symbol, gap.channel.label] = gap.seq
    elif gap.channel is Channel.ALL:
        account.gaps_open = {key: seq for key, seq in account.gaps_open.items() if key[0] != gap.symbol}
    else:
        account.gaps_open.pop((gap.symbol, gap.channel.label), None)


def _read_execution(account: Account, record: "Record") -> None:
    if isinstance(record, AccountSnapshot):
        if account.first_cash_e9 is None:
            account.first_cash_e9 = record.cash_e9
    elif isinstance(record, Fill):
        if record.execution_id in account.fills:
            account.fills_repeated.append(record.execution_id)
        account.fills[record.execution_id] = record
        account.orders.apply(record)
    elif isinstance(record, OrderEvent):
        account.orders.apply(record)
        if record.kind is OrderEventKind.WITHHELD:
            account.withheld[record.rule.label] += 1
        elif record.kind is OrderEventKind.SUBMITTING:
            account.submissions[record.client_order_id] += 1
            if record.origin_ns:
                account.tick_to_wire_ns.append(record.ts_ns - record.origin_ns)
