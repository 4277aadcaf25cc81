"""The grants of a real server equal the checked-in matrix, and are enough for those who have them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from holdfast import _native as native
from holdfast.errors import RetryLater
from holdfast.services.recorder import Recorder
from holdfast.settings import Settings
from holdfast.store import grants
from holdfast.store.embedded import EmbeddedPostgres
from holdfast.store.lease import LeaseTable
from holdfast.store.migrate import migrate
from trading_day import Day

CONFIG = Path(__file__).resolve().parents[2] / "config"
ROLES = sorted(grants.matrix())
OWNER = "holdfast_owner"
STRANGER = "stranger"


def as_role(server: EmbeddedPostgres, role: str, database: str = OWNER) -> str:
    return f"postgresql://{role}@/{database}?host={server.directory}"


def make_database(server: EmbeddedPostgres, name: str) -> None:
    """Make an empty database that the owner may fill."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER}".encode())
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(f"ALTER SCHEMA public OWNER TO {OWNER}".encode())


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server of this file's own, since roles belong to a whole server."""
    with EmbeddedPostgres(is_durable=False) as found:
        with psycopg.connect(found.dsn("postgres"), autocommit=True) as connection:
            for role in (OWNER, STRANGER, *ROLES):
                connection.execute(f"CREATE ROLE {role} LOGIN".encode())
            connection.execute("ALTER ROLE holdfast_backup BYPASSRLS")
        make_database(found, OWNER)
        yield found


@pytest.fixture(scope="module")
def owned(server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(as_role(server, OWNER), autocommit=True) as connection:
        migrate(connection)
        grants.make_equal(connection)
        yield connection


def privileges(connection: psycopg.Connection, role: str) -> set[tuple[str, str]]:
    """Return what the server lets a role do with the tables, by whatever way it came to it."""
    return set(
        connection.execute(
            """SELECT relname, privilege FROM pg_class
               CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
                   AS privilege
               WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                   AND has_table_privilege(%s, pg_class.oid, privilege)""",
            [role],
        ).fetchall()
    )


@pytest.mark.usefixtures("owned")
def test_each_role_may_do_what_the_matrix_says_and_nothing_else(server: EmbeddedPostgres) -> None:
    with psycopg.connect(as_role(server, OWNER)) as connection:
        tables = [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for role, rights in grants.matrix().items():
            expected = {
                (table, privilege)
                for privilege in grants.PRIVILEGES
                for table in (tables if rights.get(privilege) == ["*"] else rights.get(privilege, []))
            }
            assert privileges(connection, role) == expected, role
            for right in ("CREATE", "TEMPORARY"):
                may = connection.execute("SELECT has_database_privilege(%s, %s, %s)", [role, OWNER, right]).fetchone()
                assert may == (right in rights["database"],), (role, right)
        assert privileges(connection, STRANGER) == set()
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(as_role(server, STRANGER))


def test_every_table_of_the_matrix_exists(owned: psycopg.Connection) -> None:
    tables = {name for (name,) in owned.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    for role, rights in grants.matrix().items():
        named = {table for privilege in grants.PRIVILEGES for table in rights.get(privilege, [])} - {"*"}
        assert named <= tables, role


def test_every_table_has_a_writer(owned: psycopg.Connection) -> None:
    tables = {name for (name,) in owned.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    written = {table for rights in grants.matrix().values() for table in rights.get("INSERT", [])}
    missing = tables - written - {"schema_migrations"}
    assert not missing, "name them in app/holdfast/store/grants.toml, at INSERT of who writes them"


@pytest.mark.parametrize(
    "drift",
    [
        "GRANT DELETE ON fills TO holdfast_recorder",
        "GRANT SELECT ON decisions TO stranger",
        "GRANT SELECT ON decisions TO PUBLIC",
        "GRANT UPDATE (reason) ON operator_actions TO holdfast_recorder",
        "GRANT SELECT ON decisions TO holdfast_reader WITH GRANT OPTION",
        "GRANT CREATE ON SCHEMA public TO stranger",
        "GRANT CONNECT ON DATABASE holdfast_owner TO PUBLIC",
        "GRANT USAGE ON SEQUENCE orders_id_seq TO stranger",
        "REVOKE INSERT ON fills FROM holdfast_recorder",
        "REVOKE CONNECT ON DATABASE holdfast_owner FROM holdfast_recorder",
    ],
)
def test_drift_is_seen_and_undone(owned: psycopg.Connection, drift: str) -> None:
    assert grants.differences(owned) == ((), ())
    owned.execute(drift.encode())
    found = grants.make_equal(owned)
    assert len(found.missing) + len(found.excess) in (1, 2)
    assert grants.differences(owned) == ((), ())


def test_recorder_and_lease_work_with_their_own_roles(
    settings: Settings, day: Day, owned: psycopg.Connection, server: EmbeddedPostgres
) -> None:
    for side in (native.Side.BUY, native.Side.SELL, native.Side.SELL):
        day.order(side, 100_000_000_000)
    day.deny()
    day.write("control", native.Trip(operator="alice", reason="drill", ts_event_ns=day.ts_ns))
    url = SecretStr(as_role(server, "holdfast_recorder"))
    recorder = Recorder(settings.model_copy(update={"database_url": url}))
    recorder.run(recorder.stop)
    counted = owned.execute(
        """SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM trades), (SELECT count(*) FROM positions),
                  (SELECT count(*) FROM operator_actions), (SELECT count(*) FROM refused_rows)"""
    ).fetchone()
    assert counted == (3, 3, 1, 1, 0)
    table = LeaseTable(as_role(server, "holdfast_execution_engine"), account="account", holder="one")
    token = table.take(None, token_min=1, lease_ns=1, margin_ns=1)
    assert token == 1
    assert table.renew(token)
    table.close()


@pytest.mark.usefixtures("owned")
def test_backup_reads_all(server: EmbeddedPostgres, tmp_path: Path) -> None:
    dump = ["pg_dump", f"--dbname={as_role(server, 'holdfast_backup')}", f"--file={tmp_path / 'dump'}"]
    made = subprocess.run(dump, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def test_who_does_not_own_the_tables_is_told_who_migrates(server: EmbeddedPostgres) -> None:
    make_database(server, "empty")
    with (
        psycopg.connect(as_role(server, STRANGER, "empty"), autocommit=True) as connection,
        pytest.raises(RetryLater, match="run holdfast migrate as the owner"),
    ):
        migrate(connection)


def test_command_migrates_once_and_its_check_sees_drift(server: EmbeddedPostgres) -> None:
    def run(*options: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "holdfast", "migrate", "--json", "--config", str(CONFIG), *options]
        environment = {"DATABASE_URL": as_role(server, OWNER, "fresh"), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    make_database(server, "fresh")
    code, before = run("--check")
    assert code == 1
    assert len(before["migrations"]) > 0  # type: ignore[arg-type]
    assert run()[0] == 0
    assert run() == (0, {"is_check": False, "changes": 0, "migrations": [], "granted": [], "revoked": []})
    assert run("--check")[0] == 0
    with psycopg.connect(as_role(server, OWNER, "fresh"), autocommit=True) as connection:
        connection.execute("GRANT DELETE ON fills TO holdfast_recorder")
    code, drifted = run("--check")
    assert code == 1
    assert drifted["revoked"] == ["DELETE ON TABLE fills TO holdfast_recorder"]
