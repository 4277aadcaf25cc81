"""A real PostgreSQL for the tests: one server a session, one database a test."""

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from holdfast.store.embedded import EmbeddedPostgres
from holdfast.store.migrate import migrate

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server shared by the session."""
    with EmbeddedPostgres(is_durable=False) as server:
        yield server


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> str:
    """The connection string of an empty database of this test's own."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.dsn(name)


@pytest.fixture(scope="session")
def migrated_database(postgres: EmbeddedPostgres) -> str:
    """The connection string of a database with the schema and no rows: to be looked at only."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        migrate(connection)
    return postgres.dsn()


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A running server of this test's own, to be killed: what it wrote survives in the page cache, fsync or not."""
    with EmbeddedPostgres(is_durable=False) as server:
        yield server
