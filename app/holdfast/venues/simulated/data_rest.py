"""Historical market data: what the venue has published, page by page.

Source: Alpaca, OpenAPI documents of stock (`/v2/stocks`) and crypto (`/v1beta3/crypto/us`) market data.
"""

import datetime as dt
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zlib import crc32

import msgspec

from holdfast._native import MarketHistory, encode_frame
from holdfast.venues.simulated import market_days
from holdfast.venues.simulated.answers import Refused, invalid, read_count, reply
from holdfast.venues.simulated.books import Books
from holdfast.venues.simulated.wire import Request, Response

CHANNELS = ("quotes", "trades", "bars")
SINGULAR = {"quotes": "quote", "trades": "trade", "bars": "bar", "orderbooks": "orderbook"}
PAGE_DEFAULT = 1000
PAGE_MAX = 10_000
STOCKS = "/v2/stocks/"
CRYPTO = "/v1beta3/crypto/us/"
TIMEFRAME = re.compile(r"(\d+)(Min|T|Hour|H|Day|D)")
MINUTES = {"Min": 1, "T": 1, "Hour": 60, "H": 60, "Day": 1440, "D": 1440}
MINUTE_NS = 60_000_000_000
TIME_MAX_NS = 2**62

Item = dict[str, Any]


class DataRest:
    """Answers the requests of the market-data host."""

    def __init__(self, history: MarketHistory, books: Books, now_ns: Callable[[], int], symbols: Sequence[str]) -> None:
        self._history = history
        self._books = books
        self._now_ns = now_ns
        self._symbols = frozenset(symbols)

    def answer(self, request: Request) -> Response | None:
        """Answer a GET; nothing when there is no such path."""
        if request.method != "GET":
            return None
        if request.path.startswith(STOCKS):
            return self._answer_stocks(request, request.path.removeprefix(STOCKS).split("/"))
        if request.path.startswith(CRYPTO):
            parts = request.path.removeprefix(CRYPTO).split("/")
            return self._answer_many(request, parts[::-1] if parts[0] == "latest" else parts)
        return None

    def _answer_stocks(self, request: Request, parts: list[str]) -> Response | None:
        if parts[0] in {*CHANNELS, "snapshots"}:
            return self._answer_many(request, parts)
        symbol, rest = parts[0], parts[1:]
        if rest == ["snapshot"]:
            return reply({"symbol": symbol, **self._snapshot(symbol)})
        if not rest or rest[0] not in CHANNELS:
            return None
        channel = rest[0]
        if rest[1:] == ["latest"]:
            return reply({"symbol": symbol, SINGULAR[channel]: self._latest(channel, symbol)})
        items, token = self._page(request, channel, [symbol])
        return reply({"symbol": symbol, channel: items.get(symbol, []), "next_page_token": token})

    def _answer_many(self, request: Request, parts: list[str]) -> Response | None:
        symbols = sorted({name for name in request.query.get("symbols", "").split(",") if name})
        if not symbols:
            raise Refused(400, 40010001, "symbols is required")
        channel = parts[0]
        if parts == ["snapshots"]:
            shots = {symbol: self._snapshot(symbol) for symbol in symbols if symbol in self._symbols}
            return reply({"snapshots": shots} if request.path.startswith(CRYPTO) else shots)
        if channel == "orderbooks" and parts[1:] == ["latest"]:
            return reply({"orderbooks": {symbol: self._books.as_message(symbol) for symbol in symbols}})
        if channel not in CHANNELS:
            return None
        if parts[1:] == ["latest"]:
            latest = {symbol: self._latest(channel, symbol) for symbol in symbols}
            return reply({channel: {symbol: item for symbol, item in latest.items() if item is not None}})
        if parts[1:]:
            return None
        items, token = self._page(request, channel, symbols)
        return reply({channel: items, "next_page_token": token})

    def _latest(self, channel: str, symbol: str) -> Item | None:
        records, _ = self._history.page(
            channel, symbol, start_ns=0, end_ns=TIME_MAX_NS, from_seq=None, count_max=1, is_descending=True
        )
        return _items(records)[0] if records else None

    def _snapshot(self, symbol: str) -> Item:
        """Return what is latest; the day's bar is that of the minutes so far."""
        minutes = self._minute_items(symbol, 0, TIME_MAX_NS)
        daily = _join(minutes, 1440)
        return {
            "latestTrade": self._latest("trades", symbol),
            "latestQuote": self._latest("quotes", symbol),
            "minuteBar": minutes[-1] if minutes else None,
            "dailyBar": daily[-1] if daily else None,
            "prevDailyBar": daily[-2] if len(daily) > 1 else None,
        }

    def _page(self, request: Request, channel: str, symbols: list[str]) -> tuple[dict[str, list[Item]], str | None]:
        query = request.query
        try:
            start_ns = market_days.parse_time_ns(query["start"]) if "start" in query else self._midnight_ns()
            end_ns = market_days.parse_time_ns(query["end"], is_end=True) if "end" in query else TIME_MAX_NS
        except ValueError:
            raise invalid("start and end: expected times as RFC 3339") from None
        limit = read_count(query, "limit", default=PAGE_DEFAULT, largest=PAGE_MAX)
        is_descending = query.get("sort", "asc") == "desc"
        minutes = _minutes(query.get("timeframe", "1Min")) if channel == "bars" else 1
        if minutes != 1:
            return self._joined_page(symbols, start_ns, end_ns, minutes=minutes, limit=limit)
        first, seq = _read_token(query.get("page_token", ""))
        found: dict[str, list[Item]] = {}
        for symbol in symbols:
            if symbol < first:
                continue
            if limit == 0:
                return found, _write_token(symbol, None)
            records, next_seq = self._history.page(
                channel,
                symbol,
                start_ns=start_ns,
                end_ns=end_ns,
                from_seq=seq if symbol == first else None,
                count_max=limit,
                is_descending=is_descending,
            )
            if records:
                found[symbol] = _items(records)
                limit -= len(records)
            if next_seq is not None:
                return found, _write_token(symbol, next_seq)
        return found, None

    def _joined_page(
        self, symbols: list[str], start_ns: int, end_ns: int, *, minutes: int, limit: int
    ) -> tuple[dict[str, list[Item]], None]:
        joined = {symbol: _join(self._minute_items(symbol, start_ns, end_ns), minutes) for symbol in symbols}
        if minutes == MINUTES["Day"]:
            days = market_days.midnights(start_ns, min(self._midnight_ns() - 1, end_ns))
            for symbol in self._symbols.intersection(symbols):
                own = {bar["t"]: bar for bar in joined[symbol]}
                joined[symbol] = list(({bar["t"]: bar for bar in _past_days(symbol, days)} | own).values())
        return {symbol: bars[:limit] for symbol, bars in joined.items() if bars}, None

    def _minute_items(self, symbol: str, start_ns: int, end_ns: int) -> list[Item]:
        records, _ = self._history.page(
            "bars", symbol, start_ns=start_ns, end_ns=end_ns, from_seq=None, count_max=PAGE_MAX, is_descending=False
        )
        return _items(records)

    def _midnight_ns(self) -> int:
        return market_days.parse_time_ns(f"{market_days.new_york(self._now_ns()):%Y-%m-%d}")


