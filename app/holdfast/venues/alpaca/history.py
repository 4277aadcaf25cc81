"""Past trades, quotes and bars over REST, as frames of the stream.

History names the same fields as the stream and leaves out type and symbol, so each item becomes the stream's
message by writing those two in front of its text: one decoder serves both, and no number is read on the way.

Source: Alpaca, "Historical market data" for stocks (`/v2/stocks`) and crypto (`/v1beta3/crypto/us`).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

import msgspec

from holdfast._native import Channel
from holdfast.errors import BadInput, ConfigError, RetryLater
from holdfast.symbols import is_crypto_pair
from holdfast.venues.alpaca.connection import Response
from holdfast.venues.alpaca.wire import rfc3339

PAGE_ITEMS_MAX = 10_000
FRAME_ITEMS_MAX = 256
PAGES_MAX = 500
MESSAGE_TYPES = {Channel.TRADES: "t", Channel.QUOTES: "q", Channel.BARS: "b"}
STATUS_TOO_MANY = 429


class Page(msgspec.Struct):
    """One answer of the venue; the items' text is kept as it came."""

    trades: dict[str, list[msgspec.Raw]] | None = None
    quotes: dict[str, list[msgspec.Raw]] | None = None
    bars: dict[str, list[msgspec.Raw]] | None = None
    next_page_token: str | None = None


class Getter(Protocol):
    """What history needs of a connection."""

    async def get(self, target: str, *, timeout_s: float = ...) -> Response:
        """Read one resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRequest:
    """Items of one channel with `start_ns <= time <= end_ns`, oldest first within a symbol."""

    channel: Channel
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    feed: str = ""
    timeframe: str = "1Min"

    @property
    def is_crypto(self) -> bool:
        """Whether the symbols are pairs; one request never mixes them with shares."""
        return is_crypto_pair(self.symbols[0])

    def target(self, page_token: str = "") -> str:
        """Return path and query."""
        query: dict[str, str] = {
            "symbols": ",".join(self.symbols),
            "start": rfc3339(self.start_ns),
            "end": rfc3339(self.end_ns),
            "limit": str(PAGE_ITEMS_MAX),
            "sort": "asc",
        }
        if self.channel is Channel.BARS:
            query["timeframe"] = self.timeframe
        if self.feed and not self.is_crypto:
            query["feed"] = self.feed
        if page_token:
            query["page_token"] = page_token
        folder = "/v1beta3/crypto/us" if self.is_crypto else "/v2/stocks"
        return f"{folder}/{self.channel.label}?{urlencode(query)}"


def page_of(response: Response) -> Page:
    """Return an answer's content. Raises: RetryLater for 429 and 5xx, ConfigError for 401 and 403, else BadInput."""
    if response.status == STATUS_TOO_MANY or response.status >= 500:
        raise RetryLater(f"history answered {response.status}")
    if response.status in {401, 403}:
        found = f"{response.status} {response.body[:200].decode(errors='replace')}"
        raise ConfigError(file="venue history", key="venue.feed", expected="a feed the account may read", found=found)
    if response.status != 200:
        raise BadInput(f"history answered {response.status}: {response.body[:200].decode(errors='replace')}")
    try:
        return msgspec.json.decode(response.body, type=Page)
    except msgspec.DecodeError as error:
        raise BadInput(f"history sent no page: {error}") from None


def parse_page(response: Response, channel: Channel) -> tuple[list[bytes], str]:
    """Return the frames of an answer and the token of the next page, empty at the end. Raises: as `page_of`."""
    page = page_of(response)
    by_symbol: Mapping[str, list[msgspec.Raw]] = getattr(page, channel.label) or {}
    return _frames(by_symbol, MESSAGE_TYPES[channel]), page.next_page_token or ""


async def fetch(
    connection: Getter, request: HistoryRequest, *, page_token: str = "", pages_max: int = PAGES_MAX
) -> AsyncIterator[tuple[list[bytes], str]]:
    """Yield the frames of one page after another with the token of the next, beginning at `page_token`.

    Raises: as `parse_page`; RetryLater also without an answer; BadInput after `pages_max` pages.
    """
    for _ in range(pages_max):
        frames, page_token = parse_page(await connection.get(request.target(page_token)), request.channel)
        yield frames, page_token
        if not page_token:
            return
    raise BadInput(f"history of {request.channel.label} has more than {pages_max} pages")


def _frames(by_symbol: Mapping[str, list[msgspec.Raw]], message_type: str) -> list[bytes]:
    """Join items into the stream's frames, each bounded so that decoding one does not hold up live data."""
    messages = []
    for symbol, items in by_symbol.items():
        front = b'{"T":"%s","S":%s,' % (message_type.encode(), msgspec.json.encode(symbol))
        for item in items:
            text = bytes(item)
            if not text.startswith(b"{") or len(text) < 3:
                raise BadInput(f"history sent an item that is no object: {text[:80]!r}")
            messages.append(front + text[1:])
    return [
        b"[" + b",".join(messages[first : first + FRAME_ITEMS_MAX]) + b"]"
        for first in range(0, len(messages), FRAME_ITEMS_MAX)
    ]
