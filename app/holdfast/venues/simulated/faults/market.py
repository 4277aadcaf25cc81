"""Faults of the market: records that are wrong, and a market that halts, splits or shouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from holdfast._native import Bar, BookDelta, Quote, StatusCode, Trade, TradingStatus, encode_frame
from holdfast.venues.simulated.faults.book import Entry, FaultBook
from holdfast.venues.simulated.faults.script import MarketFault, RecordFault
from holdfast.venues.simulated.faults.timed import TimedFaults
from holdfast.venues.simulated.sources import MarketRecord

E9 = 1_000_000_000
MILLIONTHS = 1_000_000
PublishedRecord = Quote | Trade | BookDelta | Bar | TradingStatus
PRICES: dict[type, tuple[str, ...]] = {
    Quote: ("bid_price_e9", "ask_price_e9"),
    Trade: ("price_e9",),
    Bar: ("open_e9", "high_e9", "low_e9", "close_e9", "vwap_e9"),
    BookDelta: ("price_e9",),
}
CHANNELS: dict[type, str] = {Quote: "quotes", Trade: "trades", Bar: "bars"}
PRICE_NAMES = frozenset({"bp", "ap", "p", "o", "h", "l", "c", "vw"})
NUMBERS = {"nan": ("NaN", float("nan")), "infinite": ("Infinity", float("inf")), "huge": ("1e308", 1e308)}
# A halt says why: news pending, volatility pause.
HALT_REASON = "T1"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record whose message is to leave with other numbers than records can hold."""

    record: PublishedRecord
    effect: str

    @property
    def symbol(self) -> str:
        """Return the record's symbol."""
        return self.record.symbol

    def encode(self, encoding: str) -> bytes:
        """Return its frame."""
        frame = encode_frame([self.record], encoding)
        if encoding == "json":
            (message,) = msgspec.json.decode(frame)
            return msgspec.json.encode([self._changed(message, is_text=True)])
        (message,) = msgspec.msgpack.decode(frame)
        return msgspec.msgpack.encode([self._changed(message, is_text=False)])

    def _changed(self, message: dict[str, Any], *, is_text: bool) -> dict[str, Any]:
        for name in PRICE_NAMES & message.keys():
            if isinstance(message[name], list):
                continue
            if self.effect == "malformed":
                message[name] = "no number"
            else:
                text, number = NUMBERS[self.effect]
                message[name] = msgspec.Raw(text.encode()) if is_text else number
        return message


Published = PublishedRecord | Malformed


class Market(Protocol):
    """What the faults need of the venue."""

    def now_ns(self) -> int:
        """Return the venue's time."""

    def symbols(self) -> tuple[str, ...]:
        """Return every symbol."""

    def latest_quote(self, symbol: str) -> Quote | None:
        """Return the quote that stands."""

    def announce(self, statuses: list[TradingStatus]) -> None:
        """Publish trading statuses."""

    def match(self, quotes: list[Quote]) -> None:
        """Show quotes to the engine alone."""