def _items(records: Sequence[Any]) -> list[Item]:
    """Return records as history shows them: the stream's messages without type and symbol."""
    messages: list[Item] = msgspec.json.decode(encode_frame(list(records), "json")) if records else []
    return [{name: value for name, value in message.items() if name not in {"T", "S"}} for message in messages]


def _minutes(timeframe: str) -> int:
    match = TIMEFRAME.fullmatch(timeframe)
    if match is None:
        raise invalid("timeframe: expected a number and Min, Hour or Day")
    return int(match[1]) * MINUTES[match[2]]


def _join(bars: list[Item], minutes: int) -> list[Item]:
    """Join minute bars into longer ones; days are those of New York."""
    joined: dict[int, Item] = {}
    for bar in bars:
        time_ns = market_days.parse_time_ns(bar["t"])
        if minutes >= MINUTES["Day"]:
            begin_ns = market_days.parse_time_ns(f"{market_days.new_york(time_ns):%Y-%m-%d}")
        else:
            begin_ns = time_ns - time_ns % (minutes * MINUTE_NS)
        whole = joined.get(begin_ns)
        if whole is None:
            text = dt.datetime.fromtimestamp(begin_ns // 1_000_000_000, dt.UTC)
            joined[begin_ns] = {**bar, "t": f"{text:%Y-%m-%dT%H:%M:%S}Z"}
            continue
        volume = whole["v"] + bar["v"]
        whole["vw"] = (whole["vw"] * whole["v"] + bar["vw"] * bar["v"]) / volume if volume else 0.0
        whole |= {
            "h": max(whole["h"], bar["h"]),
            "l": min(whole["l"], bar["l"]),
            "c": bar["c"],
            "v": volume,
            "n": whole["n"] + bar["n"],
        }
    return list(joined.values())


def _past_days(symbol: str, midnights_ns: Sequence[int]) -> Iterator[Item]:
    """Yield bars of days before the venue's first: invented, the same each time, at least a million shares."""
    prices = {"o": 100.0, "h": 101.0, "l": 99.0, "c": 100.0, "vw": 100.0}
    for begin_ns in midnights_ns:
        volume = 1_000_000 + crc32(f"{symbol} {begin_ns}".encode()) % 4_000_000
        text = dt.datetime.fromtimestamp(begin_ns // 1_000_000_000, dt.UTC)
        yield {"t": f"{text:%Y-%m-%dT%H:%M:%S}Z", **prices, "v": volume, "n": volume // 100}


def _write_token(symbol: str, seq: int | None) -> str:
    return urlsafe_b64encode(f"{symbol}|{'' if seq is None else seq}".encode()).decode()


def _read_token(token: str) -> tuple[str, int | None]:
    if not token:
        return "", None
    try:
        symbol, _, seq = b64decode(token.encode(), b"-_", validate=True).decode().partition("|")
        return symbol, int(seq) if seq else None
    except ValueError:
        raise invalid("page_token is not one of ours") from None
