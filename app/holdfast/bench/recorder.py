"""The recorder into a private PostgreSQL: rows a second from a backlog, and the lag while records arrive.

The recorder is a process of its own, as in operation. Both figures are taken from outside, from what other connections
see in the database: a recorder that never catches up cannot look quick.
"""

import multiprocessing
import multiprocessing.synchronize
import statistics
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from holdfast import _native as native
from holdfast import clock
from holdfast.bench import BenchResult
from holdfast.errors import OperatingError
from holdfast.journals import open_writer
from holdfast.services.recorder import Recorder
from holdfast.settings import Settings
from holdfast.settings.schema import VenueSettings
from holdfast.store.embedded import EmbeddedPostgres

NAME = "recorder"
ROWS_PER_S_BUDGET = 50_000.0
LAG_MS_BUDGET = 1_000.0
EVENTS_PER_S = 10_000
WAIT_S = 120.0
POLL_S = 0.005
SAMPLES_MIN = 20
JOURNALS = ("signals", "orders", "executions")
ROWS_WRITTEN = "SELECT SUM(n_tup_ins + n_tup_upd) FROM pg_stat_user_tables WHERE relname <> 'journal_offsets'"
# Ten intents bring nine denials and one order with its three events and its fill.
INTENTS_PER_ORDER = 10


# Processes start afresh, so that no thread of this one is forked.
_processes = multiprocessing.get_context("spawn")


def run(*, quick: bool) -> list[BenchResult]:
    """Measure both; needs the system's PostgreSQL binaries. Raises: OperatingError without them."""
    with EmbeddedPostgres() as server:
        backlogs = [_backlog(server, 40_000 if quick else 200_000) for _ in range(1 if quick else 3)]
        lag_ms = _steady(server, 3.0 if quick else 10.0)
    rows_per_s = statistics.median(rows for rows, _records in backlogs)
    records_per_s = statistics.median(records for _rows, records in backlogs)
    return [
        _result("backlog", "rows/s", rows_per_s, ROWS_PER_S_BUDGET, is_met=rows_per_s >= ROWS_PER_S_BUDGET),
        _result("backlog, journal records", "records/s", records_per_s, None, is_met=None),
        _result(f"lag at {EVENTS_PER_S} events/s", "ms", lag_ms, LAG_MS_BUDGET, is_met=lag_ms <= LAG_MS_BUDGET),
    ]


def _result(metric: str, unit: str, ours: float, budget: float | None, *, is_met: bool | None) -> BenchResult:
    return BenchResult(
        bench=NAME, metric=metric, unit=unit, ours=ours, budget=budget, peer=None, peer_name="", met=is_met
    )


class _Source:
    """Journals filled with the mix of a busy strategy."""

    def __init__(self, state_dir: Path, dsn: str) -> None:
        venue = {"trading_url": "https://127.0.0.1:1", "data_url": "https://127.0.0.1:1"}
        streams = {"trading_stream_url": "wss://127.0.0.1:1/stream", "data_stream_url": "wss://127.0.0.1:1"}
        self.settings = Settings(
            state_dir=state_dir,
            config_dir=state_dir,
            symbols=("AAPL",),
            venue=VenueSettings.model_validate(venue | streams),
            database_url=SecretStr(dsn),
        )
        self._writers = {name: open_writer(self.settings, name) for name in ("signals", "orders", "executions")}
        self._number = 0
        self.records = 0

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _write(self, journal: str, record: "native.Record") -> None:
        self._writers[journal].append(record, ts_ns=clock.now_ns())
        self.records += 1

    def write(self) -> None:
        """Append an intent with its decision, and for every tenth the order it becomes."""
        self._number += 1
        is_order = self._number % INTENTS_PER_ORDER == 0
        side = native.Side.BUY if self._number % (2 * INTENTS_PER_ORDER) else native.Side.SELL
        common: dict[str, Any] = {"strategy": "bench", "symbol": "AAPL", "side": side}
        self._write("signals", native.OrderIntent(quantity_e9=1_000_000_000, limit_price_e9=100_000_000_000, **common))
        order_id = f"hf-bench-{self._number}" if is_order else ""
        self._write(
            "orders",
            native.Decision(
                verdict=native.Verdict.APPROVED if is_order else native.Verdict.DENIED,
                rule=native.Reason.NONE if is_order else native.Reason.QUOTE_STALE,
                client_order_id=order_id,
                quantity_e9=1_000_000_000,
                **common,
            ),
        )
        if is_order:
            self._write_order(common | {"client_order_id": order_id, "ts_event_ns": clock.now_ns()})

    def _write_order(self, common: dict[str, Any]) -> None:
        quantity_e9, price_e9 = 1_000_000_000, 100_000_000_000
        event = common | {"quantity_e9": quantity_e9, "order_type": native.OrderType.MARKET}
        for status in (native.OrderStatus.SUBMITTING, native.OrderStatus.NEW):
            self._write("executions", native.OrderEvent(kind=native.OrderEventKind.UPDATED, status=status, **event))
        execution_id = str(uuid.UUID(int=self._number))
        amounts: dict[str, Any] = {"quantity_e9": quantity_e9, "price_e9": price_e9}
        self._write("executions", native.Fill(execution_id=execution_id, **common, **amounts))
        filled: dict[str, Any] = {"filled_quantity_e9": quantity_e9, "average_price_e9": price_e9}
        status = native.OrderStatus.FILLED
        self._write(
            "executions", native.OrderEvent(kind=native.OrderEventKind.UPDATED, status=status, **event, **filled)
        )


