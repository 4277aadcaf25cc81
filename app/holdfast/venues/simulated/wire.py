"""HTTP/1.1 and WebSocket on one port, as thin as possible: the core answers, this carries bytes.

Everything that leaves goes through `Connection.respond` and `Socket.send`, everything that arrives through
`Site.answer` and `Stream.on_message`: who wants to disturb the venue wraps these.
"""

import asyncio
import hashlib
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import parse_qsl, unquote

import httptools
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

BODY_BYTES_MAX = 1024 * 1024
MESSAGE_BYTES_MAX = 1024 * 1024
UNSENT_BYTES_MAX = 64 * 1024 * 1024
FINAL = 0x80
LENGTH_16, LENGTH_64 = 126, 127
HANDSHAKE_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REASONS = {
    200: "OK",
    204: "No Content",
    207: "Multi-Status",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

Delivery = Callable[[asyncio.Transport, bytes], None]


@dataclass(frozen=True, slots=True)
class Request:
    """A request; header names are in lower case, the path is decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; JSON unless its body is empty. `delivery` sends its bytes in another way than at once and whole."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery | None = None

    def encode(self) -> bytes:
        """Return the bytes of the answer."""
        reason = REASONS.get(self.status, "Unknown")
        lines = [f"HTTP/1.1 {self.status} {reason}", f"Content-Length: {len(self.body)}"]
        if self.body:
            lines.append("Content-Type: application/json; charset=UTF-8")
        lines.extend(f"{name}: {value}" for name, value in self.headers.items())
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class Stream(Protocol):
    """What serves one WebSocket."""

    def on_open(self) -> None:
        """Greet the client, which may be sent to from now on."""

    def on_message(self, data: bytes) -> None:
        """Take one whole message, text or binary."""

    def on_close(self) -> None:
        """Notice that the client is gone."""


class Site(Protocol):
    """What answers requests and opens streams."""

    def answer(self, request: Request) -> Response:
        """Answer one request."""

    def open_stream(self, request: Request, socket: "Socket") -> Stream | Response:
        """Serve a WebSocket from now on, or refuse it by an answer. Nothing may be sent before this returns."""

    def on_connect(self, connection: "Connection") -> None:
        """Notice a new connection."""

    def on_disconnect(self, connection: "Connection") -> None:
        """Notice the end of a connection."""


def _head(opcode: Opcode, length: int) -> bytes:
    """Return the head of a whole message's one frame, unmasked as a server's are. Source: RFC 6455, 5.2."""
    first = FINAL | opcode
    if length < LENGTH_16:
        return bytes((first, length))
    if length < 1 << 16:
        return struct.pack("!BBH", first, LENGTH_16, length)
    return struct.pack("!BBQ", first, LENGTH_64, length)


class Socket:
    """The sending side of one WebSocket.

    Invariant: a client that leaves more than `UNSENT_BYTES_MAX` unread is cut off.
    """

    def __init__(self, connection: "Connection", transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self.is_open = True
        self._is_frozen = False

    def send(self, data: bytes, *, is_binary: bool) -> None:
        """Send one message; nothing happens on a closed or frozen socket."""
        if not self.is_open or self._is_frozen:
            return
        self._transport.write(_head(Opcode.BINARY if is_binary else Opcode.TEXT, len(data)) + data)
        if self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self.abort()

    @property
    def unsent_bytes(self) -> int:
        """How much the client has not yet taken from us."""
        return self._transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Return when the client has taken most of what was sent, or is gone."""
        await self._connection.writable.wait()

    def freeze(self) -> None:
        """Send and hear nothing any more, pings included, as if the network were cut: the connection stays open."""
        self._is_frozen = True
        self._connection.is_deaf = True

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close politely."""
        if self.is_open and not self._is_frozen:
            self._connection.close_socket(code, reason)

    def abort(self) -> None:
        """Cut the connection."""
        self.is_open = False
        self._transport.abort()


class Connection(asyncio.Protocol):
    """One TLS connection: requests one after another, or a WebSocket after an upgrade."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._frames: ServerProtocol | None = None
        self._stream: Stream | None = None
        self._socket: Socket | None = None
        self._message = bytearray()
        self.is_deaf = False
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's callback."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1024 * 1024)
        self._site.on_connect(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Asyncio's callback."""
        self.writable.set()
        self._site.on_disconnect(self)
        if self._socket is not None:
            self._socket.is_open = False
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.on_close()

    def pause_writing(self) -> None:
        """Asyncio's callback."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Asyncio's callback."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Asyncio's callback."""
        if self.is_deaf:
            return
        if self._frames is not None:
            self._receive_frames(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.respond(Response(400, b'{"code":40010000,"message":"not HTTP"}'), is_last=True)

    def respond(self, response: Response, *, is_last: bool = False) -> None:
        """Send an answer."""
        if self._transport is None:
            return
        if response.delivery is not None:
            response.delivery(self._transport, response.encode())
            return
        self._transport.write(response.encode())
        if is_last:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def close_socket(self, code: int, reason: str) -> None:
        """Send a close frame; the connection ends once the client has answered it."""
        if self._frames is not None and self._transport is not None and self._frames.state is State.OPEN:
            self._frames.send_close(code, reason)
            self._flush_frames()

    def on_message_begin(self) -> None:
        """Parser's callback."""
        self._url = b""
        self._headers = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        """Parser's callback."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser's callback."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Parser's callback."""
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            self.respond(Response(413), is_last=True)

    def on_message_complete(self) -> None:
        """Parser's callback."""
        if not self._parser.should_upgrade():
            is_last = not self._parser.should_keep_alive()
            self.respond(self._site.answer(self._request()), is_last=is_last)

    def _request(self) -> Request:
        parts = httptools.parse_url(self._url)
        return Request(
            method=self._parser.get_method().decode(),
            path=unquote(parts.path.decode()),
            query=dict(parse_qsl((parts.query or b"").decode(), keep_blank_values=True)),
            headers=self._headers,
            body=bytes(self._body),
        )

    def _upgrade(self, rest: bytes) -> None:
        assert self._transport is not None
        key = self._headers.get("sec-websocket-key", "")
        if not key or self._headers.get("upgrade", "").lower() != "websocket":
            self.respond(Response(400, b'{"code":40010000,"message":"not a WebSocket handshake"}'), is_last=True)
            return
        token = hashlib.sha1(key.encode() + HANDSHAKE_GUID).digest()  # noqa: S324 - the protocol's own hash
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        socket = Socket(self, self._transport)
        opened = self._site.open_stream(self._request(), socket)
        if isinstance(opened, Response):
            self.respond(opened, is_last=True)
            return
        self._transport.write(head.encode() + b64encode(token) + b"\r\n\r\n")
        self._frames = ServerProtocol(state=State.OPEN, max_size=MESSAGE_BYTES_MAX)
        self._stream, self._socket = opened, socket
        opened.on_open()
        if rest:
            self._receive_frames(rest)

    def _receive_frames(self, data: bytes) -> None:
        assert self._frames is not None
        try:
            self._frames.receive_data(data)
        except WebSocketException:
            self.abort()
            return
        for frame in self._frames.events_received():
            if isinstance(frame, Frame) and frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._message += frame.data
                if frame.fin and self._stream is not None:
                    message, self._message = bytes(self._message), bytearray()
                    self._stream.on_message(message)
        self._flush_frames()

    def _flush_frames(self) -> None:
        assert self._frames is not None
        assert self._transport is not None
        for data in self._frames.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if self._frames.state is not State.OPEN and self._socket is not None:
            self._socket.is_open = False
