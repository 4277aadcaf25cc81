"""What the execution-engine remembers: the `executions` journal it alone writes, and the state read back from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast._native import (
    AccountSnapshot,
    Consumed,
    Decision,
    Fill,
    JournalFull,
    JournalName,
    JournalReader,
    JournalWriter,
    Order,
    OrderClass,
    OrderEvent,
    OrderEventKind,
    OrderStatus,
    OrderTable,
    PositionBook,
    Reason,
    Reconciled,
    ReconcileScope,
    Side,
)
from holdfast.logs import get_logger
from holdfast.venues.alpaca.orders import VenueFill, VenueOrder

if TYPE_CHECKING:
    from holdfast._native import Record

READ_BATCH = 4096
DETAIL_BYTES = 96
# Steps whose time is the venue's. Our own clock may be ahead of it: what came until then would be taken for known.
VENUE_TIMED = frozenset({OrderEventKind.ADOPTED, OrderEventKind.UPDATED, OrderEventKind.ACCEPTED})

log = get_logger()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an order came from: its decision's number and the market event behind it."""

    decision_seq: int = 0
    quote_seq: int = 0
    origin_ns: int = 0
    strategy: str = ""


@dataclass(slots=True)
class _Executed:
    """Executions of one venue order that are journaled, and what the venue last said it filled."""

    journaled_e9: int = 0
    reported_e9: int = 0