@contextmanager
def _source(server: EmbeddedPostgres) -> Iterator[_Source]:
    name = f"bench_{clock.monotonic_ns()}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with tempfile.TemporaryDirectory() as directory:
        source = _Source(Path(directory), server.dsn(name))
        yield source
        source.close()


def _record(
    settings: Settings,
    ready: multiprocessing.synchronize.Event,
    go: multiprocessing.synchronize.Event,
    started: multiprocessing.synchronize.Event,
    stop: multiprocessing.synchronize.Event,
) -> None:
    """Be the recorder, from `go` on until `stop`."""
    recorder = Recorder(settings)
    ready.set()
    go.wait(WAIT_S)
    thread = threading.Thread(target=recorder.run, args=[started.set])
    thread.start()
    while thread.is_alive() and not stop.wait(POLL_S):
        pass
    recorder.stop()
    thread.join()


@contextmanager
def _recording(source: _Source, *, is_awaited: bool) -> Iterator[int]:
    """Run a recorder; yields when it was told to begin, monotonic ns, or with `is_awaited` once it follows."""
    ready, go, started, stop = (_processes.Event() for _ in range(4))
    process = _processes.Process(target=_record, args=(source.settings, ready, go, started, stop), daemon=True)
    process.start()
    try:
        if not ready.wait(WAIT_S):
            raise OperatingError("the recorder's process did not start")
        started_ns = clock.monotonic_ns()
        go.set()
        if is_awaited and not started.wait(WAIT_S):
            raise OperatingError("the recorder did not start")
        yield started_ns
    finally:
        stop.set()
        process.join(WAIT_S)
        if process.is_alive():
            process.kill()


@contextmanager
def _connected(source: _Source) -> Iterator[psycopg.Connection]:
    assert source.settings.database_url is not None
    with psycopg.connect(source.settings.database_url.get_secret_value(), autocommit=True) as connection:
        yield connection


def _wait_until_recorded(source: _Source, connection: psycopg.Connection) -> None:
    last = {name: writer.next_seq - 1 for name, writer in source._writers.items()}  # noqa: SLF001 - one file
    deadline_s = clock.monotonic_s() + WAIT_S
    pause = threading.Event()
    while clock.monotonic_s() < deadline_s:
        # The table comes with the recorder's first start.
        if connection.execute("SELECT to_regclass('journal_offsets')").fetchone() != (None,):
            stored: dict[str, int] = dict(connection.execute("SELECT journal, seq FROM journal_offsets").fetchall())
            if all(stored.get(name) == last[name] for name in JOURNALS):
                return
        pause.wait(POLL_S)
    raise OperatingError(f"the recorder did not catch up within {WAIT_S:.0f} s")


def _backlog(server: EmbeddedPostgres, records: int) -> tuple[float, float]:
    """Return table rows and journal records a second of writing what waits: the recorder's own start included."""
    with _source(server) as source:
        while source.records < records:
            source.write()
        with _connected(source) as connection:
            with _recording(source, is_awaited=False) as started_ns:
                _wait_until_recorded(source, connection)
                duration_ns = clock.monotonic_ns() - started_ns
            # The statistics arrive when the recorder's connection has ended.
            rows = _rows_written(connection)
    return rows * 1e9 / duration_ns, source.records * 1e9 / duration_ns


def _rows_written(connection: psycopg.Connection) -> int:
    row = connection.execute(ROWS_WRITTEN).fetchone()
    assert row is not None
    return int(row[0])


def _steady(server: EmbeddedPostgres, duration_s: float) -> float:
    """Return the largest age of the oldest record that is not in the database, ms, while records arrive evenly.

    Raises: OperatingError when the rate was not reached or the lag not seen often enough to call it measured.
    """
    with _source(server) as source, _recording(source, is_awaited=True), _connected(source) as connection:
        lags_ns: list[int] = []
        ended = threading.Event()
        watching = threading.Thread(target=_watch_lag, args=(connection, clock.now_ns(), ended, lags_ns))
        watching.start()
        started_s = clock.monotonic_s()
        pause = threading.Event()
        try:
            while (elapsed_s := clock.monotonic_s() - started_s) < duration_s:
                while source.records < elapsed_s * EVENTS_PER_S:
                    source.write()
                pause.wait(0.001)
        finally:
            ended.set()
            watching.join()
        _wait_until_recorded(source, connection)
    if source.records < 0.98 * duration_s * EVENTS_PER_S or len(lags_ns) < SAMPLES_MIN:
        raise OperatingError(
            f"lag not measured: {source.records} records in {duration_s} s, expected {EVENTS_PER_S} a second; "
            f"{len(lags_ns)} samples, expected {SAMPLES_MIN}; run it on a machine that does nothing else"
        )
    return max(lags_ns) / 1e6


def _watch_lag(connection: psycopg.Connection, begin_ns: int, ended: threading.Event, lags_ns: list[int]) -> None:
    """Append how far the stored stamps are behind the clock, until `ended`.

    Each journal gets a record every few milliseconds: the newest stored stamp stands for the oldest missing one.
    """
    while not ended.wait(POLL_S):
        stored: dict[str, int] = dict(connection.execute("SELECT journal, ts_ns FROM journal_offsets").fetchall())
        lags_ns.append(clock.now_ns() - min(stored.get(name, begin_ns) for name in JOURNALS))
