"""The recorder: every journal into PostgreSQL, exactly once.

Rows and the journal offsets that they reach are one transaction. A commit whose outcome is unknown is settled by the
stored offsets: either the batch is there, or it is written again. While one batch is written the next is collected;
while PostgreSQL is away nothing is read beyond that one, so memory stays bounded; the journals wait on disk and nobody
else notices.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from holdfast import clock, crash_points, metrics
from holdfast._native import Fill, JournalAhead, JournalMissing, JournalReader, wait_any
from holdfast.errors import ConfigError, OperatingError, RetryLater
from holdfast.journals import open_reader
from holdfast.logs import get_logger
from holdfast.service import Frame
from holdfast.settings import Settings
from holdfast.store.batch import Batch, Offset
from holdfast.store.connection import ProjectionMoved, StoreConnection
from holdfast.store.projection import Projection
from holdfast.store.tables import TABLES
from holdfast.store.witness import AuditWitness

READ_RECORDS_MAX = 1000
IDLE_WAIT_S = 0.25
MISSING_INTERVAL_S = 1.0
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
COMMIT_TIMEOUT_S = 30.0
WATCH_INTERVAL_S = 0.5
CAUGHT_UP_LAG_S = 1.0
# Quotes last: the book remembers marks only of what it holds.
READING_ORDER = ("signals", "orders", "executions", "control", "market_data")

FILLS = TABLES[Fill].copy_sql

log = get_logger()


@dataclass(slots=True)
class Source:
    """A journal that is followed."""

    name: str
    reader: JournalReader
    created_ns: int


class Recorder:
    """The loop, run in a thread of its own; `stop` and `check_deadline` may be called from another."""

    def __init__(self, settings: Settings) -> None:
        if settings.database_url is None:
            raise ConfigError(
                file=settings.config_dir / "system.json",
                key="database_url",
                expected="the connection string of PostgreSQL as credential database_url or variable DATABASE_URL",
            )
        self._settings = settings
        self._connection = StoreConnection(settings.database_url.get_secret_value())
        self._witness = AuditWitness(settings.state_dir, self._connection)
        self._stopping = threading.Event()
        self._projection: Projection | None = None
        self._stored: dict[str, Offset] = {}
        self._sources: dict[str, Source] = {}
        self._next_search_s = 0.0
        self._has_caught_up = False
        self._lag_s_max = 0.0

    def stop(self) -> None:
        """Ask the loop to write what it has read and to end."""
        self._stopping.set()

    def abort(self) -> None:
        """Make a call to the database that is under way fail."""
        self._connection.abort()

    def check_deadline(self) -> None:
        """Abort a transaction that PostgreSQL does not answer: it is frozen or cut off."""
        since_s = self._connection.busy_since_s
        if since_s and clock.monotonic_s() - since_s > COMMIT_TIMEOUT_S:
            log.warning("commit_timed_out", after_s=COMMIT_TIMEOUT_S)
            self._connection.abort()

    def run(self, on_started: Callable[[], None]) -> None:
        """Follow the journals until `stop`; `on_started` is called once the database is caught up with its offsets.

        Raises: OperatingError when the database and the journals do not belong together.
        """
        backoff_s = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            try:
                self._start()
                on_started()
                backoff_s = BACKOFF_FIRST_S
                self._follow()
            except RetryLater as error:
                metrics.RECORDER_DATABASE_UP.set(0)
                log.warning("database_away", error=str(error), retry_in_s=backoff_s)
                self._stopping.wait(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            except ProjectionMoved as error:
                log.warning("projection_moved", error=str(error))
            finally:
                self._close()

    def _close(self) -> None:
        for source in self._sources.values():
            source.reader.close()
        self._sources.clear()
        self._connection.close()

    def _start(self) -> None:
        """Connect, and rebuild the books up to what the database holds."""
        self._connection.open()
        self._witness.forget()
        self._stored = self._connection.offsets()
        audit_hash = self._connection.last_audit_hash()
        metrics.RECORDER_DATABASE_UP.set(1)
        self._projection = Projection(
            offsets=self._stored,
            audit_hash=audit_hash,
            records_quotes=self._settings.services.recorder.records_quotes,
        )
        self._recall_executions(self._projection)
        self._next_search_s = 0.0
        log.info("projection_started", offsets={name: offset.seq for name, offset in self._stored.items()})

    def _recall_executions(self, projection: Projection) -> None:
        offset = self._stored.get("executions")
        if offset is None:
            return
        with self._open("executions", 0) as reader:
            while reader.next_seq <= offset.seq:
                records = reader.read(min(READ_RECORDS_MAX, offset.seq - reader.next_seq + 1))
                if not records:
                    raise _foreign("executions", f"it ends before record {offset.seq}, which was recorded")
                for record in records:
                    projection.recall(record)

    def _open(self, name: str, from_seq: int) -> JournalReader:
        try:
            return open_reader(self._settings, name, from_seq=from_seq, wait_s=0.0)
        except (JournalAhead, JournalMissing) as error:
            if name in self._stored:
                raise _foreign(name, str(error)) from None
            raise

    def _search(self) -> None:
        """Open the journals that exist by now."""
        if clock.monotonic_s() < self._next_search_s:
            return
        self._next_search_s = clock.monotonic_s() + MISSING_INTERVAL_S
        for name in READING_ORDER:
            if name not in self._sources:
                with contextlib.suppress(JournalMissing):
                    self._sources[name] = self._open_source(name)
        self._sources = {name: self._sources[name] for name in READING_ORDER if name in self._sources}

    def _open_source(self, name: str) -> Source:
        offset = self._stored.get(name)
        reader = self._open(name, offset.seq if offset else 0)
        created_ns = reader.identity[2]
        if offset is not None:
            # The last stored record must still be there: a journal that lost its tail has numbered others since.
            last = reader.read_one()
            if created_ns != offset.created_ns or last is None or last.ts_ns != offset.ts_ns:
                raise _foreign(name, f"record {offset.seq} is not the one that was recorded")
        return Source(name, reader, created_ns)

    def _follow(self) -> None:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit") as committing:
            under_way: Future[None] | None = None
            while True:
                is_last = self._stopping.is_set()
                batch = self._collect_or_stop()
                if under_way is not None:
                    under_way.result()
                is_looking = is_last or self._witness.is_due
                under_way = (
                    committing.submit(self._store, batch, is_looking=is_looking) if batch or is_looking else None
                )
                if is_last:
                    if under_way is not None:
                        under_way.result()
                    return

    def _collect_or_stop(self) -> Batch | None:
        try:
            self._search()
            return self._collect()
        except BaseException:
            # A journal that cannot be read ends the recorder: the commit under way must not outlive it.
            self._stopping.set()
            self._connection.abort()
            raise

    def _collect(self) -> Batch | None:
        """Read until the batch is full or its time is over; None when nothing came."""
        assert self._projection is not None
        projection = self._projection
        limits = self._settings.services.recorder
        deadline_s = 0.0
        while projection.records < limits.batch_rows_max:
            if self._read(limits.batch_rows_max - projection.records):
                deadline_s = deadline_s or clock.monotonic_s() + limits.batch_interval_ms / 1000
                continue
            if not projection.records:
                wait_any([source.reader for source in self._sources.values()], IDLE_WAIT_S)
                if not self._read(limits.batch_rows_max):
                    return None
                deadline_s = clock.monotonic_s() + limits.batch_interval_ms / 1000
                continue
            remaining_s = deadline_s - clock.monotonic_s()
            if remaining_s <= 0 or self._stopping.is_set():
                break
            self._stopping.wait(remaining_s)
        return projection.seal()

    def _read(self, count_max: int) -> int:
        assert self._projection is not None
        count = 0
        for source in self._sources.values():
            records = source.reader.read(min(READ_RECORDS_MAX, count_max - count))
            if records:
                epoch = source.reader.epoch
                for record in records:
                    self._projection.add(source.name, record, source.created_ns, epoch)
                count += len(records)
            if count >= count_max:
                break
        return count

    def _commit(self, batch: Batch) -> None:
        """Write a batch, again and again until it is proven to be there.

        Raises: ProjectionMoved when the stored offsets are neither those before nor those after; RetryLater on a stop.
        """
        backoff_s = BACKOFF_FIRST_S
        started_ns = clock.monotonic_ns()
        while True:
            try:
                if not self._connection.is_open and self._is_stored(batch):
                    break
                metrics.RECORDER_REFUSED.inc(self._write(batch))
                break
            except RetryLater as error:
                metrics.RECORDER_DATABASE_UP.set(0)
                metrics.RECORDER_RETRIES.inc()
                log.warning("commit_unproven", error=str(error), records=batch.records, retry_in_s=backoff_s)
                if self._stopping.wait(backoff_s):
                    raise
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
        self._stored = batch.before | batch.after
        lag_s = (clock.now_ns() - batch.oldest_ts_ns) / 1e9
        metrics.RECORDER_DATABASE_UP.set(1)
        metrics.RECORDER_ROWS.inc(batch.rows)
        metrics.RECORDER_RECORDS.inc(batch.records)
        metrics.RECORDER_COMMIT_SECONDS.observe((clock.monotonic_ns() - started_ns) / 1e9)
        metrics.RECORDER_LAG_SECONDS.set(lag_s)
        # The lag of a start on an old journal is the length of the outage, not of the recorder.
        if self._has_caught_up:
            self._lag_s_max = max(self._lag_s_max, lag_s)
            metrics.RECORDER_LAG_SECONDS_MAX.set(self._lag_s_max)
        self._has_caught_up = self._has_caught_up or lag_s < CAUGHT_UP_LAG_S

    def _store(self, batch: Batch | None, *, is_looking: bool) -> None:
        if batch is not None:
            self._commit(batch)
        if is_looking:
            self._witness.look()

    def _write(self, batch: Batch) -> int:
        has_fills = FILLS in batch.copies
        if has_fills:
            crash_points.before("stored_fill")
        refused = self._connection.write(batch)
        if has_fills:
            crash_points.after("stored_fill")
        return refused

    def _is_stored(self, batch: Batch) -> bool:
        """Connect again and say whether the batch was committed before the connection failed."""
        self._connection.open()
        stored = self._connection.offsets()
        if stored == batch.before | batch.after:
            log.info("commit_proven", records=batch.records)
            return True
        if stored != batch.before:
            raise ProjectionMoved(f"stored offsets {stored} are neither before nor after the batch")
        return False


def _foreign(name: str, detail: str) -> OperatingError:
    return OperatingError(
        f"journal {name} and the database do not belong together: {detail}. "
        "Give the recorder an empty database (it is rebuilt from the journals), or restore the journals."
    )


async def run(frame: Frame) -> None:
    """Run the recorder until the frame stops."""
    recorder = Recorder(frame.settings)
    loop = asyncio.get_running_loop()
    has_started = False

    def on_started() -> None:
        nonlocal has_started
        if not has_started:
            has_started = True
            loop.call_soon_threadsafe(frame.ready)

    work = asyncio.create_task(asyncio.to_thread(recorder.run, on_started))
    stopping = asyncio.create_task(frame.stopping.wait())
    try:
        while not work.done() and not stopping.done():
            await asyncio.wait({work, stopping}, timeout=WATCH_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
            recorder.check_deadline()
        recorder.stop()
        await asyncio.wait({work}, timeout=WATCH_INTERVAL_S * 4)
        if not work.done():
            recorder.abort()
        await work
    finally:
        stopping.cancel()
        recorder.stop()
        recorder.abort()
