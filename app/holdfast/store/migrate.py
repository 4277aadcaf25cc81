"""Migrations: numbered SQL files, each applied once, in order, in one transaction of its own.

A checksum of what was applied is kept: a file that changed afterwards is refused. An advisory lock admits one run at a
time.
"""

import hashlib
import importlib.resources
import re
from dataclasses import dataclass

import psycopg

from holdfast.errors import OperatingError, RetryLater

LOCK_KEY = 0x686F6C64  # "hold"
_FILE_NAME = re.compile(r"(\d{4})_([a-z_]+)\.sql")

_SCHEMA_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum CHAR(64) NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known_migrations() -> tuple[Migration, ...]:
    """Return the migrations of this release, in order; numbers start at 1 and have no holes."""
    found = []
    for entry in importlib.resources.files("holdfast.store").joinpath("migrations").iterdir():
        match = _FILE_NAME.fullmatch(entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    assert [migration.version for migration in found] == list(range(1, len(found) + 1)), "a migration is missing"
    return tuple(found)


def migrate(connection: psycopg.Connection, migrations: tuple[Migration, ...] | None = None) -> int:
    """Apply what is missing and return how many were applied.

    A database of a newer release is left alone: migrations only add, so this release still works on it.
    Raises: OperatingError when an applied migration differs from its file; RetryLater when one is missing and this role
        may not apply it; psycopg.Error from the server.
    """
    migrations = known_migrations() if migrations is None else migrations
    assert connection.autocommit, "each migration is a transaction of its own"
    connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    try:
        # Asked first: IF NOT EXISTS wants the right to create tables even if there is nothing to create.
        if not _has_begun(connection):
            connection.execute(_SCHEMA_MIGRATIONS)
        applied = _applied(connection)
        return sum(_apply(connection, migration, applied.get(migration.version)) for migration in migrations)
    except psycopg.errors.InsufficientPrivilege as error:
        raise RetryLater(
            f"a migration is missing and this role may not apply it ({error.diag.message_primary}): "
            "run holdfast migrate as the owner of the tables"
        ) from None
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])


def pending(connection: psycopg.Connection) -> tuple[Migration, ...]:
    """Return the migrations of this release that the database does not have."""
    applied = _applied(connection) if _has_begun(connection) else {}
    return tuple(migration for migration in known_migrations() if migration.version not in applied)


def _has_begun(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT to_regclass('schema_migrations')").fetchone() != (None,)


def _applied(connection: psycopg.Connection) -> dict[int, tuple[str, str]]:
    rows = connection.execute("SELECT version, name, checksum FROM schema_migrations").fetchall()
    return {version: (name, checksum) for version, name, checksum in rows}


def _apply(connection: psycopg.Connection, migration: Migration, applied: tuple[str, str] | None) -> int:
    if applied is not None:
        if applied != (migration.name, migration.checksum):
            raise OperatingError(
                f"migration {migration.version:04} was applied as {applied[0]} {applied[1][:12]} and the file is "
                f"{migration.name} {migration.checksum[:12]}: applied migrations never change; add a new one"
            )
        return 0
    with connection.transaction():
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
            [migration.version, migration.name, migration.checksum],
        )
    return 1
