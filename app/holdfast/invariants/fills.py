"""Fills, and what follows from them: each exactly once, position and cash as the venue's."""

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from holdfast._native import Fill, OrderEvent, OrderTable, PositionBook
from holdfast.invariants.evidence import Evidence

if TYPE_CHECKING:
    from holdfast._native import Record

E9 = 1_000_000_000
AVERAGE_TOLERANCE_PARTS = 10_000
CASH_TOLERANCE_E9 = 10**7
"""0.01 USD: the contract's invariant 6."""


def every_fill_exactly_once(evidence: Evidence) -> Iterator[str]:
    """Every execution of the venue is journaled once, and no other."""
    made, journaled = evidence.ledger.fills(), evidence.account.fills
    yield from (f"execution_id {each}: journaled more than once" for each in evidence.account.fills_repeated)
    yield from (f"execution_id {each}: not journaled" for each in made.keys() - journaled.keys())
    yield from (f"execution_id {each}: the venue never made it" for each in journaled.keys() - made.keys())
    for execution_id in made.keys() & journaled.keys():
        venue, own = made[execution_id], journaled[execution_id]
        theirs = (venue.symbol, venue.side, venue.quantity_e9, venue.price_e9, venue.client_order_id)
        ours = (own.symbol, own.side.label, own.quantity_e9, own.price_e9, own.client_order_id)
        if theirs != ours:
            yield f"execution_id {execution_id}: the venue made {theirs}, journaled {ours}"


def positions_match(evidence: Evidence) -> Iterator[str]:
    """The sum of our fills is the venue's position, for every symbol."""
    theirs, ours = evidence.ledger.positions_e9(), evidence.account.positions_e9()
    for symbol in sorted(theirs.keys() | ours.keys()):
        if theirs.get(symbol, 0) != ours.get(symbol, 0):
            yield f"{symbol}: venue {theirs.get(symbol, 0)}, own {ours.get(symbol, 0)} e9"


def cash_matches(evidence: Evidence) -> Iterator[str]:
    """Cash by our fills is the venue's within a cent."""
    theirs, ours = evidence.ledger.cash_e9(), evidence.account.cash_e9()
    if abs(theirs - ours) > CASH_TOLERANCE_E9:
        yield f"venue {theirs}, own {ours} e9"


def average_prices_match(evidence: Evidence) -> Iterator[str]:
    """Each order's average price is the venue's within a hundredth of a percent."""
    final = evidence.ledger.orders()
    for order in evidence.account.orders.orders():
        theirs = final.get(order.client_order_id)
        if theirs is None or not order.average_price_e9 or not theirs["filled_avg_price"]:
            continue
        price_e9 = int(Decimal(theirs["filled_avg_price"]) * E9)
        if abs(order.average_price_e9 - price_e9) * AVERAGE_TOLERANCE_PARTS > price_e9:
            yield f"client_order_id {order.client_order_id}: own {order.average_price_e9}, venue {price_e9} e9"


def events_commute(evidence: Evidence) -> Iterator[str]:
    """Orders and positions are the same after any order and repetition of what happened."""
    records = [record for record in evidence.executed if isinstance(record, OrderEvent | Fill)]
    shuffled = records + records[: len(records) // 3]
    random.Random(len(records)).shuffle(shuffled)  # noqa: S311 - repeatable on purpose
    if _hashes(records) != _hashes(shuffled):
        yield f"{len(records)} records of executions, shuffled and repeated, give another state"


def filled_quantity_never_falls(evidence: Evidence) -> Iterator[str]:
    """What an order has filled only grows, and no further than its quantity."""
    orders = OrderTable()
    filled_e9: dict[str, int] = {}
    for record in evidence.executed:
        order = orders.apply(record)
        if order is None:
            continue
        if order.filled_quantity_e9 < filled_e9.get(order.client_order_id, 0):
            yield f"client_order_id {order.client_order_id}: executions {record.seq} takes a fill back"
        filled_e9[order.client_order_id] = order.filled_quantity_e9
        if order.is_overfilled:
            yield f"client_order_id {order.client_order_id}: filled beyond its quantity"


def _hashes(records: "Sequence[Record]") -> tuple[int, int]:
    orders, positions = OrderTable(), PositionBook()
    for record in records:
        orders.apply(record)
        positions.apply(record)
    return orders.state_hash(), positions.state_hash()


def database_has_every_fill(evidence: Evidence) -> Iterator[str]:
    """PostgreSQL holds as many fills as the journal; judged when its rows were counted."""
    rows = evidence.ending.rows
    if rows is not None and rows.get("fills") != len(evidence.account.fills):
        yield f"{rows.get('fills', 'no answer on')} rows of fills, {len(evidence.account.fills)} journaled"
