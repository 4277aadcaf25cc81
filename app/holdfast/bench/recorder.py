"""The recorder into a private PostgreSQL: rows a second from a backlog, and the lag while records arrive."""

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
from holdfast.journals import open_writer
from holdfast.metrics import RECORDER_LAG_SECONDS_MAX
from holdfast.services.recorder import Recorder
from holdfast.settings import Settings
from holdfast.settings.schema import VenueSettings
from holdfast.store.embedded import EmbeddedPostgres

NAME = "recorder"
ROWS_PER_S_BUDGET = 50_000.0
LAG_MS_BUDGET = 1_000.0
EVENTS_PER_S = 10_000
WAIT_S = 60.0
POLL_S = 0.005
# Ten intents bring nine denials and one order with its three events and its fill.
INTENTS_PER_ORDER = 10


def run(*, quick: bool) -> list[BenchResult]:
    """Measure both; needs the system's PostgreSQL binaries. Raises: OperatingError without them."""
    with EmbeddedPostgres() as server:
        rows_per_s = statistics.median(_backlog(server, 40_000 if quick else 200_000) for _ in range(1 if quick else 3))
        lag_ms = _steady(server, 2.0 if quick else 10.0)
    return [
        BenchResult(
            bench=NAME,
            metric="backlog",
            unit="rows/s",
            ours=rows_per_s,
            budget=ROWS_PER_S_BUDGET,
            peer=None,
            peer_name="",
            met=rows_per_s >= ROWS_PER_S_BUDGET,
        ),
        BenchResult(
            bench=NAME,
            metric=f"lag at {EVENTS_PER_S} events/s",
            unit="ms",
            ours=lag_ms,
            budget=LAG_MS_BUDGET,
            peer=None,
            peer_name="",
            met=lag_ms <= LAG_MS_BUDGET,
        ),
    ]


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
        self.rows = 0

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _write(self, journal: str, record: "native.Record") -> None:
        self._writers[journal].append(record, ts_ns=clock.now_ns())
        self.rows += 1

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


@contextmanager
def _recording(source: _Source) -> Iterator[None]:
    recorder = Recorder(source.settings)
    started = threading.Event()
    thread = threading.Thread(target=recorder.run, args=[started.set])
    thread.start()
    try:
        assert started.wait(WAIT_S), "the recorder did not start"
        yield
    finally:
        recorder.stop()
        thread.join()


def _wait_until_recorded(source: _Source) -> None:
    wanted = ("signals", "orders", "executions")
    last = {name: writer.next_seq - 1 for name, writer in source._writers.items()}  # noqa: SLF001 - one file
    deadline_s = clock.monotonic_s() + WAIT_S
    pause = threading.Event()
    assert source.settings.database_url is not None
    with psycopg.connect(source.settings.database_url.get_secret_value(), autocommit=True) as connection:
        while clock.monotonic_s() < deadline_s:
            stored: dict[str, int] = dict(connection.execute("SELECT journal, seq FROM journal_offsets").fetchall())
            if all(stored.get(name) == last[name] for name in wanted):
                return
            pause.wait(POLL_S)
    raise AssertionError("the recorder did not catch up")


def _backlog(server: EmbeddedPostgres, rows: int) -> float:
    """Return rows a second of writing what waits: start of the recorder included."""
    with _source(server) as source:
        while source.rows < rows:
            source.write()
        started_ns = clock.monotonic_ns()
        with _recording(source):
            _wait_until_recorded(source)
        return source.rows * 1e9 / (clock.monotonic_ns() - started_ns)


def _steady(server: EmbeddedPostgres, duration_s: float) -> float:
    """Return the largest age of a record at its commit, ms, while records arrive evenly."""
    pause = threading.Event()
    with _source(server) as source, _recording(source):
        started_s = clock.monotonic_s()
        while (elapsed_s := clock.monotonic_s() - started_s) < duration_s:
            while source.rows < elapsed_s * EVENTS_PER_S:
                source.write()
            pause.wait(0.001)
        _wait_until_recorded(source)
    return float(RECORDER_LAG_SECONDS_MAX._value.get()) * 1e3  # noqa: SLF001 - prometheus_client has no public reader
