"""The recorder's connection to PostgreSQL: one at a time, one transaction a batch."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import cast

import psycopg

from holdfast import audit, clock
from holdfast.errors import HoldfastError, RetryLater
from holdfast.logs import get_logger
from holdfast.store import statements
from holdfast.store.audit import FIRST_HASH
from holdfast.store.batch import Batch, Offset, Row
from holdfast.store.migrate import migrate
from holdfast.store.single import SingleConnection

CONNECT_TIMEOUT_S = 5
LOCK_KEY = 0x7265636F  # "reco"
Refused = (psycopg.DataError, psycopg.IntegrityError)

log = get_logger()


class ProjectionMoved(HoldfastError):
    """The offsets in the database are not those of this recorder: start over from the stored ones."""


class StoreConnection(SingleConnection):
    """The recorder's connection, with which it is the only recorder of its database."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.busy_since_s = 0.0
        """When the transaction under way began, monotonic seconds; 0 while there is none."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that has not failed."""
        return self._connection is not None

    def open(self) -> None:
        """Connect, migrate and become the only recorder of this database.

        Raises: RetryLater while there is no server or another recorder; OperatingError for a changed migration.
        """
        assert self._connection is None
        try:
            connection = psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="holdfast-recorder"
            )
        except psycopg.OperationalError as error:
            raise RetryLater(f"no connection to PostgreSQL: {error}") from None
        self._connection = connection
        with self._failing_later():
            migrate(connection)
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
            if row != (True,):
                raise RetryLater("another recorder holds this database: stop it, or wait until its connection ends")
            for upsert in statements.STAGED.values():
                connection.execute(upsert.stage.encode())

    def offsets(self) -> dict[str, Offset]:
        """Return how far each journal is in the database. Raises: RetryLater."""
        with self._failing_later() as connection:
            rows = connection.execute(statements.LOAD_OFFSETS).fetchall()
        return {journal: Offset(*rest) for journal, *rest in rows}

    def last_audit_hash(self) -> str:
        """Return the hash at the end of the audit trail. Raises: RetryLater."""
        with self._failing_later() as connection:
            row = connection.execute(statements.LAST_AUDIT_HASH).fetchone()
        return FIRST_HASH if row is None else cast("str", row[0])

    def audit_lines(self) -> dict[int, str]:
        """Return the hash of every line of the audit trail that was seen, by its number. Raises: RetryLater."""
        with self._failing_later() as connection:
            return dict(connection.execute(statements.AUDIT_LINES).fetchall())

    def add_audit_lines(self, lines: Sequence[audit.Line]) -> None:
        """Remember lines of the audit trail, all or none. Raises: RetryLater."""
        with self._failing_later() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statements.AUDIT_LINE, [(line.seq, line.ts_ns, line.hash) for line in lines])

    def write(self, batch: Batch) -> int:
        """Commit a batch and return the number of rows that the server refused, each kept in refused_rows.

        Raises: RetryLater when nothing is proven: compare the offsets before trying again; ProjectionMoved.
        """
        self.busy_since_s = clock.monotonic_s()
        try:
            with self._failing_later() as connection:
                try:
                    _write_at_once(connection, batch)
                except Refused as error:
                    log.warning("batch_refused", error=str(error), rows=batch.rows)
                    return _write_one_by_one(connection, batch)
                return 0
        finally:
            self.busy_since_s = 0.0

    @contextlib.contextmanager
    def _failing_later(self) -> Iterator[psycopg.Connection]:
        connection = self._connection
        if connection is None:
            raise RetryLater("no connection to PostgreSQL")
        try:
            yield connection
        except (RetryLater, ProjectionMoved):
            self.close()
            raise
        except psycopg.Error as error:
            self.close()
            raise RetryLater(f"PostgreSQL: {error}") from error


def _advance(connection: psycopg.Connection, batch: Batch) -> None:
    for journal, offset in batch.after.items():
        before = batch.before.get(journal)
        cursor = connection.execute(statements.ADVANCE, [journal, *offset, before.seq if before else -1])
        if cursor.rowcount != 1:
            raise ProjectionMoved(f"journal {journal}: the database is not at {before}")


def _write_at_once(connection: psycopg.Connection, batch: Batch) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        _advance(connection, batch)
        for statement, lines in batch.copies.items():
            with cursor.copy(statement.encode()) as copy:
                copy.write("".join(lines))
        for statement, rows in batch.changes.items():
            upsert = statements.STAGED.get(statement)
            if upsert is None:
                cursor.executemany(statement.encode(), rows)
                continue
            with cursor.copy(upsert.copy.encode()) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(upsert.take.encode())


def _write_one_by_one(connection: psycopg.Connection, batch: Batch) -> int:
    refused = 0
    with connection.transaction():
        _advance(connection, batch)
        for statement, lines in batch.copies.items():
            for line in lines:
                refused += _try_row(connection, statement, line)
        for statement, rows in batch.changes.items():
            for row in rows:
                refused += _try_row(connection, statement, row)
    return refused


def _try_row(connection: psycopg.Connection, statement: str, row: str | Row) -> int:
    try:
        with connection.transaction(), connection.cursor() as cursor:
            if isinstance(row, str):
                with cursor.copy(statement.encode()) as copy:
                    copy.write(row)
            else:
                cursor.execute(statement.encode(), row)
    except Refused as error:
        target = " ".join(statement.split()[:3])
        connection.execute(statements.REFUSE, [target, repr(row), str(error)])
        log.exception("row_refused", statement=target, row=repr(row))
        return 1
    return 0
