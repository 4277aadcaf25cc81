"""What a release says of itself is what the source has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = sorted((ROOT / "app/holdfast/store/migrations").glob("[0-9]*.sql"))
# What an older release may still use: a name that went, a type that changed, a value that it does not give.
TAKES_AWAY = re.compile(
    r"\bdrop\s+(table|column|view|function|type|schema)\b|\brename\b|\balter\s+column\b"
    r"|\badd\s+column\b(?=[^;,]*\bnot\s+null\b)(?![^;,]*\bdefault\b)",
    re.IGNORECASE,
)


def works_since() -> int:
    match = re.search(r"works_since = (\d+);", (ROOT / "app/nix/release/default.nix").read_text())
    assert match is not None
    return int(match[1])


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda path: path.stem)
def test_migrations_since_the_oldest_release_that_works_only_add(migration: Path) -> None:
    if int(migration.name[:4]) <= works_since():
        return
    taken = TAKES_AWAY.search(migration.read_text())
    assert taken is None, f"{taken}: raise works_since in app/nix/release/default.nix to {int(migration.name[:4])}"


@pytest.mark.parametrize(
    ("statement", "is_taking_away"),
    [
        ("ALTER TABLE fills DROP COLUMN price_e9;", True),
        ("ALTER TABLE fills RENAME TO executions;", True),
        ("ALTER TABLE fills ADD COLUMN venue TEXT NOT NULL;", True),
        ("ALTER TABLE fills ADD COLUMN venue TEXT NOT NULL DEFAULT '';", False),
        ("CREATE TABLE limits (key TEXT NOT NULL);", False),
    ],
)
def test_rule_of_migrations_tells_what_takes_away(statement: str, *, is_taking_away: bool) -> None:
    assert (TAKES_AWAY.search(statement) is not None) == is_taking_away


def test_migrations_are_numbered_without_holes() -> None:
    assert [int(path.name[:4]) for path in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
