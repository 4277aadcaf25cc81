"""HTTP/1.1 over a few warm TLS connections, one request at a time on each.

A request ends in a value that says what is proven about it: a `Response`, `NotSent` (no byte left: safe to send
again) or `Unproven` (bytes left and no complete answer came back). Nothing here sends a request twice.
"""

import asyncio
import contextlib
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import aiofastnet
import httptools

from holdfast import clock, metrics
from holdfast.errors import RetryLater
from holdfast.service import SendingEdge

BODY_BYTES_MAX = 16 * 1024 * 1024
HEAD_BYTES_MAX = 64 * 1024
CONNECT_TIMEOUT_S = 5.0
IDLE_S_MAX = 45.0
RETRY_S_MIN = 0.05
RETRY_S_MAX = 5.0
GET_TIMEOUT_S = 5.0
WAITING_MAX = 256
UNACKNOWLEDGED_MS_MAX = 3000
LEASE_OVER = "the lease of the account is over"


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer of the venue. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left: it may be sent again."""

    detail: str


@dataclass(frozen=True, slots=True)
class Unproven:
    """Bytes left and nothing proves what came of them: ask the venue, never send again."""

    detail: str


Outcome = Response | NotSent | Unproven


def answer_class(outcome: Outcome) -> str:
    """Return the outcome as the label of a metric."""
    match outcome:
        case Response(status=429):
            return "429"
        case Response(status=status):
            return f"{status // 100}xx"
        case NotSent():
            return "not_sent"
        case Unproven():
            return "unproven"


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a verifying client context; `ca_file` replaces the system's authorities."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where requests go, and the headers each of them carries."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str, *, headers: Mapping[str, str] | None = None) -> Self:
        """Take `https://host[:port]`."""
        parts = urlsplit(url)
        assert parts.scheme == "https", url
        assert parts.hostname, url
        return cls(host=parts.hostname, port=parts.port or 443, headers=dict(headers or {}))

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        return self.host if self.port == 443 else f"{self.host}:{self.port}"

    def head(self) -> str:
        """Return the header lines that do not depend on the request, each ended by CRLF."""
        lines = {"Host": self.authority, **self.headers}
        assert not any("\r" in text or "\n" in text for pair in lines.items() for text in pair)
        return "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    def encode(self, method: str, target: str, body: bytes = b"") -> bytes:
        """Return the bytes of a request; `body` is JSON."""
        assert target.isprintable(), target
        assert " " not in target, target
        content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        return f"{method} {target} HTTP/1.1\r\n{self.head()}{content}\r\n".encode() + body


class Line(asyncio.Protocol):
    """One TLS connection that carries at most one request at a time.

    Invariant: `send` writes only while nothing else is outstanding, and only before the edge's deadline; whatever ends
    the connection answers the outstanding request with `Unproven`.
    """

    def __init__(self, on_idle: Callable[["Line"], None], edge: SendingEdge | None = None) -> None:
        self._on_idle = on_idle
        self._edge = edge
        self._place: int | None = None
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Outcome] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._received_bytes = 0
        self._is_head_complete = False
        self.closed = asyncio.Event()
        self.is_closed = True

    @property
    def is_usable(self) -> bool:
        """Whether a request may be written now."""
        return self._answer is None and not self.is_closed

    def send(self, request: bytes, *, timeout_s: float) -> asyncio.Future[Outcome]:
        """Write one request now and return what will be known about it after at most `timeout_s`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        if not self.is_usable or self._transport is None or self._transport.is_closing():
            answer.set_result(NotSent("the connection was closed"))
            return answer
        self._answer = answer
        self._expiry = loop.call_later(timeout_s, self._expire, timeout_s)
        # Nothing may come between this check and the write; what stops the process there is the edge's own timer's.
        if self._edge is None or self._edge.is_open:
            self._transport.write(request)
        else:
            self._settle(NotSent(LEASE_OVER))
            self._fail(LEASE_OVER)
        return answer

    def close(self) -> None:
        """End the connection; an outstanding request becomes `Unproven`."""
        self._fail("the connection was closed by us")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's callback."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_closed = False
        raw = transport.get_extra_info("socket")
        if self._edge is not None:
            self._place = self._edge.admit(raw.fileno())
            if self._place is None:
                self._fail(LEASE_OVER)
                return
            with contextlib.suppress(OSError):
                # What is not acknowledged by then is given up by the kernel: it must not arrive when another sends.
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX)
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Asyncio's callback."""
        if self._answer is None:
            self._fail("bytes without a request")
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"not HTTP: {error}")
        if not self._is_head_complete and self._received_bytes > HEAD_BYTES_MAX:
            self._fail(f"headers longer than {HEAD_BYTES_MAX} bytes")

    def eof_received(self) -> bool:
        """Asyncio's callback."""
        self._fail("the venue closed the connection")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Asyncio's callback."""
        self._fail(f"connection lost: {error}" if error else "connection lost")
        if self._edge is not None and self._place is not None:
            self._edge.release(self._place)
            self._place = None

    def on_message_begin(self) -> None:
        """Parser's callback."""
        if self._answer is None:
            self._fail("an answer without a request")
        self._headers = {}
        self._body = bytearray()
        self._is_head_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser's callback."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Parser's callback."""
        self._is_head_complete = True

    def on_body(self, body: bytes) -> None:
        """Parser's callback."""
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            self._fail(f"body longer than {BODY_BYTES_MAX} bytes")

    def on_message_complete(self) -> None:
        """Parser's callback."""
        status = self._parser.get_status_code()
        if self._answer is None or status < 200:
            return
        outcome = Response(status, self._headers, bytes(self._body))
        is_kept_alive = self._parser.should_keep_alive()
        self._settle(outcome)
        if not is_kept_alive:
            self._fail("not kept alive")
        elif not self.is_closed:
            self._on_idle(self)

    def _settle(self, outcome: Outcome) -> None:
        answer, self._answer = self._answer, None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._received_bytes = 0
        if answer is not None and not answer.done():
            answer.set_result(outcome)
            metrics.VENUE_ANSWERS.labels(answer_class(outcome)).inc()

    def _fail(self, detail: str) -> None:
        self.is_closed = True
        self.closed.set()
        if self._answer is not None:
            self._settle(Unproven(detail))
        if self._transport is not None:
            self._transport.abort()

    def _expire(self, timeout_s: float) -> None:
        self._fail(f"no answer within {timeout_s:g} s")