@dataclass(slots=True)
class Ledger:
    """The writer's memory. Everything in it is a consequence of what is journaled.

    Invariant: a record enters the state only after it is journaled; one execution id is journaled once.
    """

    writer: JournalWriter
    sole_strategies: Mapping[str, str] = field(default_factory=dict)
    """By symbol, the strategy that alone trades it: whose an order of ours was that this journal does not know."""
    orders: OrderTable = field(default_factory=OrderTable)
    positions: PositionBook = field(default_factory=PositionBook)
    on_order: Callable[[Order], None] = lambda _order: None
    records_lost: int = 0
    fills_count: int = 0
    latest_event_ns: int = 0
    """Of what the venue told, by its own clock."""
    account: AccountSnapshot | None = None
    is_started_before: bool = False
    consumed_orders_seq: int = 0
    _executions: set[str] = field(default_factory=set)
    _executed: dict[str, _Executed] = field(default_factory=dict)
    _unexplained: set[str] = field(default_factory=set)
    _filled_ns: dict[str, int] = field(default_factory=dict)
    _origins: dict[str, Origin] = field(default_factory=dict)
    _client_ids: dict[str, str] = field(default_factory=dict)
    _sent_ns: dict[str, int] = field(default_factory=dict)
    _said: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def rebuild(self, reader: JournalReader) -> int:
        """Read the whole journal back; returns how many records. Call once, before anything is written."""
        count = 0
        while records := reader.read(READ_BATCH):
            for record in records:
                self.remember(record, ts_ns=record.ts_ns, origin_ns=record.origin_ns)
            count += len(records)
        return count

    def write(self, record: "Record", *, origin: Origin | None = None, ts_ns: int = 0) -> bool:
        """Journal a record and apply it; False, with nothing applied, when the journal has no room."""
        origin = origin or Origin()
        stamp_ns = ts_ns or clock.now_ns()
        if not self.append(record, origin=origin, ts_ns=stamp_ns):
            return False
        self.remember(record, ts_ns=stamp_ns, origin_ns=origin.origin_ns)
        return True

    def append(self, record: "Record", *, origin: Origin, ts_ns: int) -> bool:
        """Journal a record that the caller hands to `remember` next; False when the journal has no room."""
        try:
            self.writer.append(
                record,
                ts_ns=ts_ns,
                cause_journal=JournalName.ORDERS if origin.decision_seq else JournalName.NONE,
                cause_seq=origin.decision_seq,
                origin_ns=origin.origin_ns,
            )
        except JournalFull as error:
            self.records_lost += 1
            log.error("record_not_journaled", kind=type(record).__name__, detail=str(error))  # noqa: TRY400
            return False
        return True

    def remember(self, record: "Record", *, ts_ns: int, origin_ns: int) -> None:
        """Apply a journaled record to the state."""
        order = self.orders.apply(record)
        self.positions.apply(record)
        if isinstance(record, OrderEvent):
            self._remember_event(record, ts_ns=ts_ns, origin_ns=origin_ns)
        elif isinstance(record, Fill):
            self._executions.add(record.execution_id)
            self.fills_count += 1
            self.latest_event_ns = max(self.latest_event_ns, record.ts_event_ns)
            if record.strategy:
                self._filled_ns[record.symbol] = ts_ns
            self._executed.setdefault(record.venue_order_id, _Executed()).journaled_e9 += record.quantity_e9
            self._compare_executed(record.venue_order_id)
        elif isinstance(record, AccountSnapshot):
            self.account = record
        elif isinstance(record, Consumed):
            self.consumed_orders_seq = record.orders_seq
        elif isinstance(record, Reconciled):
            self.is_started_before |= record.scope is ReconcileScope.START_UP and bool(record.is_complete)
        if order is not None:
            self.on_order(order)

    def origin(self, client_order_id: str) -> Origin:
        """Return where an order came from; all zero for orders that are not ours."""
        return self._origins.get(client_order_id) or Origin()

    def client_order_id(self, venue_order_id: str) -> str:
        """Return our id of a venue's order; empty when it was never seen."""
        return self._client_ids.get(venue_order_id, "")

    def sent_ns(self, client_order_id: str) -> int:
        """Return when the order was about to leave; 0 when it never was."""
        return self._sent_ns.get(client_order_id, 0)

    def is_known(self, client_order_id: str) -> bool:
        """Whether a step of this order is journaled: it must not be submitted (again)."""
        order = self.orders.get(client_order_id)
        return order is not None and (order.status is not OrderStatus.NONE or order.is_external)

    def order_event(
        self,
        subject: Decision | Order,
        kind: OrderEventKind,
        status: OrderStatus = OrderStatus.NONE,
        *,
        rule: Reason = Reason.NONE,
        detail: str = "",
        venue_code: int = 0,
    ) -> bool:
        """Journal a step of an order, as we know it or of which only the decision is known."""
        stamp_ns = clock.now_ns()
        known: dict[str, Any] = {"decision_seq": subject.seq} if isinstance(subject, Decision) else _known(subject)
        event = OrderEvent(
            client_order_id=subject.client_order_id,
            strategy=subject.strategy,
            symbol=subject.symbol,
            detail=shortened(detail),
            ts_event_ns=stamp_ns,
            quote_seq=subject.quote_seq,
            quantity_e9=subject.quantity_e9,
            notional_e9=subject.notional_e9,
            limit_price_e9=subject.limit_price_e9,
            stop_price_e9=subject.stop_price_e9,
            venue_code=venue_code,
            rule=rule,
            kind=kind,
            status=status,
            side=subject.side,
            order_type=subject.order_type,
            time_in_force=subject.time_in_force,
            order_class=subject.order_class,
            **known,
        )
        origin = origin_of(subject) if isinstance(subject, Decision) else self.origin(subject.client_order_id)
        return self.write(event, origin=origin, ts_ns=stamp_ns)

    def venue_order(
        self, order: VenueOrder, kind: OrderEventKind, *, detail: str = "", is_always_news: bool = False
    ) -> bool:
        """Journal an order as the venue has it, legs included; False when the venue said all of it before.

        A first sight of an order that we did not send becomes ADOPTED, whatever `kind` says.
        """
        parent = self.origin(self.client_order_id(order.parent_order_id)) if order.parent_order_id else None
        origin = self._origins.get(order.client_order_id) or parent or self._lost_origin(order)
        is_said = self._said.get(order.venue_order_id) == _said_by(order) and not self._is_parent_news(order)
        is_new = is_always_news or not is_said
        if is_new:
            is_first = not self.is_known(order.client_order_id)
            event = OrderEvent(
                client_order_id=order.client_order_id,
                venue_order_id=order.venue_order_id,
                replaces_order_id=order.replaces_order_id,
                parent_order_id=order.parent_order_id,
                strategy=origin.strategy,
                symbol=order.symbol,
                detail=shortened(detail),
                ts_event_ns=order.updated_ns,
                decision_seq=origin.decision_seq,
                quote_seq=origin.quote_seq,
                quantity_e9=order.quantity_e9,
                notional_e9=order.notional_e9,
                filled_quantity_e9=order.filled_quantity_e9,
                average_price_e9=order.average_price_e9,
                limit_price_e9=order.limit_price_e9,
                stop_price_e9=order.stop_price_e9,
                kind=OrderEventKind.ADOPTED if is_first else kind,
                status=order.status,
                side=order.side,
                order_type=order.order_type,
                time_in_force=order.time_in_force,
                order_class=order.order_class,
                is_external=int(not order.is_own and not origin.decision_seq),
            )
            is_new = self.write(event, origin=origin)
        for leg in order.legs:
            is_new |= self.venue_order(leg, OrderEventKind.UPDATED)
        return is_new

    def fill(self, fill: VenueFill, *, is_recovered: bool) -> bool:
        """Journal an execution; False when its id is journaled already or there is no room."""
        if fill.execution_id in self._executions:
            return False
        client_order_id = self.client_order_id(fill.venue_order_id)
        origin = self.origin(client_order_id)
        record = Fill(
            execution_id=fill.execution_id,
            client_order_id=client_order_id,
            venue_order_id=fill.venue_order_id,
            strategy=origin.strategy,
            symbol=fill.symbol,
            ts_event_ns=fill.ts_event_ns,
            quantity_e9=fill.quantity_e9,
            price_e9=fill.price_e9,
            position_quantity_e9=self._position_after(fill),
            side=fill.side,
            is_recovered=int(is_recovered),
        )
        return self.write(record, origin=origin)

    def has_execution(self, execution_id: str) -> bool:
        """Whether this execution is journaled."""
        return execution_id in self._executions

    def unexplained_fills(self) -> dict[str, int]:
        """Return venue order ids whose reported filled quantity exceeds the journaled executions, by how much (e9)."""
        executed = ((venue_order_id, self._executed[venue_order_id]) for venue_order_id in sorted(self._unexplained))
        return {venue_order_id: each.reported_e9 - each.journaled_e9 for venue_order_id, each in executed}

    def filled_since(self, ts_ns: int) -> set[str]:
        """Return the symbols of which an order of ours has filled since a time."""
        return {symbol for symbol, filled_ns in self._filled_ns.items() if filled_ns >= ts_ns}

    def _compare_executed(self, venue_order_id: str) -> None:
        executed = self._executed[venue_order_id]
        if executed.reported_e9 > executed.journaled_e9:
            self._unexplained.add(venue_order_id)
        else:
            self._unexplained.discard(venue_order_id)

    def position_e9(self, symbol: str) -> int:
        """Return the signed quantity held by our own count."""
        position = self.positions.get(symbol)
        return position.quantity_e9 if position is not None else 0

    def open_quantity_e9(self, symbol: str, side: Side) -> int:
        """Return what may still fill on one side of a symbol, or filled without our having its fills yet.

        Of one order's legs only the largest counts, since the fill of one ends the other; an oco counts with its leg. A
        leg that the venue holds until its entry fills reserves nothing.
        """
        open_orders = self.orders.open_orders()
        total_e9 = self.families_e9([order for order in open_orders if order.symbol == symbol and order.side is side])
        for venue_order_id, missing_e9 in self.unexplained_fills().items():
            filled = self.orders.get(self._client_ids.get(venue_order_id, ""))
            if filled is not None and filled.symbol == symbol and filled.side is side:
                total_e9 += missing_e9
        return total_e9

    def families_e9(self, orders: Sequence[Order]) -> int:
        """Return what open orders of one side may fill together.

        What one order of a family fills, the venue takes off the others without telling of them.
        """
        total_e9 = 0
        families: dict[str, tuple[int, int]] = {}
        for order in orders:
            if self._waits_for_entry(order):
                continue
            family = order.parent_order_id or (order.venue_order_id if order.order_class is OrderClass.OCO else "")
            if family:
                quantity_e9, filled_e9 = families.get(family, (0, 0))
                families[family] = (max(quantity_e9, order.quantity_e9), filled_e9 + order.filled_quantity_e9)
            else:
                total_e9 += order.open_quantity_e9
        return total_e9 + sum(max(quantity_e9 - filled_e9, 0) for quantity_e9, filled_e9 in families.values())

    def _waits_for_entry(self, order: Order) -> bool:
        if order.status is not OrderStatus.HELD or not order.parent_order_id:
            return False
        entry = self.orders.get(self.client_order_id(order.parent_order_id))
        return entry is not None and entry.is_open and entry.side is not order.side

    def protective(self, symbol: str, side: Side) -> list[Order]:
        """Return the open protective stops of a symbol, and the legs of such that the venue still holds."""
        return [
            order
            for order in self.orders.open_orders()
            if order.symbol == symbol and order.side is side and self._is_protective(order)
        ]

    def _is_protective(self, order: Order) -> bool:
        if order.parent_order_id:
            parent = self.orders.get(self.client_order_id(order.parent_order_id))
            return parent is not None and parent.is_protective
        return order.is_protective

    def _is_parent_news(self, order: VenueOrder) -> bool:
        """Whether a leg was told of by itself before, while its parent was not known to be at the venue."""
        known = self.orders.get(order.client_order_id) if order.parent_order_id else None
        return known is not None and not known.parent_order_id

    def _position_after(self, fill: VenueFill) -> int:
        if fill.position_quantity_e9 is not None:
            return fill.position_quantity_e9
        sign = -1 if fill.side == Side.SELL else 1
        return self.position_e9(fill.symbol) + sign * fill.quantity_e9

    def _lost_origin(self, order: VenueOrder) -> Origin:
        """What is known of an order whose decision is not: after a restore, of all orders of the lost time."""
        return Origin(strategy=self.sole_strategies.get(order.symbol, "") if order.is_own else "")

    def _remember_event(self, event: OrderEvent, *, ts_ns: int, origin_ns: int) -> None:
        client_order_id = event.client_order_id
        if (event.decision_seq or event.strategy) and client_order_id not in self._origins:
            self._origins[client_order_id] = Origin(event.decision_seq, event.quote_seq, origin_ns, event.strategy)
        if event.kind is OrderEventKind.SUBMITTING:
            self._sent_ns[client_order_id] = ts_ns
        if event.venue_order_id:
            self._client_ids[event.venue_order_id] = client_order_id
            executed = self._executed.setdefault(event.venue_order_id, _Executed())
            executed.reported_e9 = max(executed.reported_e9, event.filled_quantity_e9)
            if event.kind is OrderEventKind.ADOPTED and not self.is_started_before:
                # What filled before the journal began is part of the positions that are adopted with it.
                executed.journaled_e9 = max(executed.journaled_e9, event.filled_quantity_e9)
            self._compare_executed(event.venue_order_id)
            if event.status is not OrderStatus.NONE:
                self._said[event.venue_order_id] = _said_by(event)
            if event.kind in VENUE_TIMED:
                self.latest_event_ns = max(self.latest_event_ns, event.ts_event_ns)


def _said_by(order: VenueOrder | OrderEvent) -> tuple[int, ...]:
    """What makes two statements of the venue about an order equal."""
    return (
        order.status.number,
        order.filled_quantity_e9,
        order.quantity_e9,
        order.limit_price_e9,
        order.stop_price_e9,
    )


def _known(order: Order) -> dict[str, Any]:
    """What an order has that its decision had not."""
    return {
        "venue_order_id": order.venue_order_id,
        "decision_seq": order.decision_seq,
        "filled_quantity_e9": order.filled_quantity_e9,
        "average_price_e9": order.average_price_e9,
        "is_external": int(order.is_external),
    }


def origin_of(decision: Decision) -> Origin:
    """Return the origin of the order that a decision makes."""
    return Origin(decision.seq, decision.quote_seq, decision.origin_ns, decision.strategy)


def shortened(text: str) -> str:
    """Return as much of a text as a record's detail holds, without the zero bytes it must not hold."""
    return text.replace("\0", " ").encode()[:DETAIL_BYTES].decode("utf-8", "ignore")
