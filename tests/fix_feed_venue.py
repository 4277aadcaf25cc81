"""A venue's data stream and history for what the simulated venue never does: every error code, hangs, cut lines.

It speaks the protocol of Alpaca's stream over TLS on a free loopback port; a test scripts each connection.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)


def quote(number: int, symbol: str = "IBM") -> dict[str, object]:
    """Return the quote of a millisecond; two quotes with one number are one quote."""
    return {
        "T": "q", "S": symbol, "bx": "N", "bp": 178.1, "bs": number % 50 + 1, "ax": "P", "ap": 178.12, "as": 3,
        "c": ["R"], "z": "A", "t": time_text(number),
    }  # fmt: skip


def trade(number: int, symbol: str = "IBM") -> dict[str, object]:
    """Return the trade of a millisecond."""
    return {
        "T": "t", "S": symbol, "i": number, "x": "V", "p": 178.11, "s": 100, "c": ["@"], "z": "A",
        "t": time_text(number),
    }  # fmt: skip


def time_text(number: int) -> str:
    """Return the time of a message, 13:30 UTC and `number` milliseconds."""
    seconds, milliseconds = divmod(number, 1000)
    return f"2013-10-08T13:{30 + seconds // 60:02}:{seconds % 60:02}.{milliseconds:03}Z"


def _stamped(message: dict[str, object]) -> dict[str, object]:
    """Return the message with its time as msgpack sends it: an extension, not text."""
    return {**message, "t": datetime.fromisoformat(str(message["t"]))} if "t" in message else message


class Session(WSListener):
    """One connection. `expect` awaits what the client sends; `send` sends one frame."""

    def __init__(self, encoding: str, on_connected: Callable[["Session"], None]) -> None:
        super().__init__()
        self.encoding = encoding
        self.ended = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self._received: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._on_connected = on_connected
        self._transport: WSTransport | None = None

    @property
    def transport(self) -> WSTransport:
        """The open connection."""
        assert self._transport is not None
        return self._transport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._on_connected(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            decode = msgspec.msgpack.decode if self.encoding == "msgpack" else msgspec.json.decode
            self._received.put_nowait(decode(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.ended.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def send(self, *messages: dict[str, object]) -> None:
        """Send one frame of messages."""
        if self.encoding == "msgpack":
            stamped = [
                {**each, "t": datetime.fromisoformat(str(each["t"]))} if "t" in each else each for each in messages
            ]
            self.transport.send(WSMsgType.BINARY, msgspec.msgpack.encode(stamped))
        else:
            self.transport.send(WSMsgType.TEXT, json.dumps(messages).encode())

    def error(self, code: int, text: str = "") -> None:
        """Send an error message."""
        self.send({"T": "error", "code": code, "msg": text})

    async def expect(self, action: str) -> dict[str, object]:
        """Return the client's next message, which must be this action."""
        message = await self._received.get()
        assert message["action"] == action, message
        return message

    async def welcome(self) -> dict[str, object]:
        """Greet, authenticate, and return what the client asks for."""
        self.send({"T": "success", "msg": "connected"})
        await self.expect("auth")
        self.send({"T": "success", "msg": "authenticated"})
        return await self.expect("subscribe")

    async def subscribe(self) -> None:
        """Do all of the handshake."""
        asked = await self.welcome()
        self.send({"T": "subscription", **{key: value for key, value in asked.items() if key != "action"}})


class FeedVenue:
    """The stream's sessions, as they come, and the history over REST."""

    def __init__(self) -> None:
        self.url = ""
        self.rest_url = ""
        self.refuse_status = 0
        self.attempts: asyncio.Queue[int] = asyncio.Queue()
        self.history: list[dict[str, object]] = []
        self.daily_bars: dict[str, list[dict[str, object]]] = {}
        self.history_status = 200
        self.history_asked: asyncio.Queue[str] = asyncio.Queue()
        self.page_items = 10_000
        self._sessions: asyncio.Queue[Session] = asyncio.Queue()

    async def session(self) -> Session:
        """Return the next connection."""
        return await self._sessions.get()

    def accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """Take or refuse a connection."""
        self.attempts.put_nowait(self.refuse_status)
        if self.refuse_status:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(self.refuse_status), None)
        encoding = "msgpack" if request.headers.get("Content-Type") == "application/msgpack" else "json"
        return Session(encoding, self._sessions.put_nowait)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve history on one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = self._page(head.split(b" ")[1].decode())
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _page(self, target: str) -> tuple[int, bytes]:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if query.get("timeframe") == ["1Day"]:
            return 200, json.dumps({"bars": self.daily_bars, "next_page_token": None}).encode()
        self.history_asked.put_nowait(parts.path)
        if self.history_status != 200:
            return self.history_status, b'{"message":"no"}'
        channel = parts.path.rsplit("/", 1)[1]
        kind = {"trades": "t", "quotes": "q", "bars": "b"}[channel]
        symbols = query["symbols"][0].split(",")
        start, end = query["start"][0][:23], query["end"][0][:23]
        items = [
            item
            for item in self.history
            if item["T"] == kind and item["S"] in symbols and start <= str(item["t"])[:23] <= end
        ]
        first = int(query.get("page_token", ["0"])[0])
        page = items[first : first + self.page_items]
        by_symbol: dict[str, list[dict[str, object]]] = {}
        for item in page:
            plain = {key: value for key, value in item.items() if key not in {"T", "S"}}
            by_symbol.setdefault(str(item["S"]), []).append(plain)
        token = str(first + len(page)) if first + len(page) < len(items) else None
        return 200, json.dumps({channel: by_symbol, "next_page_token": token}).encode()


@asynccontextmanager
async def serve_feed(certificate: Path) -> AsyncIterator[FeedVenue]:
    """Serve a scripted venue with a certificate whose key.pem lies beside it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    venue = FeedVenue()
    tasks: set[asyncio.Task[None]] = set()

    def serve_history(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(venue.answer(reader, writer)))

    stream = await ws_create_server(venue.accept, "127.0.0.1", 0, ssl=context)
    rest = await asyncio.start_server(serve_history, "127.0.0.1", 0, ssl=context)
    venue.url = f"wss://127.0.0.1:{stream.sockets[0].getsockname()[1]}"
    venue.rest_url = f"https://127.0.0.1:{rest.sockets[0].getsockname()[1]}"
    try:
        yield venue
    finally:
        stream.close()
        rest.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
