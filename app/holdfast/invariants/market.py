"""Market data: what the venue sent is in our journal, and what was lost on the way is known and repaired."""

from collections.abc import Iterator

from holdfast.invariants.evidence import Evidence


def every_gap_repaired(evidence: Evidence) -> Iterator[str]:
    """Each gap of the market data was ended by a repair.

    A gap reaches to the next event: one without any, because the session ended, waits for the next session.
    """
    is_over = evidence.ledger.session_end() is not None
    for (symbol, channel), seq in evidence.account.gaps_open.items():
        if is_over and seq > evidence.account.market_event_seq:
            continue
        yield f"market_data {seq}: the gap of {symbol or 'every symbol'} in {channel} was not repaired"


def every_quote_journaled(evidence: Evidence) -> Iterator[str]:
    """The journal holds as many quotes as the venue of a recorded session sent."""
    yield from _all_journaled(evidence, "quotes")


def every_trade_journaled(evidence: Evidence) -> Iterator[str]:
    """The journal holds as many trades as the venue of a recorded session sent."""
    yield from _all_journaled(evidence, "trades")


def _all_journaled(evidence: Evidence, channel: str) -> Iterator[str]:
    venue = evidence.ending.venue
    if venue is None:
        return
    sent, journaled = venue.get(f"{channel}_sent"), evidence.account.market_data[channel]
    if sent is None:
        yield f"the venue did not say how many {channel} it sent"
    elif sent != journaled:
        yield f"{sent} {channel} sent, {journaled} journaled"
