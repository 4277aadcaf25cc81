"""Bringing a host of processes to rest, so that it can be judged: no new intents, orders at rest, everything stored."""

import asyncio
from collections.abc import Callable

import psycopg
from psycopg import sql

from holdfast import clock
from holdfast.demo.host import DemoHost
from holdfast.invariants import Evidence, Finder, StoredJournals, fills
from holdfast.invariants.account import account_of
from holdfast.journals import WRITERS, open_reader
from holdfast.venues.simulated.ledger import Ledger

POLL_INTERVAL_S, POLL_INTERVAL_S_MAX = 0.05, 0.5
# Of the time waited so far: what takes long is asked for less often.
POLL_SHARE = 0.05
SETTLE_TIMEOUT_S = 20.0
RECORDER_TIMEOUT_S = 60.0


async def settle(host: DemoHost) -> None:
    """Stop new intents, let the orders end, let the recorder catch up."""
    await market_data_caught_up(host)
    await host.supervisor.stop("signal-bridge")
    await orders_at_rest(host)
    await fills_journaled(host)
    await host.supervisor.stop("execution-engine")
    await recorder_caught_up(host)


async def eventually(is_done: Callable[[], bool], timeout_s: float) -> bool:
    """Ask again and again, in a thread, until it is so or the time is over: the judge sees what is missing then."""
    started_s = clock.monotonic_s()
    while (waited_s := clock.monotonic_s() - started_s) < timeout_s:
        if await asyncio.to_thread(is_done):
            return True
        await asyncio.sleep(min(max(POLL_SHARE * waited_s, POLL_INTERVAL_S), POLL_INTERVAL_S_MAX))
    return False


async def market_data_caught_up(host: DemoHost) -> None:
    """Wait until what the venue sent of a recorded session is in the journal; it sends nothing more."""
    if host.options.session is None:
        return
    venue = await host.pause_market()
    sent = int(venue.get("quotes_sent", 0)) + int(venue.get("trades_sent", 0))
    with open_reader(host.settings, "market_data", wait_s=0) as reader:
        await eventually(lambda: reader.last_seq >= sent, SETTLE_TIMEOUT_S)


async def orders_at_rest(host: DemoHost, timeout_s: float = SETTLE_TIMEOUT_S) -> bool:
    """Wait until every approval has reached the venue and no order is in flight."""
    return await eventually(
        lambda: account_of(StoredJournals(host.settings), skips_market_data=True).in_flight == 0, timeout_s
    )


async def fills_journaled(host: DemoHost, timeout_s: float = SETTLE_TIMEOUT_S) -> bool:
    """Pause the market and wait until every fill of the venue is in the journal.

    What rests must not fill while execution-engine ends: nobody would be there to hear of it.
    """
    await host.pause_market()
    return await eventually(lambda: holds(host, fills.every_fill_exactly_once), timeout_s)


def holds(host: DemoHost, checker: Finder) -> bool:
    """Whether a checker finds nothing in what the venue and the journals hold now."""
    return not any(checker(Evidence(ledger=Ledger.read(host.ledger_file), journals=StoredJournals(host.settings))))


async def recorder_caught_up(host: DemoHost, timeout_s: float = RECORDER_TIMEOUT_S) -> bool:
    """Wait until PostgreSQL holds every record."""
    heads: dict[str, int] = {}
    for name in WRITERS:
        with open_reader(host.settings, name, wait_s=0) as reader:
            heads[name] = reader.last_seq

    def is_stored() -> bool:
        stored = _stored_offsets(host.dsn)
        return all(stored.get(name, 0) >= head for name, head in heads.items())

    return await eventually(is_stored, timeout_s)


def _stored_offsets(dsn: str) -> dict[str, int]:
    try:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            return dict(connection.execute("SELECT journal, max(seq) FROM journal_offsets GROUP BY journal").fetchall())
    except psycopg.Error:
        return {}


def count_rows(dsn: str) -> dict[str, int]:
    """Return the number of rows of every table."""
    with psycopg.connect(dsn, connect_timeout=30) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = {}
        for (table,) in tables:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            (rows[table],) = connection.execute(query).fetchone() or (0,)
    return rows
