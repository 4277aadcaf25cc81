"""Where market data comes from: made up from a seed, recorded ticks, or a journal of ours."""

import zipfile
from pathlib import Path
from typing import Protocol

from holdfast._native import BookDelta, JournalReader, Quote, RecordedSession, SyntheticMarket, Trade
from holdfast.errors import ConfigError
from holdfast.venues.simulated import market_days
from holdfast.venues.simulated.settings import E9, SimulatedVenueSettings

MarketRecord = Quote | Trade | BookDelta

FIRST_PRICES_USD = {
    "AAPL": 231,
    "BAC": 44,
    "BTC/USD": 61_250,
    "ETH/USD": 2_980,
    "FAKEPACA": 134,
    "IBM": 228,
    "MSFT": 421,
    "QQQ": 497,
    "SPY": 583,
}
SECOND_NS = 1_000_000_000


class Source(Protocol):
    """Records in order of time."""

    lines_read: int
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int

    def next_records(self, count: int) -> list[MarketRecord]:
        """Return about `count` records, none at the end."""


class SyntheticSource:
    """A seeded market from its start to the close; what came before the start is only history."""

    def __init__(self, settings: SimulatedVenueSettings, seed: int, now_ns: int) -> None:
        self.symbols = settings.symbols
        self.lines_read = 0
        start_ns = now_ns if settings.is_by_host_clock else _start_ns(settings.start, now_ns)
        self.start_ns = start_ns
        opens_ns, self.end_ns = market_days.session_at_or_after(start_ns)
        self._market = SyntheticMarket(
            seed=seed,
            listings=[(symbol, _first_price_e9(symbol)) for symbol in self.symbols],
            start_ns=max(min(opens_ns, start_ns), start_ns - int(settings.history_s * SECOND_NS)),
            interval_ns=int(SECOND_NS / settings.quotes_per_s),
        )

    def history(self) -> list[MarketRecord]:
        """Return what was published before the start."""
        records: list[MarketRecord] = []
        while self._market.next_ns < self.start_ns:
            records += self._market.next_records(1)
        return records

    def next_records(self, count: int) -> list[MarketRecord]:
        """Return about `count` records, none after the close."""
        if self._market.next_ns >= self.end_ns:
            return []
        records = [record for record in self._market.next_records(count) if record.ts_event_ns < self.end_ns]
        self.lines_read += len(records)
        return records


def _start_ns(start: str, now_ns: int) -> int:
    return market_days.parse_time_ns(start) if start else market_days.default_start_ns(now_ns)


def _first_price_e9(symbol: str) -> int:
    known = FIRST_PRICES_USD.get(symbol)
    return (known if known is not None else 20 + sum(symbol.encode()) % 180) * E9


class RecordedSource:
    """Recorded ticks: zips named SYMBOL_YYYY-MM-DD_quote.zip and SYMBOL_YYYY-MM-DD_trade.zip in one directory."""

    def __init__(self, directory: Path) -> None:
        files = []
        for file in sorted(directory.glob("*_*_*.zip")):
            symbol, date, kind = file.stem.rsplit("_", 2)
            with zipfile.ZipFile(file) as archive:
                files.append((symbol, kind, date, archive.read(archive.namelist()[0])))
        if not files:
            expected = "recorded ticks SYMBOL_YYYY-MM-DD_quote.zip and _trade.zip"
            raise ConfigError(file=directory, key="--session", expected=expected, found="none")
        self._session = RecordedSession(files)
        self.symbols = tuple(dict.fromkeys(symbol for symbol, _, _, _ in files))
        self._ahead: list[MarketRecord] = list(self._session.next_records(1))
        self.start_ns = self._ahead[0].ts_event_ns if self._ahead else 0
        self.end_ns = market_days.session_at_or_after(self.start_ns)[1]

    @property
    def lines_read(self) -> int:
        """Lines of the files taken so far."""
        return self._session.lines_read

    def next_records(self, count: int) -> list[MarketRecord]:
        """Return at most `count` records."""
        records, self._ahead = self._ahead, []
        return records + list(self._session.next_records(count))


class JournalSource:
    """Market data that a market-data service of ours has journaled."""

    def __init__(self, directory: Path) -> None:
        self._reader = JournalReader(str(directory))
        self.lines_read = 0
        self._ahead = self._read(4096)
        if not self._ahead:
            raise ConfigError(file=directory, key="--session", expected="a market_data journal", found="no quotes")
        self.start_ns = self._ahead[0].ts_event_ns
        self.end_ns = market_days.session_at_or_after(self.start_ns)[1]
        self.symbols = self._find_symbols(directory)

    def next_records(self, count: int) -> list[MarketRecord]:
        """Return about `count` records."""
        records, self._ahead = self._ahead, []
        return records or self._read(count)

    def _read(self, count: int) -> list[MarketRecord]:
        while batch := self._reader.read(count):
            records = [record for record in batch if isinstance(record, Quote | Trade | BookDelta)]
            self.lines_read += len(records)
            if records:
                return records
        return []

    @staticmethod
    def _find_symbols(directory: Path) -> tuple[str, ...]:
        """Read the whole journal once: the venue must know its assets before it starts."""
        found: dict[str, None] = {}
        with JournalReader(str(directory)) as reader:
            while batch := reader.read(4096):
                found |= {record.symbol: None for record in batch if isinstance(record, Quote | Trade)}
        return tuple(sorted(found))


def open_source(settings: SimulatedVenueSettings, now_ns: int) -> SyntheticSource | RecordedSource | JournalSource:
    """Open the session that the settings name.

    Raises: ConfigError when there is none.
    """
    if settings.is_synthetic:
        seed_text = settings.session.partition(":")[2]
        if not seed_text.isdecimal():
            raise ConfigError(file="holdfast venue", key="--session", expected="synthetic:SEED", found=settings.session)
        return SyntheticSource(settings, int(seed_text), now_ns)
    directory = Path(settings.session)
    if (directory / "header").is_file():
        return JournalSource(directory)
    if not directory.is_dir():
        expected = "synthetic:SEED, a directory of recorded ticks or a journal directory"
        raise ConfigError(file=directory, key="--session", expected=expected)
    return RecordedSource(directory)
