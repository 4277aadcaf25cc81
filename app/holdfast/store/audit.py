"""The audit trail of operators: each row's hash covers its content and the hash before it."""

import hashlib
import json

import psycopg

FIRST_HASH = "0" * 64


def chain(previous_hash: str, content: str) -> str:
    """Return the hash of a row of the trail."""
    return hashlib.sha256(f"{previous_hash}\n{content}".encode()).hexdigest()


def canonical(fields: dict[str, int | str]) -> str:
    """Return the one text that stands for these fields."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def first_broken_link(connection: psycopg.Connection) -> int | None:
    """Return the seq of the first row that was changed, removed or put in; None when the trail is whole."""
    previous = FIRST_HASH
    rows = connection.execute("SELECT seq, content, previous_hash, hash FROM operator_actions ORDER BY seq")
    for seq, content, previous_hash, found in rows:
        if previous_hash != previous or found != chain(previous, content):
            return int(seq)
        previous = found
    return None
