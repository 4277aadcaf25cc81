"""The order stream against a real WebSocket server over TLS."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from fix_tls import make_certificate
from holdfast.venues.alpaca import order_stream
from holdfast.venues.alpaca.connection import tls_context
from holdfast.venues.alpaca.order_messages import OrderUpdate
from holdfast.venues.alpaca.order_stream import OrderStream
from patience import PATIENCE_S

Script = Callable[[ServerConnection], Awaitable[None]]
UPDATE = {
    "stream": "trade_updates",
    "data": {
        "event": "new",
        "order": {"id": "1", "client_order_id": "hf-1-1", "symbol": "IBM", "status": "new", "side": "buy"},
    },
}
AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
LISTENING = {"stream": "listening", "data": {"streams": ["trade_updates"]}}


class Heard:
    """Keeps what the stream said."""

    def __init__(self) -> None:
        self.updates: asyncio.Queue[OrderUpdate] = asyncio.Queue()
        self.sessions: asyncio.Queue[None] = asyncio.Queue()

    def on_update(self, update: OrderUpdate) -> None:
        if update.order.symbol == "BOOM":
            raise RuntimeError("the journal is broken")
        self.updates.put_nowait(update)

    def on_listening(self) -> None:
        self.sessions.put_nowait(None)


@asynccontextmanager
async def streaming(tmp_path: Path, script: Script) -> AsyncIterator[tuple[OrderStream, Heard, "asyncio.Task[None]"]]:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")

    async def served(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await script(connection)

    async with serve(served, "127.0.0.1", 0, ssl=context) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"wss://127.0.0.1:{port}/stream"
        stream = OrderStream(url, key="k", secret="s", context=tls_context(certificate))
        heard = Heard()
        running = asyncio.create_task(stream.run(heard))
        try:
            yield stream, heard, running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, RuntimeError):
                await running


async def accept(connection: ServerConnection) -> None:
    """Authenticate and subscribe a client."""
    assert json.loads(await connection.recv())["action"] in {"authenticate", "auth"}
    await connection.send(json.dumps(AUTHORIZED).encode())
    assert json.loads(await connection.recv()) == {"action": "listen", "data": {"streams": ["trade_updates"]}}
    await connection.send(json.dumps(LISTENING).encode())


@pytest.mark.parametrize("frames", ["binary json", "text json", "binary msgpack", "fragments"])
async def test_updates_arrive_in_every_kind_of_frame(tmp_path: Path, frames: str) -> None:
    async def script(connection: ServerConnection) -> None:
        await accept(connection)
        text = json.dumps(UPDATE)
        await connection.send(b"\x00garbage")
        if frames == "text json":
            await connection.send(text)
        elif frames == "binary msgpack":
            await connection.send(msgspec.msgpack.encode(UPDATE))
        elif frames == "fragments":
            await connection.send([text[:9].encode(), text[9:30].encode(), text[30:].encode()])
        else:
            await connection.send(text.encode())
        await connection.wait_closed()

    async with streaming(tmp_path, script) as (stream, heard, _):
        update = await asyncio.wait_for(heard.updates.get(), PATIENCE_S)
        assert (update.event, update.order.client_order_id) == ("new", "hf-1-1")
        assert stream.is_live
        assert stream.session == 1
        assert stream.dropped == 1


async def test_the_other_form_of_authentication_is_tried(tmp_path: Path) -> None:
    async def script(connection: ServerConnection) -> None:
        if json.loads(await connection.recv())["action"] == "authenticate":
            await connection.send(json.dumps(AUTHORIZED | {"data": {"status": "unauthorized"}}))
        else:
            await connection.send(json.dumps(AUTHORIZED))
            await connection.recv()
            await connection.send(json.dumps(LISTENING))
        await connection.wait_closed()

    async with streaming(tmp_path, script) as (stream, heard, _):
        await asyncio.wait_for(heard.sessions.get(), PATIENCE_S)
        assert not stream.is_unauthorized


async def test_a_dead_peer_is_noticed_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_stream, "SILENCE_S_MAX", 0.3)
    monkeypatch.setattr(order_stream, "PING_INTERVAL_S", 0.05)
    is_over = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await accept(connection)
        connection.transport.pause_reading()
        await is_over.wait()
        connection.transport.abort()

    async with streaming(tmp_path, script) as (stream, heard, _):
        await asyncio.wait_for(heard.sessions.get(), PATIENCE_S)
        await asyncio.wait_for(heard.sessions.get(), PATIENCE_S)
        assert stream.session == 2
        is_over.set()


async def test_pongs_alone_keep_a_quiet_stream_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_stream, "SILENCE_S_MAX", 0.3)
    monkeypatch.setattr(order_stream, "PING_INTERVAL_S", 0.05)

    async def script(connection: ServerConnection) -> None:
        await accept(connection)
        await connection.wait_closed()

    async with streaming(tmp_path, script) as (stream, heard, running):
        await asyncio.wait_for(heard.sessions.get(), PATIENCE_S)
        await asyncio.wait({running}, timeout=0.6)
        assert stream.is_live
        assert stream.session == 1


async def test_an_update_that_cannot_be_kept_ends_the_run(tmp_path: Path) -> None:
    async def script(connection: ServerConnection) -> None:
        await accept(connection)
        await connection.send(json.dumps(UPDATE).replace("IBM", "BOOM"))
        await connection.wait_closed()

    async with streaming(tmp_path, script) as (_, _, running):
        with pytest.raises(RuntimeError, match="the journal is broken"):
            await asyncio.wait_for(running, PATIENCE_S)
