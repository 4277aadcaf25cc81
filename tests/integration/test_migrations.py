"""Migrations against a real PostgreSQL."""

from __future__ import annotations

import threading

import psycopg
import pytest

from holdfast import _native
from holdfast.errors import OperatingError
from holdfast.store.migrate import Migration, known_migrations, migrate
from holdfast.store.tables import HEADER_COLUMNS, TABLES

DESCRIBED = {
    "positions": "id symbol quantity entry_price current_price unrealized_pnl side opened_at updated_at",
    "orders": "id order_id symbol side order_type quantity price status submitted_at filled_at filled_quantity "
    "filled_avg_price",
    "trades": "id trade_id order_id symbol side quantity price commission executed_at",
    "risk_events": "id event_type severity message metadata occurred_at",
    "daily_pnl": "id trading_date realized_pnl unrealized_pnl total_pnl trade_count winning_trades losing_trades",
}
DESCRIBED_INDEXES = {
    "idx_orders_symbol",
    "idx_orders_status",
    "idx_orders_submitted_at",
    "idx_trades_order_id",
    "idx_trades_executed_at",
    "idx_positions_symbol",
    "idx_risk_events_occurred_at",
}


def columns_of(connection: psycopg.Connection, table: str) -> dict[str, str]:
    rows = connection.execute(
        """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
           WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = '' ORDER BY attnum""",
        [table],
    )
    return dict(rows.fetchall())


def test_a_second_run_applies_nothing(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        assert migrate(connection) == len(known_migrations())
        assert migrate(connection) == 0


def test_the_described_tables_and_indexes_exist(migrated_database: str) -> None:
    with psycopg.connect(migrated_database) as connection:
        for table, columns in DESCRIBED.items():
            assert list(columns_of(connection, table))[: len(columns.split())] == columns.split()
        indexes = {name for (name,) in connection.execute("SELECT indexname FROM pg_indexes")}
    assert indexes >= DESCRIBED_INDEXES


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: TABLES[kind].name)
def test_columns_equal_the_record_fields(kind: type[_native.Record], migrated_database: str) -> None:
    table = TABLES[kind]
    with psycopg.connect(migrated_database) as connection:
        assert columns_of(connection, table.name) == table.columns
    assert len(table.columns) == len(HEADER_COLUMNS) + len(kind.FIELDS)


def test_a_changed_migration_is_refused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        migrate(connection, (Migration(1, "first", "CREATE TABLE a (x INTEGER)"),))
        with pytest.raises(OperatingError, match="0001 was applied"):
            migrate(connection, (Migration(1, "first", "CREATE TABLE a (y INTEGER)"),))


def test_a_failing_migration_leaves_nothing_behind(database: str) -> None:
    good = Migration(1, "good", "CREATE TABLE good (x INTEGER)")
    bad = Migration(2, "bad", "CREATE TABLE bad (x INTEGER); SELECT 1 / 0")
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(connection, (good, bad))
        found = connection.execute("SELECT to_regclass('good'), to_regclass('bad')").fetchone()
        assert found == ("good", None)
        assert migrate(connection, (good, Migration(2, "bad", "CREATE TABLE bad (x INTEGER)"))) == 1


def test_concurrent_runs_apply_each_migration_once(database: str) -> None:
    applied: list[int] = []

    def run() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            applied.append(migrate(connection))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [0, 0, 0, len(known_migrations())]


def test_fills_and_audit_only_grow(migrated_database: str) -> None:
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        for table in ("trades", "fills", "operator_actions", "audit_lines"):
            for statement in ("DELETE FROM {}", "UPDATE {} SET seq = 1", "TRUNCATE {}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"):
                    connection.execute(statement.format(table))
