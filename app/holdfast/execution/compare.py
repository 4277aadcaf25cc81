"""Comparing the journal with the venue without writing anything: what an operator looks at."""

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast._native import JournalReader, Order, OrderTable, PositionBook, PositionSnapshot
from holdfast.venues.alpaca.orders import VenueOrder
from holdfast.venues.alpaca.wire import decimal_text

READ_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the journal and the venue say differently."""

    what: str
    key: str
    ours: str
    venue: str


def read_back(reader: JournalReader) -> tuple[OrderTable, PositionBook]:
    """Return orders and positions as a whole `executions` journal tells them."""
    orders, positions = OrderTable(), PositionBook()
    while records := reader.read(READ_BATCH):
        for record in records:
            orders.apply(record)
            positions.apply(record)
    return orders, positions


def differences(
    orders: OrderTable,
    positions: PositionBook,
    *,
    venue_orders: Iterable[VenueOrder],
    venue_positions: Iterable[PositionSnapshot],
) -> list[Difference]:
    """Return every difference, orders first. `venue_orders` are the open ones, legs inside."""
    return [*_order_differences(orders, venue_orders), *_position_differences(positions, venue_positions)]


def _order_differences(orders: OrderTable, venue_orders: Iterable[VenueOrder]) -> list[Difference]:
    found: list[Difference] = []
    shown: set[str] = set()
    for order in venue_orders:
        for each in (order, *order.legs):
            shown.add(each.client_order_id)
            known = orders.get(each.client_order_id)
            ours = _words(known.status.label, known.filled_quantity_e9) if known is not None else "not known"
            theirs = _words(each.status.label, each.filled_quantity_e9)
            if ours != theirs:
                found.append(Difference("order", each.client_order_id, ours, theirs))
    return found + [
        Difference("order", order.client_order_id, _words(order.status.label, order.filled_quantity_e9), "not open")
        for order in orders.open_orders()
        if order.client_order_id not in shown and _should_show(order)
    ]


def _should_show(order: Order) -> bool:
    """A held leg does not show as open at the venue."""
    return order.status.label != "held"


def _position_differences(positions: PositionBook, venue: Iterable[PositionSnapshot]) -> list[Difference]:
    ours = {position.symbol: position.quantity_e9 for position in positions.positions()}
    theirs = {snapshot.symbol: snapshot.quantity_e9 for snapshot in venue}
    return [
        Difference("position", symbol, decimal_text(ours.get(symbol, 0)), decimal_text(theirs.get(symbol, 0)))
        for symbol in sorted(ours.keys() | theirs.keys())
        if ours.get(symbol, 0) != theirs.get(symbol, 0)
    ]


def _words(status: str, filled_e9: int) -> str:
    return f"{status or 'approved'}, filled {decimal_text(filled_e9)}"
