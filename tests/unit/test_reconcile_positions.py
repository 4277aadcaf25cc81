"""Positions are compared twice before they are said to differ: REST may tell of a fill before the stream does."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from holdfast._native import Fill, JournalName, JournalWriter, PositionSnapshot, Side
from holdfast.execution.ledger import Ledger
from holdfast.execution.reconcile import Reconciler
from holdfast.venues.alpaca.orders import VenueFill, VenueOrder
from holdfast.venues.alpaca.trading import TradingGateway

E9 = 1_000_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    writer = JournalWriter(
        str(tmp_path / "executions"),
        JournalName.EXECUTIONS,
        now_ns=1_000,
        segment_bytes=65_536,
        segments_retained_max=0,
        build_hash=1,
        config_hash=1,
    )
    with writer:
        yield Ledger(writer)


@dataclass
class Venue:
    """A venue that holds one BAC; the stream tells the fill of it when the positions are read for the Nth time."""

    ledger: Ledger
    told_at_reading: int
    readings: int = 0

    async def positions(self, *, now_ns: int) -> list[PositionSnapshot]:
        self.readings += 1
        if self.readings == self.told_at_reading:
            self.ledger.write(
                Fill(execution_id=str(uuid.uuid4()), symbol="BAC", quantity_e9=E9, price_e9=E9, side=Side.BUY)
            )
        return [PositionSnapshot(symbol="BAC", quantity_e9=E9, ts_event_ns=now_ns)]

    async def recent_orders(self, wanted: set[str], *, after_ns: int = 0) -> dict[str, VenueOrder]:
        assert not wanted, "no order is missing, none is strange"
        return {}

    async def fills(self, *, after_ns: int) -> list[VenueFill]:
        del after_ns
        return []


@pytest.mark.parametrize(("told_at_reading", "mismatched"), [(1, 0), (2, 0), (0, 1)])
def test_a_difference_counts_when_the_second_reading_has_it_too(
    ledger: Ledger, told_at_reading: int, mismatched: int
) -> None:
    venue = Venue(ledger, told_at_reading)
    reconciler = Reconciler(ledger, cast("TradingGateway", venue))
    found = asyncio.run(reconciler.positions())
    assert found.positions_mismatched == mismatched
    assert ledger.position_e9("BAC") == E9, "the venue's word counts in the end"
