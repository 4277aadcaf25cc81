"""Fills, and what follows from them: each exactly once, position and cash as the venue's."""

from collections.abc import Iterator

from holdfast.invariants.evidence import Evidence

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


def database_has_every_fill(evidence: Evidence) -> Iterator[str]:
    """PostgreSQL holds as many fills as the journal; judged when its rows were counted."""
    rows = evidence.ending.rows
    if rows is not None and rows.get("fills") != len(evidence.account.fills):
        yield f"{rows.get('fills', 'no answer on')} rows of fills, {len(evidence.account.fills)} journaled"
