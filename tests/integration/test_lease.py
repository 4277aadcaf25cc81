"""The lease of an account in a real PostgreSQL: one holder at a time, tokens that only rise."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from holdfast._native import Edge
from holdfast.errors import RetryLater
from holdfast.execution.fence import NS_PER_S, DatabaseFence, LeaseOver, Terms
from holdfast.store.embedded import EmbeddedPostgres
from holdfast.store.lease import LeaseTable
from holdfast.store.migrate import migrate
from patience import PATIENCE_S

TERMS = Terms(lease_ns=NS_PER_S, margin_ns=NS_PER_S // 2, wind_down_ns=NS_PER_S // 5)
PERIOD_S = 1.5


@dataclass
class Database:
    """A migrated database whose only account has just been released, so that nobody need wait."""

    dsn: str
    count: int = 0

    def table(self, holder: str = "") -> LeaseTable:
        self.count += 1
        return LeaseTable(self.dsn, account="account", holder=holder or f"holder-{self.count}")

    def fence(self, holder: str = "") -> DatabaseFence:
        return DatabaseFence(self.table(holder), TERMS, Edge(), token_min=1)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())


def released(dsn: str) -> Database:
    with psycopg.connect(dsn, autocommit=True) as connection:
        migrate(connection)
    found = Database(dsn)
    table = found.table()
    token = table.take(None, token_min=1, lease_ns=TERMS.lease_ns, margin_ns=TERMS.margin_ns)
    assert token == 1
    assert table.release(token)
    table.close()
    return found


@pytest.fixture
def leases(database: str) -> Database:
    return released(database)


def processes_of(server: EmbeddedPostgres) -> list[int]:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [server.pid, *map(int, children)]


def nothing(_: str) -> None:
    """Hear what is waited for."""


async def seconds_to_acquire(fence: DatabaseFence) -> float:
    begun_ns = Edge.now_ns()
    async with asyncio.timeout(PATIENCE_S):
        await fence.acquire(nothing)
    return (Edge.now_ns() - begun_ns) / 1e9


def test_a_row_is_taken_only_as_it_was_seen_and_its_token_only_rises(leases: Database) -> None:
    one, two = leases.table(), leases.table()
    seen = one.read()
    assert seen is not None
    terms = {"token_min": 1, "lease_ns": 1, "margin_ns": 1}
    first = one.take(seen, **terms)
    assert first == seen.token + 1
    assert two.take(seen, **terms) is None
    assert two.take(None, **terms) is None
    assert not two.renew(first)
    assert one.renew(first)
    after = two.read()
    assert after is not None
    second = two.take(after, token_min=1000, lease_ns=1, margin_ns=1)
    assert second == 1000
    assert not one.renew(first)
    assert not one.release(first)
    for statement in ("UPDATE account_leases SET token = 1", "DELETE FROM account_leases"):
        with pytest.raises(psycopg.Error):
            leases.execute(statement)
    one.close()
    two.close()


async def test_a_released_lease_is_taken_at_once_and_a_dead_holders_after_its_time(leases: Database) -> None:
    one, two, three = leases.fence(), leases.fence(), leases.fence()
    assert await seconds_to_acquire(one) < PERIOD_S
    await one.release()
    assert not one.edge.is_open
    assert await seconds_to_acquire(two) < PERIOD_S
    assert two.token > one.token
    # Nobody renews two's.
    deadline_ns = two.edge.deadline_ns
    await seconds_to_acquire(three)
    assert Edge.now_ns() >= deadline_ns + TERMS.margin_ns
    assert not two.edge.is_open
    with pytest.raises(LeaseOver):
        await two.keep()
    await two.release()
    await three.release()


async def test_a_renewed_lease_is_never_free_for_another(leases: Database) -> None:
    one, two = leases.fence(), leases.fence()
    await seconds_to_acquire(one)
    keeping = asyncio.create_task(one.keep())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * PERIOD_S):
            await two.acquire(nothing)
    assert one.edge.is_open
    assert not two.edge.is_open
    keeping.cancel()
    await one.release()
    await two.release()


async def test_the_next_process_of_the_same_journal_does_not_wait(leases: Database) -> None:
    one, two = leases.fence("host/boot/1:2"), leases.fence("host/boot/1:2")
    await seconds_to_acquire(one)
    assert await seconds_to_acquire(two) < PERIOD_S / 2
    assert two.token > one.token
    with pytest.raises(LeaseOver, match="not ours"):
        await one.keep()
    assert not one.edge.is_open
    await one.release()
    await two.release()


async def test_a_restored_table_frees_nothing_before_the_holder_must_have_ended(leases: Database) -> None:
    """The copy says that an earlier holder released the account long ago, while one who is not in it sends."""
    leases.execute("CREATE TABLE backup AS TABLE account_leases")
    one, two = leases.fence(), leases.fence()
    await seconds_to_acquire(one)
    deadline_ns = one.edge.deadline_ns
    leases.execute(
        "ALTER TABLE account_leases DISABLE TRIGGER ALL; DELETE FROM account_leases; INSERT INTO account_leases "
        "SELECT account, token, holder, renewals, lease_ns, margin_ns, is_released, changed_at - interval '10 minutes'"
        " FROM backup; ALTER TABLE account_leases ENABLE TRIGGER ALL"
    )
    await seconds_to_acquire(two)
    assert Edge.now_ns() >= deadline_ns + TERMS.margin_ns
    with pytest.raises(LeaseOver):
        await one.keep()
    await one.release()
    await two.release()


async def test_a_server_that_is_away_for_a_moment_ends_nothing_and_one_that_stays_away_ends_the_lease(
    own_postgres: EmbeddedPostgres,
) -> None:
    leases = released(own_postgres.dsn())
    long = Terms(lease_ns=3 * NS_PER_S, margin_ns=NS_PER_S // 2, wind_down_ns=NS_PER_S)
    one = DatabaseFence(leases.table(), long, Edge(), token_min=1)
    async with asyncio.timeout(PATIENCE_S):
        await one.acquire(nothing)
    keeping = asyncio.create_task(one.keep())
    own_postgres.kill()
    await asyncio.sleep(1)
    assert one.edge.is_open
    await asyncio.to_thread(own_postgres.start)
    async with asyncio.timeout(PATIENCE_S):
        while one.left_s < long.lease_ns / 1e9 - 0.5:
            assert one.edge.is_open
            await asyncio.sleep(0.02)
    own_postgres.kill()
    async with asyncio.timeout(PATIENCE_S):
        while not one.is_winding_down:  # noqa: ASYNC110 - time itself is awaited
            await asyncio.sleep(0.02)
        assert one.edge.is_open
        with pytest.raises(LeaseOver):
            await keeping
    assert not one.edge.is_open
    await one.release()


async def test_a_database_without_the_table_is_waited_for(database: str) -> None:
    table = LeaseTable(database, account="a", holder="h")
    with pytest.raises(RetryLater, match="migration has not run"):
        table.read()
    table.close()


async def test_a_frozen_server_neither_blocks_the_loop_nor_keeps_the_lease(own_postgres: EmbeddedPostgres) -> None:
    leases = released(own_postgres.dsn())
    one = leases.fence()
    async with asyncio.timeout(PATIENCE_S):
        await one.acquire(nothing)
    frozen = processes_of(own_postgres)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(LeaseOver):
                await one.keep()
        # At most the time of the statement that was under way.
        assert -1.0 < one.left_s <= 0
        assert not one.edge.is_open
        async with asyncio.timeout(PATIENCE_S):
            await one.release()
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
