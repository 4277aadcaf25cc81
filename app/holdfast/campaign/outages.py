"""What befalls a run besides signals to its services: its database is cut off, frozen or dies, the latch is set."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass

import psycopg

from holdfast import clock
from holdfast.invariants import Closure
from holdfast.invariants.gate import LATCH_BITES_WITHIN_NS
from holdfast.journals import open_latch
from holdfast.settings import Settings
from holdfast.store.embedded import EmbeddedPostgres

KINDS = ("database.cut", "database.frozen", "database.killed", "kill_latch")
CUT_INTERVAL_S = 0.2
# Of a host that other work keeps busy.
CONNECT_TIMEOUT_S = 60
OPERATOR = "campaign"
OWN_BACKENDS = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
CUT = f"SELECT count(pg_terminate_backend(pid)) {OWN_BACKENDS}"
BACKENDS = f"SELECT pid {OWN_BACKENDS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One of `KINDS`, `at_s` after trading began, for `for_s` or until the heal."""

    kind: str
    at_s: float
    for_s: float


async def suffer(
    outage: Outage, settings: Settings, *, server: EmbeddedPostgres, database: str, healed: asyncio.Event
) -> list[Closure]:
    """Let an outage happen and end, at once when `healed` is set. Returns the times in which no entry may have left."""
    if await _waited(healed, outage.at_s):
        return []
    server_dsn = server.dsn("postgres")
    match outage.kind:
        case "database.cut":
            await _cut(server_dsn, database, outage.for_s, healed)
        case "database.frozen":
            await _freeze(server_dsn, database, outage.for_s, healed)
        case "database.killed":
            await _kill(server, outage.for_s, healed)
        case "kill_latch":
            return [await _trip(settings, outage.for_s, healed)]
    return []


async def _waited(healed: asyncio.Event, for_s: float) -> bool:
    """Wait so long, or until all is healed: then return true."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(healed.wait(), for_s)
    return False


async def _cut(server_dsn: str, database: str, for_s: float, healed: asyncio.Event) -> None:
    """End every connection to the database again and again: each time in the middle of whatever it does."""
    end_s = clock.monotonic_s() + for_s
    while clock.monotonic_s() < end_s and not healed.is_set():
        await asyncio.to_thread(_ask, server_dsn, CUT, database)
        await _waited(healed, CUT_INTERVAL_S)


async def _freeze(server_dsn: str, database: str, for_s: float, healed: asyncio.Event) -> None:
    """Stop the server's processes that serve the database: what was asked stays without an answer."""
    pids = await asyncio.to_thread(_ask, server_dsn, BACKENDS, database)
    for pid in pids:
        _send(pid, signal.SIGSTOP)
    try:
        await _waited(healed, for_s)
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)


async def _kill(server: EmbeddedPostgres, for_s: float, healed: asyncio.Event) -> None:
    """End the whole server as a power cut would; afterwards it recovers from its own log."""
    await asyncio.to_thread(server.kill)
    await _waited(healed, for_s)
    await asyncio.to_thread(server.start)


async def _trip(settings: Settings, for_s: float, healed: asyncio.Event) -> Closure:
    latch = open_latch(settings)
    tripped_ns = clock.now_ns()
    latch.trip(OPERATOR, "drill", tripped_ns)
    try:
        await _waited(healed, for_s)
    finally:
        reset_ns = clock.now_ns()
        latch.reset(OPERATOR, "the drill is over", reset_ns)
    return Closure(tripped_ns + LATCH_BITES_WITHIN_NS, reset_ns, "the kill latch was set")


def _ask(dsn: str, query: str, database: str) -> list[int]:
    with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        return [int(row[0]) for row in connection.execute(query, [database]).fetchall()]


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
