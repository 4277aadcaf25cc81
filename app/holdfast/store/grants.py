"""The grants of the database: read from the checked-in matrix, compared with the server, made equal."""

import importlib.resources
import tomllib
from collections.abc import Iterable
from typing import NamedTuple

import psycopg
from psycopg import sql

EVERY = "*"
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
GRANTABLE = " WITH GRANT OPTION"

_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') ORDER BY 1
"""
_SEQUENCES = """
SELECT sequences.relname, tables.relname FROM pg_class AS sequences
JOIN pg_depend ON objid = sequences.oid AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
JOIN pg_class AS tables ON tables.oid = refobjid
WHERE sequences.relkind = 'S' AND sequences.relnamespace = 'public'::regnamespace
"""
_ROLES = "SELECT rolname FROM pg_roles"
# What an owner may do with its own is no grant. Grants of single columns are never expected, so they are named too.
_GRANTED = """
WITH lists (kind, name, owner, list) AS (
    SELECT 'DATABASE', datname, datdba, coalesce(datacl, acldefault('d', datdba))
    FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT 'SCHEMA', nspname, nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
    WHERE nspname = 'public'
    UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname, relowner, relacl
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL
    SELECT 'COLUMN', relname || '.' || attname, relowner, attacl
    FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace AND attacl IS NOT NULL
)
SELECT kind, name, coalesce(rolname, 'public'), privilege_type || CASE WHEN is_grantable THEN %s ELSE '' END
FROM lists CROSS JOIN aclexplode(list) AS entry LEFT JOIN pg_roles ON pg_roles.oid = entry.grantee
WHERE entry.grantee <> owner
"""


class Grant(NamedTuple):
    """One privilege on one object."""

    kind: str
    name: str
    role: str
    privilege: str

    def __str__(self) -> str:
        return f"{self.privilege} ON {self.kind} {self.name} TO {self.role}"


class Differences(NamedTuple):
    """What the server has too little and too much."""

    missing: tuple[Grant, ...]
    excess: tuple[Grant, ...]


def matrix() -> dict[str, dict[str, list[str]]]:
    """Return the checked-in matrix: by role, the objects of each privilege."""
    return tomllib.loads(
        importlib.resources.files("holdfast.store").joinpath("grants.toml").read_text(encoding="utf-8")
    )


def differences(connection: psycopg.Connection) -> Differences:
    """Compare the grants of this database with the matrix; a role that the server does not have is left out."""
    expected, found = _expected(connection), _granted(connection)
    return Differences(tuple(sorted(expected - found)), tuple(sorted(found - expected)))


def make_equal(connection: psycopg.Connection) -> Differences:
    """Grant and revoke, in one transaction, until the server equals the matrix; returns what differed.

    Raises: psycopg.Error, of the role that does not own the tables for example; nothing is changed then.
    """
    with connection.transaction():
        found = differences(connection)
        for grant in found.excess:
            connection.execute(_statement("REVOKE", grant))
        # Taking a grant option takes the privilege with it.
        for grant in sorted(_expected(connection) - _granted(connection)):
            connection.execute(_statement("GRANT", grant))
    return found


def _statement(verb: str, grant: Grant) -> sql.Composed:
    target, _, column = grant.name.partition(".") if grant.kind == "COLUMN" else (grant.name, "", "")
    # The server's words and our own.
    privilege: sql.Composable = sql.SQL(grant.privilege.removesuffix(GRANTABLE))
    if column:
        privilege = sql.SQL("{} ({})").format(privilege, sql.Identifier(column))
    return sql.SQL("{verb} {privilege} ON {kind} {name} {preposition} {role}").format(
        verb=sql.SQL(verb),
        privilege=privilege,
        kind=sql.SQL("TABLE" if column else grant.kind),
        name=sql.Identifier(target),
        preposition=sql.SQL("TO" if verb == "GRANT" else "FROM"),
        role=sql.SQL("PUBLIC") if grant.role == "public" else sql.Identifier(grant.role),
    )


def _expected(connection: psycopg.Connection) -> set[Grant]:
    tables = [name for (name,) in connection.execute(_TABLES)]
    sequences = connection.execute(_SEQUENCES).fetchall()
    (database,) = connection.execute("SELECT current_database()").fetchone() or ("",)
    known = {name for (name,) in connection.execute(_ROLES)}
    wanted: set[Grant] = set()
    for role, rights in matrix().items():
        if role in known:
            wanted |= {Grant("DATABASE", database, role, privilege) for privilege in rights["database"]}
            wanted.add(Grant("SCHEMA", "public", role, "USAGE"))
            wanted |= set(_of_tables(role, rights, tables))
            wanted |= set(_of_sequences(role, rights, sequences))
    return wanted


def _of_tables(role: str, rights: dict[str, list[str]], tables: list[str]) -> Iterable[Grant]:
    for privilege in PRIVILEGES:
        names = rights.get(privilege, [])
        for table in tables if names == [EVERY] else names:
            if table in tables:
                yield Grant("TABLE", table, role, privilege)


def _of_sequences(role: str, rights: dict[str, list[str]], sequences: list[tuple[str, ...]]) -> Iterable[Grant]:
    for sequence, table in sequences:
        for privilege in rights.get("sequences", []):
            yield Grant("SEQUENCE", sequence, role, privilege)
        if table in rights.get("INSERT", []):
            yield Grant("SEQUENCE", sequence, role, "USAGE")


def _granted(connection: psycopg.Connection) -> set[Grant]:
    return {Grant(*row) for row in connection.execute(_GRANTED, [GRANTABLE])}
