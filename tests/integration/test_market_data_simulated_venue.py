"""market-data against the simulated venue: what a cut of the feed lost comes back from the venue's own history."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from fix_venue import OpenVenue
from holdfast import clock
from holdfast._native import Gap, JournalReader, Quote, Trade
from holdfast.journals import journal_directory
from holdfast.service import Frame
from holdfast.services import market_data
from holdfast.settings import Settings
from holdfast.venues.simulated import SimulatedVenue
from holdfast.venues.simulated.faults import FaultScript, StreamFault
from patience import PATIENCE_S

SYMBOLS = ("AAPL", "IBM")


def settings_of(tmp_path: Path, venue: SimulatedVenue) -> Settings:
    url = venue.url.replace("https://", "wss://")
    return Settings.model_validate(
        {
            "state_dir": tmp_path / "state",
            "config_dir": tmp_path,
            "symbols": list(SYMBOLS),
            "alpaca_api_key": "PKSIMULATED",
            "alpaca_api_secret": "simulated-secret",
            "venue": {
                "trading_url": venue.url,
                "trading_stream_url": f"{url}/stream",
                "data_url": venue.url,
                "data_stream_url": url,
                "ca_file": venue.ca_file,
            },
            "clock": {"session_time": "venue"},
        }
    )


class Journal:
    """What was journaled so far."""

    def __init__(self, settings: Settings) -> None:
        self._reader = JournalReader(str(journal_directory(settings, "market_data")), wait_s=PATIENCE_S)
        self.events: Counter[tuple[str, int]] = Counter()
        self.gaps: list[Gap] = []

    async def until_repaired(self) -> None:
        """Read on until the last gap is repaired and a quote followed."""
        count: int | None = None
        async with asyncio.timeout(PATIENCE_S):
            while count is None or self.events.total() == count:
                for record in self._reader.read(1000):
                    if isinstance(record, Quote | Trade):
                        self.events[type(record).__name__ + record.symbol, record.ts_event_ns] += 1
                    elif isinstance(record, Gap):
                        self.gaps.append(record)
                        count = self.events.total() if record.is_repaired else None
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("effect", ["cut", "kick"])
async def test_what_a_cut_of_the_feed_lost_comes_back_from_history_and_nothing_twice(
    open_venue: OpenVenue, tmp_path: Path, effect: str
) -> None:
    async with open_venue(symbols=SYMBOLS, quotes_per_s=40.0) as venue:
        settings = settings_of(tmp_path, venue)
        frame = Frame(name="market-data", settings=settings)
        service = asyncio.create_task(market_data.run(frame))
        try:
            started_s = clock.monotonic_s()
            while venue.status()["quotes_sent"] == 0:
                assert clock.monotonic_s() - started_s < PATIENCE_S
                await asyncio.sleep(0.01)
            ghost = StreamFault(effect="ghost", for_s=1.5)
            end = StreamFault.model_validate({"effect": effect, "from_s": 0.3})
            venue.faults.load(FaultScript(data_stream=(ghost, end)))
            journal = Journal(settings)
            await journal.until_repaired()
        finally:
            frame.stopping.set()
            await asyncio.wait_for(service, PATIENCE_S)
        first_ns = min(time_ns for _, time_ns in journal.events)
        last_ns = max(gap.to_ns for gap in journal.gaps if gap.is_repaired)
        published = published_between(venue, first_ns, last_ns)
    lost = [gap for gap in journal.gaps if not gap.is_repaired]
    assert lost
    assert max(gap.to_ns - gap.from_ns for gap in journal.gaps) > 1_000_000_000
    journaled = Counter({key: count for key, count in journal.events.items() if key[1] <= last_ns})
    assert journaled == published


def published_between(venue: SimulatedVenue, first_ns: int, last_ns: int) -> Counter[tuple[str, int]]:
    """Return what the venue published, by its own history."""
    found: Counter[tuple[str, int]] = Counter()
    for channel in ("quotes", "trades"):
        for symbol in SYMBOLS:
            page, _ = venue.history.page(
                channel, symbol, start_ns=first_ns, end_ns=last_ns, from_seq=None, count_max=10_000, is_descending=False
            )
            found.update((type(record).__name__ + record.symbol, record.ts_event_ns) for record in page)
    return found
