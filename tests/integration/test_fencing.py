"""Two execution-engines, one account: the venue's own ledger says who sent what, and when."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from execution_desk import E9, Desk, desk_of, write_configuration
from fix_tell import Tell
from fix_venue import RunningVenue, StartVenue
from holdfast import clock
from holdfast.invariants import Evidence
from holdfast.invariants.senders import one_sender_at_a_time
from holdfast.lease import Lease
from holdfast.settings import Settings, load_settings
from holdfast.store.embedded import EmbeddedPostgres
from holdfast.store.migrate import migrate
from holdfast.venues.simulated import Ledger
from patience import PATIENCE_S

LEASE_S = 3.0
MARGIN_S = 1.0
PERIOD_S = LEASE_S + MARGIN_S


@dataclass
class Side:
    """One host's engine: its state folder, its desk and its process."""

    settings: Settings
    environment: dict[str, str]
    desk: Desk
    process: asyncio.subprocess.Process
    log: bytearray

    @property
    def token(self) -> int:
        """The token it last held."""
        lease = Lease.read(self.settings)
        return lease.token if lease is not None else 0

    async def until_ready(self) -> None:
        """Wait until it trades."""
        async with asyncio.timeout(4 * PATIENCE_S):
            while b"service_ready" not in self.log:  # noqa: ASYNC110 - another process says it
                await asyncio.sleep(0.02)


def configured(folder: Path, venue: RunningVenue, fencing: dict[str, object], database: str) -> Settings:
    folder.mkdir()
    raw = {
        "state_dir": str(folder / "state"),
        "symbols": ["IBM"],
        "venue": {
            "trading_url": venue.url,
            "trading_stream_url": f"{venue.stream_url}/stream",
            "data_url": venue.url,
            "data_stream_url": "wss://127.0.0.1",
            "ca_file": str(venue.ca_file),
            "requests_per_minute": 100_000,
            "entries_per_minute": 50_000,
        },
        "clock": {"session_time": "venue"},
        "journal": {"segment_mib": 1},
        "fencing": {"lease_s": LEASE_S, "margin_s": MARGIN_S, "wind_down_s": 1.0, **fencing},
        "services": {
            "execution_engine": {"metrics_port": 0, "in_flight_interval_s": 0.3, "open_orders_interval_s": 0.3}
        },
    }
    write_configuration(folder, raw)
    return load_settings(folder, environment=environment_of(venue, database))


def environment_of(venue: RunningVenue, database: str) -> dict[str, str]:
    keys = {"ALPACA_API_KEY": venue.key_id, "ALPACA_API_SECRET": venue.secret_key, "DATABASE_URL": database}
    return {**keys, "PATH": os.environ["PATH"]}


@asynccontextmanager
async def side_of(folder: Path, venue: RunningVenue, *, database: str, mode: str = "database") -> AsyncIterator[Side]:
    """Start an engine and the desk it serves; killed at the end, whatever state it is in."""
    settings = configured(folder, venue, {"mode": mode}, database)
    environment = environment_of(venue, database)
    async with desk_of(settings) as desk:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "holdfast", "run", "execution-engine", "--config", str(folder),
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        log = bytearray()
        reading = asyncio.create_task(_read(process, log))
        try:
            yield Side(settings, environment, desk, process, log)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await reading


async def _read(process: asyncio.subprocess.Process, log: bytearray) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        log += line


@asynccontextmanager
async def trading(side: Side) -> AsyncIterator[None]:
    """Let a desk approve an entry and cancel the one before, ten times a second."""

    async def work() -> None:
        before = ""
        while True:
            if before:
                side.desk.cancel(before)
            before = side.desk.decide(limit_price_e9=E9, quantity_e9=E9)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def requests(ledger: Ledger, token: int) -> list[int]:
    """When each request of a holder arrived, ns."""
    client = f"holdfast-execution-engine/{token}"
    return [line["host_ns"] for line in ledger.of_kind("request") if line["client"] == client]


def one_sender(ledger: Ledger) -> bool:
    """Whether the contract's checker finds nothing."""
    return not list(one_sender_at_a_time(Evidence(ledger=ledger, journals={})))


async def until_requests(venue: RunningVenue, side: Side, count: int) -> None:
    async with asyncio.timeout(2 * PATIENCE_S):
        while not side.token or len(requests(venue.ledger(), side.token)) < count:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


@pytest.fixture
def venue(start_venue: StartVenue) -> RunningVenue:
    return start_venue(speed=5, partial_fills=0)


@pytest.fixture
def shared(own_postgres: EmbeddedPostgres) -> str:
    with psycopg.connect(own_postgres.dsn(), autocommit=True) as connection:
        migrate(connection)
    return own_postgres.dsn()


