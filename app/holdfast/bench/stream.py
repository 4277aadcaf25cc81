"""A quote from the socket into the journal: TLS, WebSocket, msgpack, record; beside alpaca-py's StockDataStream.

A server in a process of its own, on another core where there is one, sends the same frames to both. Figures are
processor time of the receiving process, so a busy machine does not count against either.
"""

import asyncio
import datetime as dt
import importlib.util
import ipaddress
import multiprocessing
import os
import ssl
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from holdfast import clock
from holdfast._native import Channel, FrameDecoder, GapReason, JournalName, JournalWriter
from holdfast.bench import BenchResult
from holdfast.venues.alpaca.feed import Feed, FeedEndpoint
from holdfast.venues.alpaca.feed_protocol import FeedProtocol, Note, Subscription

NAME = "stream"
SYMBOL = "IBM"
QUOTES_PER_S_BUDGET = 500_000
PEER_RATIO = 10
SENT_AT_ONCE = 16
TIMEOUT_S = 60.0


def run(*, quick: bool) -> list[BenchResult]:
    """Measure one quote a frame, and as many as a busy venue puts into one."""
    total = 20_000 if quick else 100_000
    has_peer = importlib.util.find_spec("alpaca") is not None
    results = []
    with tempfile.TemporaryDirectory() as folder:
        certificate = _make_certificate(Path(folder))
        for batch in (1, 25):
            with _server(certificate, batch=batch, total=total) as port:
                ours = _pinned(_receive(Path(folder), port, certificate, total))
                peer = _pinned(_receive_with_peer(port, certificate, total // 10)) if has_peer else None
            results += _results(batch, ours, peer, total=total)
    return results


def _results(
    batch: int, ours: tuple[float, float], peer: tuple[float, float] | None, *, total: int
) -> list[BenchResult]:
    ours_ns = ours[0] / total * 1e9
    peer_ns = None if peer is None else peer[0] / (total // 10) * 1e9
    peer_name = "" if peer is None else "alpaca-py"
    budget_ns = None if peer_ns is None else peer_ns / PEER_RATIO
    cost = BenchResult(
        bench=NAME,
        metric=f"quote from socket to journal, {batch} a frame",
        unit="ns of processor time",
        ours=ours_ns,
        budget=budget_ns,
        peer=peer_ns,
        peer_name=peer_name,
        met=None if budget_ns is None else ours_ns <= budget_ns,
    )
    if batch == 1:
        return [cost]
    rate = total / ours[1]
    return [
        cost,
        BenchResult(
            bench=NAME,
            metric=f"quotes through the stream, {batch} a frame",
            unit="1/s",
            ours=rate,
            budget=QUOTES_PER_S_BUDGET,
            peer=None if peer is None else total // 10 / peer[1],
            peer_name=peer_name,
            met=rate >= QUOTES_PER_S_BUDGET,
        ),
    ]


def _pinned(receive: Coroutine[Any, Any, tuple[float, float]]) -> tuple[float, float]:
    """Run on the first core; returns processor and wall seconds."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        return uvloop.run(receive)
    finally:
        os.sched_setaffinity(0, allowed)


def _now_s() -> tuple[float, float]:
    return clock.processor_ns() / 1e9, clock.monotonic_s()


def _since(start_s: tuple[float, float]) -> tuple[float, float]:
    processor_s, wall_s = _now_s()
    return processor_s - start_s[0], wall_s - start_s[1]


class _Silent:
    """An observer for a stream to which nothing happens."""

    def on_lost(self, reason: GapReason) -> None:
        """Nothing is done about it."""

    def on_resumed(self) -> None:
        """Nothing is done about it."""

    def on_noted(self, note: Note) -> None:
        """Fail: the benchmark's frames are all good."""
        raise AssertionError(note)

    def on_reconnecting(self, cause: str, after_s: float) -> None:
        """Fail: the benchmark would measure something else."""
        raise AssertionError(f"{cause}, again in {after_s} s")

    def on_watched(self, record_count: int) -> None:
        """Nothing is done about it."""


async def _receive(folder: Path, port: int, certificate: Path, total: int) -> tuple[float, float]:
    directory = Path(tempfile.mkdtemp(dir=folder))
    with JournalWriter(str(directory), JournalName.MARKET_DATA, now_ns=clock.now_ns()) as writer:
        subscription = Subscription(channels=("quotes",), symbols=(SYMBOL,))
        feed = Feed(
            FeedEndpoint(url=f"wss://127.0.0.1:{port}/v2/iex", encoding="msgpack", ca_file=certificate),
            FeedProtocol(key="key", secret="secret", subscription=subscription, random=lambda: 0.0),  # noqa: S106
            decoder=FrameDecoder("msgpack"),
            writer=writer,
            observer=_Silent(),
        )
        start_s = _now_s()
        task = asyncio.create_task(feed.run())
        async with asyncio.timeout(TIMEOUT_S):
            while feed.counts[Channel.QUOTES] < total and not task.done():  # noqa: ASYNC110 - an event would cost a check a frame
                await asyncio.sleep(0.001)
        taken_s = _since(start_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert writer.next_seq - 1 == feed.counts[Channel.QUOTES] == total
    return taken_s


async def _receive_with_peer(port: int, certificate: Path, total: int) -> tuple[float, float]:
    from alpaca.data.live import StockDataStream  # noqa: PLC0415 - it loads pandas, and only this benchmark pays for it

    context = ssl.create_default_context(cafile=str(certificate))
    stream = StockDataStream(
        "key", "secret", url_override=f"wss://127.0.0.1:{port}/v2/iex", websocket_params={"ssl": context}
    )
    count = 0
    done = asyncio.Event()

    async def on_quote(_quote: object) -> None:
        nonlocal count
        count += 1
        if count == total:
            done.set()

    stream.subscribe_quotes(on_quote, SYMBOL)
    start_s = _now_s()
    task = asyncio.create_task(stream._run_forever())  # noqa: SLF001 - `run` would start another event loop
    try:
        await asyncio.wait_for(done.wait(), TIMEOUT_S)
        return _since(start_s)
    finally:
        # It reconnects for ever when its task is cancelled, and a polite close waits behind unread frames.
        stream._should_run = False  # noqa: SLF001
        connection: Any = stream._ws  # noqa: SLF001
        connection.transport.abort()
        await stream.stop_ws()
        await asyncio.wait({task}, timeout=TIMEOUT_S)


@contextmanager
def _server(certificate: Path, *, batch: int, total: int) -> Iterator[int]:
    """Serve the frames on a free loopback port; yields the port."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_serve, args=(str(certificate), sender, batch, total), daemon=True)
    process.start()
    try:
        if not receiver.poll(TIMEOUT_S):
            raise TimeoutError("the benchmark's server did not start")
        yield receiver.recv()
    finally:
        process.kill()
        process.join()


def _serve(certificate: str, sender: Any, batch: int, total: int) -> None:  # noqa: ANN401 - a pipe's end has no public type
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    uvloop.run(_serve_frames(Path(certificate), sender.send, batch=batch, total=total))


async def _serve_frames(certificate: Path, ready: Callable[[int], None], *, batch: int, total: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    moment = dt.datetime(2013, 10, 8, 13, 30, tzinfo=dt.UTC)
    quote = {"T": "q", "S": SYMBOL, "bx": "N", "bp": 178.12, "bs": 3, "ax": "P", "ap": 178.14, "as": 5}
    quote |= {"c": ["R"], "z": "A", "t": moment}
    frame = msgspec.msgpack.encode([quote] * batch)
    server = await ws_create_server(
        lambda _request: _Sender(frame, total // batch), "127.0.0.1", 0, ssl=context, read_buffer_init_size=4096
    )
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Sender(WSListener):
    """Answers two messages, then sends until everything is sent or the peer is gone."""

    def __init__(self, frame: bytes, count: int) -> None:
        super().__init__()
        self._frame = frame
        self._left = count
        self._answers: list[dict[str, object]] = [
            {"T": "subscription", "quotes": [SYMBOL]},
            {"T": "success", "msg": "authenticated"},
        ]
        self._is_paused = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._send(transport, {"T": "success", "msg": "connected"})

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.fin and self._answers:
            self._send(transport, self._answers.pop())
            if not self._answers:
                asyncio.get_running_loop().call_soon(self._pump, transport)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False

    def _pump(self, transport: WSTransport) -> None:
        if transport.is_disconnected or not self._left:
            return
        for _ in range(0 if self._is_paused else min(SENT_AT_ONCE, self._left)):
            transport.send(WSMsgType.BINARY, self._frame)
            self._left -= 1
        asyncio.get_running_loop().call_soon(self._pump, transport)

    def _send(self, transport: WSTransport, message: dict[str, object]) -> None:
        transport.send(WSMsgType.BINARY, msgspec.msgpack.encode([message]))


def _make_certificate(folder: Path) -> Path:
    """Write a certificate for loopback that is its own authority; returns its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = clock.now_utc() - dt.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "cert.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.with_name("key.pem").write_bytes(private)
    return file