class MarketFaults:
    """Changes records before the engine sees them (`source`) and before clients do (`wire`)."""

    def __init__(self, book: FaultBook, market: Market) -> None:
        self._book = book
        self._market = market
        self._entries: list[Entry] = []
        self._timed = TimedFaults(book, on_begin=self._begin, on_end=self._end)

    def open(self) -> None:
        """Take the table from the book."""
        entries = self._book.of_table("market")
        self._entries = [entry for entry in entries if isinstance(entry.fault, RecordFault)]
        self._timed.open(entries)

    def heal(self) -> None:
        """Resume what is halted; prices that split are again what they were."""
        self._entries = []
        self._timed.heal()

    def source(self, records: list[MarketRecord]) -> list[MarketRecord]:
        """Return what really happens in the market: nothing in a halt, split prices after a split."""
        if self._book.is_healed:
            return records
        for entry in self._timed.active("halt"):
            records = [record for record in records if not _concerns(entry, record.symbol)]
        for entry in self._timed.active("split"):
            fault = entry.fault
            assert isinstance(fault, MarketFault)
            ratio_ppm = round(fault.split_ratio * MILLIONTHS)
            records = [_scaled(record, ratio_ppm) if _concerns(entry, record.symbol) else record for record in records]
        return records

    def wire(self, records: Sequence[PublishedRecord]) -> Sequence[Published]:
        """Return what clients are told of what happened."""
        if self._book.is_healed:
            return records
        gaps = self._timed.active("gap")
        told: list[Published] = []
        for record in records:
            if any(_concerns(entry, record.symbol) for entry in gaps):
                continue
            found = self._disturbed(record)
            if found is None:
                continue
            # A book's changes make sense once only.
            told.extend([found] * (1 if isinstance(record, BookDelta) else self._factor(record.symbol)))
        return told

    def _factor(self, symbol: str) -> int:
        factor = 1
        for entry in self._timed.active("burst"):
            assert isinstance(entry.fault, MarketFault)
            if _concerns(entry, symbol):
                factor *= entry.fault.burst_factor
        return factor

    def _disturbed(self, record: PublishedRecord) -> Published | None:
        for entry in self._entries:
            fault = entry.fault
            assert isinstance(fault, RecordFault)
            if CHANNELS.get(type(record)) not in fault.channels or not _concerns(entry, record.symbol):
                continue
            if self._book.strikes(entry, symbol=record.symbol, ts_event_ns=record.ts_event_ns):
                return _disturb(record, fault)
        return record

    def _begin(self, entry: Entry) -> None:
        fault = entry.fault
        assert isinstance(fault, MarketFault)
        symbols = [symbol for symbol in self._market.symbols() if _concerns(entry, symbol)]
        now_ns = self._market.now_ns()
        if fault.effect == "halt":
            self._market.announce([_status(symbol, now_ns, StatusCode.HALTED) for symbol in symbols])
            self._market.match([Quote(symbol=symbol, ts_event_ns=now_ns) for symbol in symbols])
        elif fault.effect == "luld":
            quotes = [quote for symbol in symbols if (quote := self._market.latest_quote(symbol)) is not None]
            self._market.announce([_band(quote, now_ns, fault.band_percent) for quote in quotes])
            self._timed.end(entry)

    def _end(self, entry: Entry) -> None:
        if entry.fault.effect != "halt":
            return
        symbols = [symbol for symbol in self._market.symbols() if _concerns(entry, symbol)]
        now_ns = self._market.now_ns()
        self._market.announce([_status(symbol, now_ns, StatusCode.TRADING) for symbol in symbols])
        self._market.match([quote for symbol in symbols if (quote := self._market.latest_quote(symbol)) is not None])


def _concerns(entry: Entry, symbol: str) -> bool:
    assert isinstance(entry.fault, MarketFault | RecordFault)
    return not entry.fault.symbols or symbol in entry.fault.symbols


def _status(symbol: str, now_ns: int, status: StatusCode) -> TradingStatus:
    return TradingStatus(symbol=symbol, ts_event_ns=now_ns, status=status, reason=HALT_REASON)


def _band(quote: Quote, now_ns: int, band_percent: float) -> TradingStatus:
    middle_e9 = (quote.bid_price_e9 + quote.ask_price_e9) // 2
    width_e9 = middle_e9 * round(band_percent * 10_000) // MILLIONTHS
    return TradingStatus(
        symbol=quote.symbol,
        ts_event_ns=now_ns,
        status=StatusCode.LULD_BAND,
        luld_up_e9=middle_e9 + width_e9,
        luld_down_e9=middle_e9 - width_e9,
    )


_R = TypeVar("_R", bound=PublishedRecord)


def _with(record: _R, **changes: object) -> _R:
    fields = {name: getattr(record, name) for name in record.FIELDS}
    make: Callable[..., _R] = type(record)
    return make(**{**fields, **changes})


def _priced(record: _R, change: Callable[[int], int]) -> _R:
    return _with(record, **{name: change(getattr(record, name)) for name in PRICES[type(record)]})


def _scaled(record: _R, ratio_ppm: int) -> _R:
    return _priced(record, lambda price_e9: price_e9 * ratio_ppm // MILLIONTHS)


def _disturb(record: PublishedRecord, fault: RecordFault) -> Published | None:
    shift_ns = round(fault.shift_s * E9)
    match fault.effect:
        case "drop":
            return None
        case "stale":
            return _with(record, ts_event_ns=record.ts_event_ns - shift_ns)
        case "future":
            return _with(record, ts_event_ns=record.ts_event_ns + shift_ns)
        case "zero":
            return _priced(record, lambda _: 0)
        case "negative":
            return _priced(record, lambda price_e9: -price_e9)
        case "jump":
            return _scaled(record, MILLIONTHS + round(fault.jump_percent * 10_000))
        case "crossed":
            return _crossed(record)
    return Malformed(record, fault.effect)


def _crossed(record: PublishedRecord) -> PublishedRecord:
    """Return a quote whose bid is a percent above its offer; anything else is a percent off."""
    if isinstance(record, Quote):
        return _with(record, bid_price_e9=record.ask_price_e9 * 101 // 100)
    return _scaled(record, MILLIONTHS * 101 // 100)
