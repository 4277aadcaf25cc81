"""Journals over CURVE: who gets in, what arrives, and what a cut costs."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from holdfast import curve
from holdfast._native import JournalMissing, JournalName, JournalReader, JournalWriter, Quote
from holdfast.errors import OperatingError
from holdfast.services.relay import Mirror, RelayServer
from patience import PATIENCE_S

SEGMENT_BYTES = 16384
RECORD_BYTES = 112


@dataclass
class Hosts:
    """Two hosts as two folders: the relay's, with a journal, and the mirror's."""

    root: Path

    def __post_init__(self) -> None:
        self.relay_keys = self.root / "relay-keys"
        self.mirror_keys = self.root / "mirror-keys"
        self.source = self.root / "source" / "market_data"
        self.copy = self.root / "copy" / "market_data"
        self.server_key = curve.generate(self.relay_keys, "relay").public.decode()
        self.pair = curve.generate(self.mirror_keys, "mirror")

    def allow(self, *journals: str) -> None:
        """Let the mirror read these journals."""
        client = curve.Client(self.pair.public.decode(), list(journals))
        curve.allow(self.relay_keys, "mirror", client)

    def writer(self) -> JournalWriter:
        """Open the source journal."""
        return JournalWriter(str(self.source), JournalName.MARKET_DATA, now_ns=1, segment_bytes=SEGMENT_BYTES)

    def server(self, port: int = 0) -> RelayServer:
        """Make a relay of the source journal."""
        return RelayServer(
            journals={"market_data": self.source},
            ports={"market_data": port},
            bind_address="127.0.0.1",
            keys_dir=self.relay_keys,
        )

    def mirror(self, endpoint: str) -> Mirror:
        """Make a mirror that reads from `endpoint`."""
        return Mirror(
            name="market_data",
            directory=self.copy,
            endpoint=endpoint,
            pair=self.pair,
            server_key=self.server_key,
        )

    def assert_same_bytes(self) -> None:
        """Compare every segment."""
        names = sorted(path.name for path in self.source.glob("*.segment"))
        assert names == sorted(path.name for path in self.copy.glob("*.segment"))
        for name in names:
            assert (self.copy / name).read_bytes() == (self.source / name).read_bytes(), name


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    """Two hosts with keys that do not know each other yet."""
    return Hosts(tmp_path)


@asynccontextmanager
async def running(part: RelayServer | Mirror) -> AsyncIterator[asyncio.Task[None]]:
    """Run a relay or a mirror while the block lasts."""
    task = asyncio.create_task(part.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another task brings about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - journals of the other side have no event to await
            await asyncio.sleep(0.005)


def append(writer: JournalWriter, count: int) -> None:
    for _ in range(count):
        writer.append(Quote(bid_price_e9=writer.next_seq), ts_ns=writer.next_seq, origin_ns=5)


async def test_a_mirror_catches_up_and_follows(hosts: Hosts) -> None:
    hosts.allow("market_data")
    with hosts.writer() as writer:
        append(writer, 3_000)
        writer.heartbeat(77)
        server = hosts.server()
        mirror = hosts.mirror(server.endpoints["market_data"])
        async with running(server), running(mirror):
            await until(lambda: mirror.next_seq == 3_001)
            reader = JournalReader(str(hosts.copy))
            assert (reader.heartbeat_ns, reader.epoch, reader.last_seq) == (77, writer.epoch, 3_000)
            append(writer, 10)
            await until(lambda: mirror.next_seq == 3_011)
            assert reader.read(5_000)[-1].ts_ns == 3_010
    hosts.assert_same_bytes()


async def test_a_cut_mirror_resumes_from_what_it_has(hosts: Hosts) -> None:
    hosts.allow("market_data")
    with hosts.writer() as writer:
        append(writer, 2_000)
        server = hosts.server()
        endpoint = server.endpoints["market_data"]
        port = int(endpoint.rpartition(":")[2])
        mirror = hosts.mirror(endpoint)
        async with running(mirror):
            async with running(server):
                await until(lambda: mirror.next_seq == 2_001)
            append(writer, 2_000)
            async with running(hosts.server(port)):
                await until(lambda: mirror.next_seq == 4_001)
        append(writer, 500)
        async with running(hosts.server(port)), running(hosts.mirror(endpoint)) as again:
            await until(lambda: JournalReader(str(hosts.copy)).last_seq == 4_500)
            assert not again.done()
    hosts.assert_same_bytes()


async def test_a_client_without_credit_loses_nothing(hosts: Hosts) -> None:
    hosts.allow("market_data")
    with hosts.writer() as writer:
        append(writer, 10)
        server = hosts.server()
        async with running(server), slow_client(hosts, server) as client:
            await client.send_multipart([b"open", b'{"from_seq": 1, "credit": 1}'])
            assert (await client.recv_multipart())[0] == b"head"
            kind, seq, records = await client.recv_multipart()
            assert (kind, int.from_bytes(seq, "little"), len(records)) == (b"data", 1, 10 * RECORD_BYTES)
            append(writer, 20_000)
            assert (await client.recv_multipart())[0] == b"beat"
            received = 10
            while received < 20_010:
                await client.send_multipart([b"credit", b"1"])
                kind, *rest = await client.recv_multipart()
                if kind == b"data":
                    assert int.from_bytes(rest[0], "little") == received + 1
                    received += len(rest[1]) // RECORD_BYTES


async def test_a_host_becomes_a_mirror_by_its_command_line(hosts: Hosts) -> None:
    hosts.allow("market_data")
    with hosts.writer() as writer:
        append(writer, 3_000)
        server = hosts.server()
        host, port = server.endpoints["market_data"].removeprefix("tcp://").split(":")
        venue = {"trading_url": "https://127.0.0.1:1", "trading_stream_url": "wss://127.0.0.1:1/stream"}
        relay = {"metrics_port": 0, "ports": {"market_data": int(port)}, "mirror_server_key": hosts.server_key}
        system = {
            "state_dir": str(hosts.root / "state"),
            "symbols": ["IBM"],
            "venue": venue | {"data_url": "https://127.0.0.1:1", "data_stream_url": "wss://127.0.0.1:1"},
            "services": {"relay": relay | {"keys_dir": str(hosts.mirror_keys)}},
        }
        (hosts.root / "system.json").write_text(json.dumps(system))
        hosts.copy = hosts.root / "state" / "journals" / "market_data"
        command = [sys.executable, "-m", "holdfast", "run", "relay", "--config", str(hosts.root), "--mirror", host]
        async with running(server):
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
            try:
                await until(lambda: has_record(hosts.copy, 3_000))
            finally:
                process.terminate()
                await process.wait()
    assert process.returncode == 0
    hosts.assert_same_bytes()


def has_record(directory: Path, seq: int) -> bool:
    try:
        with JournalReader(str(directory), from_seq=0) as reader:
            return reader.last_seq >= seq
    except JournalMissing:
        return False


@asynccontextmanager
async def slow_client(
    hosts: Hosts, server: RelayServer, pair: curve.KeyPair | None = None
) -> AsyncIterator[zmq.asyncio.Socket]:
    """Connect a bare client that waits a second for an answer."""
    context = zmq.asyncio.Context()
    socket = curve.client_socket(context, pair or hosts.pair, hosts.server_key)
    socket.rcvtimeo = socket.sndtimeo = 1_000
    socket.connect(server.endpoints["market_data"])
    try:
        yield socket
    finally:
        socket.close()
        context.term()


async def test_an_unknown_key_is_refused(hosts: Hosts) -> None:
    with hosts.writer() as writer:
        append(writer, 1)
        server = hosts.server()
        async with running(server), slow_client(hosts, server) as client:
            with pytest.raises(zmq.Again):
                await client.send_multipart([b"open", b'{"from_seq": 1, "credit": 1}'])
            assert server.gatekeeper.refused_count >= 1


async def test_without_a_handler_nobody_gets_in(hosts: Hosts) -> None:
    hosts.allow("market_data")
    with hosts.writer() as writer:
        append(writer, 1)
        server = hosts.server()
        server.gatekeeper.stop()
        async with slow_client(hosts, server) as client:
            with pytest.raises(zmq.Again):
                await client.send_multipart([b"open", b'{"from_seq": 1, "credit": 1}'])
        server.close()


async def test_a_client_reads_only_the_journals_of_its_role(hosts: Hosts) -> None:
    hosts.allow("signals")
    with hosts.writer() as writer:
        append(writer, 1)
        server = hosts.server()
        async with running(server):
            mirror = hosts.mirror(server.endpoints["market_data"])
            with pytest.raises(OperatingError, match="forbidden: mirror may not read market_data"):
                await asyncio.wait_for(mirror.run(), PATIENCE_S)
    assert not hosts.copy.exists()


@pytest.mark.parametrize(
    "parts",
    [[b"open", b"garbage"], [b"open", b'{"from_seq": 1}'], [b"credit", b"1"], [b"nonsense"], [b"open", b"x" * 2_000]],
)
async def test_garbage_ends_only_its_own_session(hosts: Hosts, parts: list[bytes]) -> None:
    hosts.allow("market_data")
    with hosts.writer() as writer:
        append(writer, 1)
        server = hosts.server()
        async with running(server) as task, slow_client(hosts, server) as client:
            await client.send_multipart(parts)
            await client.send_multipart([b"open", b'{"from_seq": 1, "credit": 1}'])
            kinds = []
            while b"data" not in kinds:
                kinds.append((await client.recv_multipart())[0])
            assert not task.done()


async def test_a_mirror_that_differs_is_refused(hosts: Hosts) -> None:
    hosts.allow("market_data")
    with hosts.writer() as writer:
        append(writer, 10)
        source = JournalReader(str(hosts.source))
        with JournalWriter.mirror(str(hosts.copy), source.identity) as copy:
            copy.append(Quote(bid_price_e9=999), ts_ns=1)
        server = hosts.server()
        async with running(server):
            with pytest.raises(OperatingError, match="diverged"):
                await asyncio.wait_for(hosts.mirror(server.endpoints["market_data"]).run(), PATIENCE_S)


async def test_a_mirror_waits_for_a_journal_that_is_yet_to_come(hosts: Hosts) -> None:
    hosts.allow("market_data")
    server = hosts.server()
    mirror = hosts.mirror(server.endpoints["market_data"])
    async with running(server), running(mirror):
        await until(lambda: server.gatekeeper.curve_user_id(b"\0" * 32) == "")
        with hosts.writer() as writer:
            append(writer, 5)
            await until(lambda: mirror.next_seq == 6)
