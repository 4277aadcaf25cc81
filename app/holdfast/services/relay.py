"""relay: serves this host's journals to other hosts, or mirrors another host's journals here.

One bound socket a journal. A client opens it with the number of the record it wants next and with credit; the relay
sends whole records as they stand in the journal while the client has credit, so a slow client loses nothing and costs
nothing. A client that hears nothing reconnects and opens again from what it has: resuming is the only recovery.

    client                                relay
    [open, {from_seq, last_crc, credit}]
                                          [head, {identity, heartbeat_ns, first_seq, last_seq}]
                                          [data, first seq, records]      costs one credit
    [credit, n]
                                          [beat, as head]                 every 0.2 s
    [beat]                                                                every 1 s
                                          [error, {code, message}]        ends the session
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import structlog
import zmq
import zmq.asyncio

from holdfast import clock, curve
from holdfast._native import (
    JournalError,
    JournalMissing,
    JournalNotifier,
    JournalReader,
    JournalWriter,
)
from holdfast.errors import ConfigError, OperatingError, RetryLater
from holdfast.journals import journal_directory
from holdfast.metrics import RELAY_CLIENTS, RELAY_MIRROR_LAG, RELAY_SENT_BYTES
from holdfast.service import Frame
from holdfast.settings import Settings

CHUNK_BYTES = 256 * 1024
CREDIT_MAX = 16
SESSIONS_MAX = 16
REQUEST_BYTES_MAX = 1024
BEAT_INTERVAL_S = 0.2
CLIENT_BEAT_INTERVAL_S = 1.0
CLIENT_SILENCE_S = 5.0
SERVER_SILENCE_S = 2.0
RETRY_INTERVAL_S = 0.5
CRC_AT = slice(4, 8)

log = structlog.get_logger()


class Open(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client asks for. `last_crc` is the checksum of its last record: both must have the same one."""

    from_seq: int
    credit: int
    last_crc: int | None = None


class Standing(msgspec.Struct, frozen=True):
    """Where a journal stands."""

    identity: tuple[int, int, int, int, int, int]
    heartbeat_ns: int
    first_seq: int
    last_seq: int


class Refusal(msgspec.Struct, frozen=True):
    """Why a session ended: `missing` may be tried again, all else needs a person."""

    code: str
    message: str


@dataclass(slots=True)
class Session:
    """One client reading one journal."""

    user: str
    reader: JournalReader
    credit: int
    heard_ns: int


def _crc_before(reader: JournalReader, seq: int) -> int | None:
    """Return the checksum of the record before `seq`; the reader then stands at `seq`."""
    if seq <= 1:
        reader.seek(seq)
        return None
    reader.seek(seq - 1)
    return int.from_bytes(reader.read_raw(1)[CRC_AT], "little")


def _standing(reader: JournalReader) -> bytes:
    standing = Standing(reader.identity, reader.heartbeat_ns, reader.first_seq, reader.last_seq)
    return msgspec.json.encode(standing)


