"""The recorder against a real PostgreSQL: rows, exactly once, through crashes of either side."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from holdfast import _native as native
from holdfast.errors import OperatingError
from holdfast.services.recorder import Recorder
from holdfast.settings import Settings
from holdfast.store import connection as store_connection
from holdfast.store.audit import first_broken_link
from holdfast.store.batch import Batch
from holdfast.store.embedded import EmbeddedPostgres
from patience import PATIENCE_S
from trading_day import Day, make_settings


def with_database(settings: Settings, dsn: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(dsn)})


@contextmanager
def recording(settings: Settings, dsn: str) -> Iterator[Recorder]:
    """A recorder in a thread; the end of the block asks it to stop and waits, its error is raised."""
    recorder = Recorder(with_database(settings, dsn))
    errors: list[BaseException] = []
    started = threading.Event()

    def work() -> None:
        try:
            recorder.run(started.set)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert started.wait(PATIENCE_S)
        yield recorder
    finally:
        recorder.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline_s, "did not happen"
        time.sleep(0.02)


def record_all(settings: Settings, dsn: str) -> None:
    """Start a recorder, let it write everything and stop."""
    with recording(settings, dsn):
        pass


def test_orders_trades_positions_and_days(settings: Settings, day: Day, database: str) -> None:
    day.quote()
    bought = day.order(native.Side.BUY, 100_000_000_000)
    sold = day.order(native.Side.SELL, 102_000_000_000, quantity_e9=4_000_000_000)
    day.quote(bid_e9=103_000_000_000, ask_e9=103_000_000_000)
    record_all(settings, database)

    orders = rows(database, "SELECT order_id, side, status, quantity, filled_avg_price FROM orders ORDER BY id")
    assert orders == [
        (bought, "buy", "filled", Decimal(10), Decimal(100)),
        (sold, "sell", "filled", Decimal(4), Decimal(102)),
    ]
    trades = rows(database, "SELECT order_id, quantity, price, commission, realized_pnl FROM trades ORDER BY seq")
    assert trades == [
        (bought, Decimal(10), Decimal(100), Decimal("0.01"), Decimal("-0.01")),
        (sold, Decimal(4), Decimal(102), Decimal("0.01"), Decimal("7.99")),
    ]
    position = rows(
        database, "SELECT symbol, side, quantity, entry_price, current_price, unrealized_pnl FROM positions"
    )
    assert position == [("AAPL", "long", Decimal(6), Decimal(100), Decimal(103), Decimal(18))]
    days = rows(
        database,
        "SELECT trading_date::text, realized_pnl, unrealized_pnl, total_pnl, trade_count, winning_trades,"
        " losing_trades FROM daily_pnl",
    )
    assert days == [("2025-11-24", Decimal("7.98"), Decimal(18), Decimal("25.98"), 2, 1, 0)]


def test_a_flat_position_leaves_and_a_short_one_replaces_it(settings: Settings, day: Day, database: str) -> None:
    day.order(native.Side.BUY, 100_000_000_000)
    record_all(settings, database)
    day.order(native.Side.SELL, 101_000_000_000)
    record_all(settings, database)
    assert rows(database, "SELECT * FROM positions") == []
    day.order(native.Side.SELL, 101_000_000_000)
    record_all(settings, database)
    assert rows(database, "SELECT side, quantity FROM positions") == [("short", Decimal(-10))]


def test_restarts_neither_lose_nor_double(settings: Settings, day: Day, database: str) -> None:
    for _ in range(4):
        day.order(native.Side.BUY, 100_000_000_000)
        day.order(native.Side.SELL, 101_000_000_000)
        record_all(settings, database)
    check_equal_to_one_pass(settings, database)


def check_equal_to_one_pass(settings: Settings, dsn: str) -> None:
    """Compare the database with the journals: a row a record, and the sums of the fills."""
    with psycopg.connect(dsn) as connection:
        for journal, tables in {
            "signals": ("signals", "intents"),
            "orders": ("decisions",),
            "executions": ("order_events", "fills"),
        }.items():
            counted = sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)  # type: ignore[index] # noqa: S608
            offset = connection.execute("SELECT seq FROM journal_offsets WHERE journal = %s", [journal]).fetchone()
            assert offset == (counted,)
        fills, realized, trade_sum, day_sum, trade_count = connection.execute(
            """SELECT (SELECT count(*) FROM fills), (SELECT sum(realized_pnl) FROM trades),
                      (SELECT sum(CASE side WHEN 'sell' THEN quantity * price ELSE -quantity * price END - commission)
                       FROM trades),
                      (SELECT sum(realized_pnl) FROM daily_pnl), (SELECT sum(trade_count) FROM daily_pnl)"""
        ).fetchone()  # type: ignore[misc]
    assert trade_count == fills
    assert realized == day_sum
    assert realized == trade_sum, "flat, so the realized result is the cash that moved"


def test_denials_states_and_operators_are_risk_events(settings: Settings, day: Day, database: str) -> None:
    day.deny()
    halted = native.TradingStateCode.HALTED
    day.write("orders", native.TradingState(state=halted, rule=native.Reason.OPERATOR, detail="a\tb\\c\nd"))
    for kind in (native.Trip, native.Reset):
        day.write("control", kind(operator="alice", reason="drill", ts_event_ns=day.ts_ns))
    record_all(settings, database)
    found = rows(database, "SELECT event_type, severity, journal FROM risk_events ORDER BY occurred_at")
    assert found == [
        ("order_denied", "warning", "orders"),
        ("trading_state", "critical", "orders"),
        ("operator_trip", "critical", "control"),
        ("operator_reset", "warning", "control"),
    ]
    assert rows(database, "SELECT detail FROM trading_states") == [("a\tb\\c\nd",)]
    denial = rows(database, "SELECT rule, risk_limit, value, metadata->>'rule' FROM decisions, risk_events LIMIT 1")
    assert denial == [("quote_stale", Decimal(1), Decimal(2), "quote_stale")]


def test_the_audit_trail_shows_a_changed_row(settings: Settings, day: Day, database: str) -> None:
    for number in range(3):
        day.write("control", native.Trip(operator="alice", reason=f"drill {number}", ts_event_ns=day.ts_ns))
        record_all(settings, database)
    with psycopg.connect(database, autocommit=True) as connection:
        assert first_broken_link(connection) is None
        connection.execute("ALTER TABLE operator_actions DISABLE TRIGGER operator_actions_only_grow")
        connection.execute("UPDATE operator_actions SET content = replace(content, 'alice', 'bob') WHERE seq = 2")
        assert first_broken_link(connection) == 2


def test_quotes_are_recorded_only_when_asked(settings: Settings, day: Day, database: str) -> None:
    day.quote()
    record_all(settings, database)
    assert rows(database, "SELECT count(*) FROM quotes") == [(0,)]
    day.quote()
    services = {"recorder": {"records_quotes": True}}
    record_all(make_settings(settings.state_dir, services=services), database)
    assert rows(database, "SELECT symbol, bid_price, seq FROM quotes") == [("AAPL", Decimal("99.99"), 2)]


def test_a_row_that_the_server_refuses_is_kept_and_stops_nothing(settings: Settings, day: Day, database: str) -> None:
    day.order(native.Side.BUY, 100_000_000_000)
    lost: dict[str, Any] = {"client_order_id": "without-a-side", "status": native.OrderStatus.NEW, "symbol": "AAPL"}
    day.write("executions", native.OrderEvent(kind=native.OrderEventKind.ADOPTED, is_external=1, **lost))
    day.order(native.Side.BUY, 100_000_000_000)
    record_all(settings, database)
    assert rows(database, "SELECT table_name FROM refused_rows") == [("INSERT INTO orders",)]
    assert rows(database, "SELECT count(*) FROM trades") == [(2,)]
    assert rows(database, "SELECT count(*) FROM order_events") == [(7,)]


def test_a_database_of_other_journals_is_refused(settings: Settings, day: Day, database: str, tmp_path: Path) -> None:
    day.order(native.Side.BUY, 100_000_000_000)
    record_all(settings, database)
    other = make_settings(tmp_path / "other")
    Day(other).close()
    with pytest.raises(OperatingError, match="do not belong together"):
        record_all(other, database)


def test_a_second_recorder_waits_for_the_first(settings: Settings, day: Day, database: str) -> None:
    day.order(native.Side.BUY, 100_000_000_000)
    second = Recorder(with_database(settings, database))
    has_started = threading.Event()
    thread = threading.Thread(target=second.run, args=[has_started.set])
    with recording(settings, database):
        thread.start()
        assert not has_started.wait(0.3)
    assert has_started.wait(PATIENCE_S)
    second.stop()
    thread.join(PATIENCE_S)
    assert rows(database, "SELECT count(*) FROM trades") == [(1,)]


def test_a_restored_database_catches_up(settings: Settings, day: Day, database: str) -> None:
    """A backup of the past: the offsets are those of the past, so the recorder starts over from them."""
    day.order(native.Side.BUY, 100_000_000_000)
    day.order(native.Side.SELL, 100_000_000_000)
    record_all(settings, database)
    copy = database.replace("/test_", "/restored_test_")
    name, copy_name = (dsn.split("/")[3].split("?")[0] for dsn in (database, copy))
    admin = database.replace(name, "postgres", 1)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {copy_name} TEMPLATE {name}")
    day.order(native.Side.SELL, 101_000_000_000)
    day.order(native.Side.BUY, 101_000_000_000)
    record_all(settings, database)
    record_all(settings, copy)
    for dsn in (database, copy):
        check_equal_to_one_pass(settings, dsn)


def test_kills_of_the_database_lose_and_double_nothing(
    settings: Settings, day: Day, own_postgres: EmbeddedPostgres
) -> None:
    dsn = own_postgres.dsn()
    over = settings.services.recorder.model_copy(update={"batch_rows_max": 50, "batch_interval_ms": 1})
    fast = settings.model_copy(update={"services": settings.services.model_copy(update={"recorder": over})})
    is_done = threading.Event()

    def trade() -> None:
        while not is_done.is_set():
            day.order(native.Side.BUY, 100_000_000_000)
            day.order(native.Side.SELL, 101_000_000_000)
            is_done.wait(0.02)

    trader = threading.Thread(target=trade)
    with recording(fast, dsn):
        trader.start()
        try:
            for committed in range(0, 30, 10):
                wait_for(lambda least=committed: rows(dsn, "SELECT count(*) FROM trades")[0][0] > least)  # type: ignore[misc]
                own_postgres.kill()
                own_postgres.start()
        finally:
            is_done.set()
            trader.join()
        last = day.writers["executions"].next_seq - 1
        query = "SELECT seq FROM journal_offsets WHERE journal = 'executions'"
        wait_for(lambda: rows(dsn, query) == [(last,)])
    check_equal_to_one_pass(settings, dsn)


def test_a_frozen_database_is_given_up_and_settled(
    settings: Settings, day: Day, own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.services.recorder.COMMIT_TIMEOUT_S", 0.2)
    dsn = own_postgres.dsn()
    with recording(settings, dsn) as recorder:
        day.order(native.Side.BUY, 100_000_000_000)
        wait_for(lambda: rows(dsn, "SELECT count(*) FROM trades") == [(1,)])
        frozen = [
            pid for (pid,) in rows(dsn, "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'holdfast%'")
        ]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        day.order(native.Side.SELL, 100_000_000_000)

        def is_given_up() -> bool:
            recorder.check_deadline()
            return not recorder._connection.is_open

        wait_for(is_given_up)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: rows(dsn, "SELECT count(*) FROM trades") == [(2,)])
    check_equal_to_one_pass(settings, dsn)


def test_a_commit_whose_answer_is_lost_is_settled_by_the_offsets(
    settings: Settings, day: Day, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = iter((True, False, True))
    write_at_once = store_connection._write_at_once

    def cut(connection: psycopg.Connection, batch: Batch) -> None:
        is_committed = next(outcomes, None)
        if is_committed is not False:
            write_at_once(connection, batch)
        if is_committed is not None:
            raise psycopg.OperationalError("the connection was cut at COMMIT")

    monkeypatch.setattr(store_connection, "_write_at_once", cut)
    with recording(settings, database):
        for count in range(1, 4):
            day.order(native.Side.BUY, 100_000_000_000)
            day.order(native.Side.SELL, 101_000_000_000)
            wait_for(lambda least=count: rows(database, "SELECT count(*) FROM trades") == [(2 * least,)])  # type: ignore[misc]
    assert next(outcomes, None) is None
    check_equal_to_one_pass(settings, database)