class Connection:
    """A few warm lines to one origin; use it as an async context manager.

    With an `edge` they exist only before its deadline: the kernel cuts them then, and none is opened after.

    Invariant: a line is in `_idle` only while it is usable. Lost lines are opened again in the background with a
    jittered pause; a line idle for long is replaced before the venue would close it under a request.
    """

    def __init__(
        self,
        origin: Origin,
        context: ssl.SSLContext,
        *,
        lines: int = 2,
        idle_s_max: float = IDLE_S_MAX,
        edge: SendingEdge | None = None,
    ) -> None:
        assert lines > 0
        self._edge = edge
        self.origin = origin
        self._context = context
        self._line_count = lines
        self._idle_s_max = idle_s_max
        self._idle: deque[Line] = deque()
        self._idle_since_s: dict[Line, float] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._group = asyncio.TaskGroup()
        self._keepers: list[asyncio.Task[None]] = []
        self.connects = 0
        self.last_error = "not connected yet"

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._keepers = [self._group.create_task(self._keep()) for _ in range(self._line_count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await self._group.__aexit__(None, None, None)

    @property
    def is_warm(self) -> bool:
        """Whether a request could be written at once."""
        return any(line.is_usable for line in self._idle)

    def take(self) -> Line | None:
        """Take an idle line, or nothing: the fast path. A taken line returns by itself once answered."""
        while self._idle:
            line = self._idle.popleft()
            self._idle_since_s.pop(line, None)
            if line.is_usable:
                return line
        return None

    def give_back(self, line: Line) -> None:
        """Return a line that was taken and not used."""
        if line.is_usable:
            self._idle.appendleft(line)
            self._idle_since_s[line] = clock.monotonic_s()
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    break

    async def acquire(self, *, timeout_s: float) -> Line | None:
        """Take an idle line, waiting for one at most `timeout_s`; nothing when `WAITING_MAX` others wait already."""
        deadline_s = clock.monotonic_s() + timeout_s
        while (line := self.take()) is None:
            left_s = deadline_s - clock.monotonic_s()
            if left_s <= 0 or len(self._waiting) >= WAITING_MAX:
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                async with asyncio.timeout(left_s):
                    await waiter
            except TimeoutError:
                return None
            finally:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiter)
        return line

    async def request(self, request: bytes, *, timeout_s: float) -> Outcome:
        """Send the bytes once; `timeout_s` bounds waiting for a line and for the answer, each."""
        line = await self.acquire(timeout_s=timeout_s)
        if line is None:
            metrics.VENUE_ANSWERS.labels("not_sent").inc()
            return NotSent(f"no connection to {self.origin.authority}: {self.last_error}")
        return await line.send(request, timeout_s=timeout_s)

    async def get(self, target: str, *, timeout_s: float = GET_TIMEOUT_S) -> Response:
        """Read one resource; whatever its status, the answer is complete.

        Raises: RetryLater without a complete answer: reading has no effect, so the caller may ask again.
        """
        outcome = await self.request(self.origin.encode("GET", target), timeout_s=timeout_s)
        if isinstance(outcome, Response):
            return outcome
        raise RetryLater(f"GET {target.partition('?')[0]}: {outcome.detail}")

    async def _keep(self) -> None:
        """Keep one line open for as long as the connection is used."""
        pause_s = RETRY_S_MIN
        while True:
            try:
                line = await self._open()
            except (OSError, TimeoutError, ssl.SSLError) as error:
                self.last_error = str(error) or type(error).__name__
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter
                pause_s = min(pause_s * 2, RETRY_S_MAX)
                continue
            opened_s = clock.monotonic_s()
            try:
                await self._wait_until_spent(line)
            finally:
                self._forget(line)
                line.close()
            # A venue that accepts and closes at once must not be hammered.
            if clock.monotonic_s() - opened_s < 1.0:
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter
                pause_s = min(pause_s * 2, RETRY_S_MAX)
            else:
                pause_s = RETRY_S_MIN

    async def _open(self) -> Line:
        if self._edge is not None and not self._edge.is_open:
            raise OSError(LEASE_OVER)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            # Writes at once, where uvloop's own transport waits for the end of the loop's turn.
            _, line = await aiofastnet.create_connection(
                asyncio.get_running_loop(),
                lambda: Line(self.give_back, self._edge),
                self.origin.host,
                self.origin.port,
                ssl=self._context,
            )
        self.connects += 1
        self.give_back(line)
        return line

    async def _wait_until_spent(self, line: Line) -> None:
        """Return when the line closed, or was idle for so long that it must be replaced."""
        while not line.closed.is_set():
            try:
                # Not wait_for: Python 3.11's may swallow a cancellation that comes together with the event.
                async with asyncio.timeout(self._idle_s_max / 4):
                    await line.closed.wait()
            except TimeoutError:
                since_s = self._idle_since_s.get(line)
                if since_s is not None and clock.monotonic_s() - since_s > self._idle_s_max * 3 / 4:
                    return

    def _forget(self, line: Line) -> None:
        self._idle_since_s.pop(line, None)
        with contextlib.suppress(ValueError):
            self._idle.remove(line)