@dataclass(slots=True)
class JournalServer:
    """Serves one journal on one bound socket. `is_allowed` says whether a user may read it."""

    name: str
    directory: Path
    socket: zmq.asyncio.Socket
    is_allowed: Callable[[str, str], bool]
    sessions: dict[bytes, Session] = field(default_factory=dict)

    async def receive(self) -> None:
        """Answer clients until cancelled."""
        while True:
            frames: list[Any] = await self.socket.recv_multipart(copy=False)
            route, parts = frames[0].bytes, frames[1:]
            user = curve.user_of(frames[-1])
            if not 1 <= len(parts) <= 2 or any(len(part) > REQUEST_BYTES_MAX for part in parts):
                self._end(route, "bad_request")
                continue
            try:
                await self._answer(route, user, parts[0].bytes, parts[-1].bytes)
            except msgspec.MsgspecError as error:
                await self._refuse(route, "bad_request", str(error))
            except JournalMissing as error:
                await self._refuse(route, "missing", str(error))
            except JournalError as error:
                await self._refuse(route, type(error).__name__, str(error))

    async def _answer(self, route: bytes, user: str, kind: bytes, body: bytes) -> None:
        if not self.is_allowed(user, self.name):
            await self._refuse(route, "forbidden", f"{user or 'nobody'} may not read {self.name}")
            return
        if kind == b"open":
            await self._open(route, user, msgspec.json.decode(body, type=Open))
            return
        session = self.sessions.get(route)
        if session is None or session.user != user:
            await self._refuse(route, "closed", "open first")
            return
        session.heard_ns = clock.monotonic_ns()
        if kind == b"credit":
            session.credit = min(session.credit + max(msgspec.json.decode(body, type=int), 0), CREDIT_MAX)
            await self.pump(route, session)

    async def _open(self, route: bytes, user: str, request: Open) -> None:
        if route not in self.sessions and len(self.sessions) >= SESSIONS_MAX:
            await self._refuse(route, "missing", f"{SESSIONS_MAX} clients are connected")
            return
        reader = JournalReader(str(self.directory), from_seq=0)
        crc = _crc_before(reader, request.from_seq)
        if request.last_crc is not None and request.last_crc != crc:
            await self._refuse(route, "diverged", f"record {request.from_seq - 1} of {self.name} differs")
            return
        session = Session(user, reader, min(request.credit, CREDIT_MAX), clock.monotonic_ns())
        self.sessions[route] = session
        RELAY_CLIENTS.labels(journal=self.name).set(len(self.sessions))
        log.info("relay_session_opened", journal=self.name, user=user, from_seq=request.from_seq)
        await self._send(route, b"head", _standing(reader))
        await self.pump(route, session)

    async def pump(self, route: bytes, session: Session) -> None:
        """Send what the client has credit for."""
        while session.credit > 0 and self.sessions.get(route) is session:
            seq = session.reader.next_seq
            try:
                records = session.reader.read_raw(CHUNK_BYTES)
            except JournalError as error:
                await self._refuse(route, type(error).__name__, str(error))
                return
            if not records:
                return
            session.credit -= 1
            await self._send(route, b"data", seq.to_bytes(8, "little"), records)
            RELAY_SENT_BYTES.labels(journal=self.name).inc(len(records))

    async def pump_all(self) -> None:
        """Send to every client what it has credit for."""
        for route, session in list(self.sessions.items()):
            await self.pump(route, session)

    async def beat(self) -> None:
        """Tell every client where the journal stands; forget those not heard of."""
        oldest_ns = clock.monotonic_ns() - int(CLIENT_SILENCE_S * 1e9)
        for route, session in list(self.sessions.items()):
            if session.heard_ns < oldest_ns:
                self._end(route, "silent")
            else:
                await self._send(route, b"beat", _standing(session.reader))

    async def _refuse(self, route: bytes, code: str, message: str) -> None:
        await self._send(route, b"error", msgspec.json.encode(Refusal(code, message)))
        self._end(route, code)

    async def _send(self, route: bytes, *parts: bytes) -> None:
        try:
            await self.socket.send_multipart([route, *parts], flags=zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # Credit keeps the queue short, so a full one means a client that is gone; it opens again when it is back.
            self._end(route, str(error))

    def _end(self, route: bytes, why: str) -> None:
        session = self.sessions.pop(route, None)
        if session is not None:
            session.reader.close()
            RELAY_CLIENTS.labels(journal=self.name).set(len(self.sessions))
            log.info("relay_session_ended", journal=self.name, user=session.user, why=why)


class RelayServer:
    """Serves journals, each on a port of its own, to the clients that `keys_dir` allows."""

    def __init__(self, *, journals: dict[str, Path], ports: dict[str, int], bind_address: str, keys_dir: Path) -> None:
        pair = curve.load_pair(keys_dir, "relay")
        self._keys_dir = keys_dir
        self._context = zmq.asyncio.Context()
        self.gatekeeper = curve.Gatekeeper(self._context, keys_dir)
        self.gatekeeper.start()
        self.endpoints: dict[str, str] = {}
        self._servers: list[JournalServer] = []
        for name, port in ports.items():
            domain = f"holdfast-{name}"
            self.gatekeeper.serve(domain)
            socket = curve.server_socket(self._context, pair, domain)
            socket.bind(f"tcp://{bind_address}:{port or '*'}")
            self.endpoints[name] = socket.getsockopt_string(zmq.LAST_ENDPOINT)
            self._servers.append(JournalServer(name, journals[name], socket, self._is_allowed))
        self._tails: dict[str, JournalReader] = {}
        self._notifier: JournalNotifier | None = None
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._has_news = asyncio.Event()

    def _is_allowed(self, user: str, journal: str) -> bool:
        client = curve.load_allowed(self._keys_dir).get(user)
        return client is not None and journal in client.journals

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._eventfd, self._take_news)
        try:
            async with asyncio.TaskGroup() as group:
                for server in self._servers:
                    group.create_task(server.receive())
                group.create_task(self._beat())
                group.create_task(self._follow())
        finally:
            loop.remove_reader(self._eventfd)
            self.close()

    def _take_news(self) -> None:
        os.eventfd_read(self._eventfd)
        self._has_news.set()

    async def _follow(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            for tail in self._tails.values():
                tail.seek_end()
            for server in self._servers:
                await server.pump_all()
            if self._notifier is not None:
                self._notifier.arm()

    async def _beat(self) -> None:
        while True:
            self._watch_new_journals()
            for server in self._servers:
                await server.beat()
            await asyncio.sleep(BEAT_INTERVAL_S)

    def _watch_new_journals(self) -> None:
        for server in self._servers:
            if server.name not in self._tails:
                with suppress(JournalMissing):
                    self._tails[server.name] = JournalReader(str(server.directory), from_seq=0)
                    self._rebuild_notifier()

    def _rebuild_notifier(self) -> None:
        if self._notifier is not None:
            self._notifier.close()
        self._notifier = JournalNotifier(list(self._tails.values()), self._eventfd)
        self._notifier.arm()

    def close(self) -> None:
        """Close every socket."""
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None
        for server in self._servers:
            server.socket.close()
        self.gatekeeper.stop()
        os.close(self._eventfd)
        self._context.term()


class Mirror:
    """Rebuilds one journal of another host in `directory`, byte for byte, and follows it."""

    def __init__(self, *, name: str, directory: Path, endpoint: str, pair: curve.KeyPair, server_key: str) -> None:
        self.name = name
        self._directory = directory
        self._endpoint = endpoint
        self._pair = pair
        self._server_key = server_key
        self._context = zmq.asyncio.Context()
        self._writer: JournalWriter | None = None
        self.opened = asyncio.Event()

    @property
    def next_seq(self) -> int:
        """Number of the record wanted next."""
        return 1 if self._writer is None else self._writer.next_seq

    async def run(self) -> None:
        """Follow until cancelled; a cut is resumed from what is here.

        Raises: OperatingError when the source is another journal, has pruned what is wanted, or refuses us.
        """
        if (self._directory / "header").exists():
            with JournalReader(str(self._directory), from_seq=0) as reader:
                self._writer = JournalWriter.mirror(str(self._directory), reader.identity)
        try:
            while True:
                try:
                    await self._follow()
                except RetryLater as error:
                    log.warning("mirror_cut", journal=self.name, next_seq=self.next_seq, reason=str(error))
                    await asyncio.sleep(RETRY_INTERVAL_S)
        finally:
            if self._writer is not None:
                self._writer.close()
            self._context.term()

    async def _follow(self) -> None:
        socket = curve.client_socket(self._context, self._pair, self._server_key)
        socket.connect(self._endpoint)
        beating = None
        try:
            request = Open(self.next_seq, CREDIT_MAX, self._last_crc())
            await self._send(socket, b"open", msgspec.json.encode(request))
            beating = asyncio.create_task(self._beat(socket))
            while True:
                try:
                    # Not wait_for: in Python 3.11 it can swallow a cancellation that meets an arriving message.
                    async with asyncio.timeout(SERVER_SILENCE_S):
                        parts = await socket.recv_multipart()
                except TimeoutError:
                    raise RetryLater(f"nothing heard from {self._endpoint} for {SERVER_SILENCE_S:g} s") from None
                await self._take(socket, parts)
        finally:
            if beating is not None:
                beating.cancel()
                with suppress(asyncio.CancelledError, RetryLater):
                    await beating
            socket.close()

    def _last_crc(self) -> int | None:
        if self.next_seq == 1:
            return None
        with JournalReader(str(self._directory), from_seq=self.next_seq - 1) as reader:
            return int.from_bytes(reader.read_raw(1)[CRC_AT], "little")

    async def _send(self, socket: zmq.asyncio.Socket, *parts: bytes) -> None:
        # With IMMEDIATE a message waits for a finished handshake: no connection, no send.
        try:
            async with asyncio.timeout(SERVER_SILENCE_S):
                await socket.send_multipart(parts)
        except TimeoutError:
            raise RetryLater(f"no connection to {self._endpoint}") from None

    async def _beat(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            await asyncio.sleep(CLIENT_BEAT_INTERVAL_S)
            await self._send(socket, b"beat")

    async def _take(self, socket: zmq.asyncio.Socket, parts: list[bytes]) -> None:
        match parts:
            case [b"head" | b"beat", body]:
                self._stand(msgspec.json.decode(body, type=Standing))
            case [b"data", seq, records] if self._writer is not None:
                if int.from_bytes(seq, "little") != self._writer.next_seq:
                    raise RetryLater(f"record {int.from_bytes(seq, 'little')} came out of turn")
                self._writer.append_raw(records)
                await self._send(socket, b"credit", b"1")
            case [b"error", body]:
                refusal = msgspec.json.decode(body, type=Refusal)
                if refusal.code in {"missing", "closed"}:
                    raise RetryLater(refusal.message)
                raise OperatingError(f"{self._endpoint} refuses {self.name}: {refusal.code}: {refusal.message}")
            case _:
                raise RetryLater("an unknown message came")

    def _stand(self, standing: Standing) -> None:
        if self._writer is None:
            self._writer = JournalWriter.mirror(str(self._directory), standing.identity)
        with JournalReader(str(self._directory), from_seq=0) as reader:
            if reader.identity[:3] != standing.identity[:3]:
                raise OperatingError(f"{self._directory} mirrors another journal than {self._endpoint} has now")
        self._writer.follow(standing.identity, standing.heartbeat_ns)
        RELAY_MIRROR_LAG.labels(journal=self.name).set(standing.last_seq + 1 - self._writer.next_seq)
        self.opened.set()


def _keys_dir(settings: Settings) -> Path:
    return settings.services.relay.keys_dir or settings.state_dir / "keys"


async def run(frame: Frame) -> None:
    """Serve the journals, or mirror those of `services.relay.mirror_address`, until asked to stop."""
    own = frame.settings.services.relay
    journals = {name: journal_directory(frame.settings, name) for name in own.ports}
    async with asyncio.TaskGroup() as group:
        if own.mirror_address:
            if not own.mirror_server_key:
                file = frame.settings.config_dir / "system.json"
                raise ConfigError(file=file, key="services.relay.mirror_server_key", expected="the relay's public key")
            pair = curve.load_pair(_keys_dir(frame.settings), "mirror")
            tasks = [
                group.create_task(
                    Mirror(
                        name=name,
                        directory=journals[name],
                        endpoint=f"tcp://{own.mirror_address}:{port}",
                        pair=pair,
                        server_key=own.mirror_server_key,
                    ).run()
                )
                for name, port in own.ports.items()
            ]
        else:
            server = RelayServer(
                journals=journals, ports=own.ports, bind_address=own.bind_address, keys_dir=_keys_dir(frame.settings)
            )
            tasks = [group.create_task(server.run())]
        frame.ready()
        await frame.stopping.wait()
        for task in tasks:
            task.cancel()