async def test_an_engine_stopped_past_its_lease_sends_nothing_when_it_goes_on(
    tmp_path: Path, venue: RunningVenue, shared: str, tell: Tell
) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(side_of(tmp_path / "one", venue, database=shared))
        await one.until_ready()
        await stack.enter_async_context(trading(one))
        await until_requests(venue, one, 30)
        one.process.send_signal(signal.SIGSTOP)
        stopped_ns = clock.now_ns()
        two = await stack.enter_async_context(side_of(tmp_path / "two", venue, database=shared))
        await two.until_ready()
        assert clock.now_ns() - stopped_ns >= (PERIOD_S - LEASE_S / 10 - 0.5) * 1e9
        await stack.enter_async_context(trading(two))
        await until_requests(venue, two, 30)
        continued_ns = clock.now_ns()
        one.process.send_signal(signal.SIGCONT)
        # Its desk goes on approving and cancelling: it would send within a tenth of a second, and ends instead.
        async with asyncio.timeout(PATIENCE_S):
            assert await one.process.wait() != 0
        count = len(requests(venue.ledger(), two.token))
        await until_requests(venue, two, count + 20)
        ledger = venue.ledger()
        late = [at for at in requests(ledger, one.token) if at > stopped_ns + 10**8]
        assert late == []
        assert two.token > one.token
        assert max(requests(ledger, two.token)) > continued_ns
        assert one_sender(ledger)
        assert b"the lease of account" in one.log
        tell(
            f"the first engine sent {len(requests(ledger, one.token))} requests, was stopped, and continued "
            f"{(continued_ns - stopped_ns) / 1e9:.1f} s later; the second began "
            f"{(min(requests(ledger, two.token)) - stopped_ns) / 1e9:.1f} s after the stop and sent "
            f"{len(requests(ledger, two.token))}; the first sent {len(late)} after its lease",
        )


async def test_a_clean_stop_hands_over_at_once(tmp_path: Path, venue: RunningVenue, shared: str) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(side_of(tmp_path / "one", venue, database=shared))
        await one.until_ready()
        two = await stack.enter_async_context(side_of(tmp_path / "two", venue, database=shared))
        async with asyncio.timeout(2 * PATIENCE_S):
            while b"standing_by" not in two.log:  # noqa: ASYNC110 - another process says it
                await asyncio.sleep(0.02)
        order_id = one.desk.decide(limit_price_e9=E9, quantity_e9=E9)
        await one.desk.until(lambda: "accepted" in one.desk.kinds(order_id))
        begun_ns = clock.now_ns()
        one.process.terminate()
        assert await one.process.wait() == 0
        await two.until_ready()
        took_s = (clock.now_ns() - begun_ns) / 1e9
        assert one.desk.status(order_id) == "canceled"
        assert took_s < PERIOD_S
        assert one_sender(venue.ledger())


async def test_trading_goes_on_while_the_database_is_away_and_ends_with_the_lease(
    tmp_path: Path, venue: RunningVenue, shared: str, own_postgres: EmbeddedPostgres
) -> None:
    async with side_of(tmp_path / "one", venue, database=shared) as one:
        await one.until_ready()
        resting = one.desk.decide(limit_price_e9=2 * E9, quantity_e9=E9)
        await one.desk.until(lambda: "accepted" in one.desk.kinds(resting))
        async with trading(one):
            await until_requests(venue, one, 30)
            own_postgres.kill()
            killed_ns = clock.now_ns()
            async with asyncio.timeout(2 * PATIENCE_S):
                assert await one.process.wait() != 0
        sent = [at - killed_ns for at in requests(venue.ledger(), one.token) if at > killed_ns]
        assert max(sent) > (LEASE_S - 2) * 1e9
        assert max(sent) < (LEASE_S + 0.2) * 1e9
        # No entry is left at the venue without anybody to watch it.
        assert one.desk.status(resting) == "canceled"


async def test_on_one_host_the_second_engine_waits_for_the_death_of_the_first(
    tmp_path: Path, venue: RunningVenue
) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(side_of(tmp_path / "one", venue, database="", mode="host"))
        await one.until_ready()
        two = await stack.enter_async_context(side_of(tmp_path / "two", venue, database="", mode="host"))
        async with asyncio.timeout(2 * PATIENCE_S):
            while b"standing_by" not in two.log:  # noqa: ASYNC110 - another process says it
                await asyncio.sleep(0.02)
        assert b"service_ready" not in two.log
        one.process.kill()
        await two.until_ready()
        assert one_sender(venue.ledger())
        assert {line["client"] for line in venue.ledger().of_kind("request")} == {
            f"holdfast-execution-engine/{side.token}" for side in (one, two)
        }
