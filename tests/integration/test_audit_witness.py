"""The audit trail and its witness in PostgreSQL: what is forged or cut together with its head is found, and where."""

import json
import shutil
from pathlib import Path

import psycopg
import pytest
import typer
from prometheus_client import REGISTRY
from pydantic import SecretStr
from typer.testing import CliRunner

from holdfast import audit
from holdfast.cli import journal
from holdfast.services.recorder import Recorder
from holdfast.settings import Settings
from holdfast.store import witness
from holdfast.store.connection import StoreConnection

LINES = 5


def write(state_dir: Path, *reasons: str) -> None:
    for number, reason in enumerate(reasons):
        audit.append(state_dir, action="trip", operator="alice", reason=reason, ts_ns=10**18 + number)


def record_all(settings: Settings, database: str) -> None:
    recorder = Recorder(settings.model_copy(update={"database_url": SecretStr(database)}))
    recorder.run(recorder.stop)


def differs() -> float:
    return REGISTRY.get_sample_value("holdfast_recorder_audit_trail_differs") or 0.0


def remembered(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM audit_lines").fetchone()
    assert row is not None
    return int(row[0])


def verify(settings: Settings, database: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, dict[str, object]]:
    app = typer.Typer()
    journal.register(app)
    monkeypatch.setenv("DATABASE_URL", database)
    done = CliRunner().invoke(app, ["journal", "verify", "--audit", "--json", "--state", str(settings.state_dir)])
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture
def witnessed(settings: Settings, database: str) -> Settings:
    """A trail that PostgreSQL has seen."""
    write(settings.state_dir, *(f"drill {number}" for number in range(LINES)))
    record_all(settings, database)
    assert remembered(database) == LINES
    return settings


def test_a_whole_trail_agrees_and_what_is_new_is_no_damage(
    witnessed: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(witnessed.state_dir, "one more")
    code, answer = verify(witnessed, database, monkeypatch)
    assert (code, answer["ok"], answer["records"], answer["remembered"]) == (0, True, LINES + 1, LINES)
    record_all(witnessed, database)
    assert remembered(database) == LINES + 1


@pytest.mark.parametrize("line", range(1, LINES + 1))
def test_a_trail_forged_with_its_head_is_found_at_the_first_forged_line(
    witnessed: Settings, database: str, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    shutil.rmtree(witnessed.state_dir / "audit")
    write(witnessed.state_dir, *("forged" if number + 1 == line else f"drill {number}" for number in range(LINES)))
    assert audit.verify(witnessed.state_dir).damage is None
    code, answer = verify(witnessed, database, monkeypatch)
    offset = sum(
        map(len, (witnessed.state_dir / "audit/trail.jsonl").read_bytes().splitlines(keepends=True)[: line - 1])
    )
    assert code == 1
    assert answer["damage"] == {"line": line, "offset": offset, "what": "not the line that the witness remembers"}
    write(witnessed.state_dir, "on top of the forged")
    record_all(witnessed, database)
    assert remembered(database) == LINES


@pytest.mark.parametrize("kept", range(LINES))
def test_a_trail_cut_with_its_head_is_found_where_it_ends(
    witnessed: Settings, database: str, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    shutil.rmtree(witnessed.state_dir / "audit")
    write(witnessed.state_dir, *(f"drill {number}" for number in range(kept)))
    assert audit.verify(witnessed.state_dir) == audit.Verification(records=kept)
    code, answer = verify(witnessed, database, monkeypatch)
    size = (witnessed.state_dir / "audit/trail.jsonl").stat().st_size if kept else 0
    what = f"number {kept + 1} is missing, the witness remembers {LINES}"
    assert (code, answer["damage"]) == (1, {"line": kept + 1, "offset": size, "what": what})


def test_a_witness_that_cannot_be_asked_is_said(witnessed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    code, answer = verify(witnessed, "postgresql://127.0.0.1:1/none", monkeypatch)
    assert (code, answer["ok"], answer["damage"], answer["records"]) == (1, False, None, LINES)
    assert "127.0.0.1" in str(answer["not_compared"])


def test_at_a_new_line_only_what_is_new_is_read_and_now_and_then_everything(
    witnessed: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = StoreConnection(database)
    connection.open()
    looker = witness.AuditWitness(witnessed.state_dir, connection)
    looker.look()
    trail = witnessed.state_dir / "audit/trail.jsonl"
    whole = trail.read_bytes()
    blotted = whole.replace(audit.lines(witnessed.state_dir)[1].hash.encode(), b"0" * 64)
    trail.write_bytes(blotted)
    write(witnessed.state_dir, "one more")
    looker.look()
    assert (remembered(database), differs()) == (LINES + 1, 0)
    monkeypatch.setattr(witness, "WHOLE_INTERVAL_S", 0.0)
    again = witness.AuditWitness(witnessed.state_dir, connection)
    again.look()
    assert differs() == 1
    trail.write_bytes(whole + trail.read_bytes()[len(whole) :])
    again.look()
    assert (remembered(database), differs()) == (LINES + 1, 0)
    connection.close()


@pytest.mark.parametrize("kept", [LINES - 1, LINES])
def test_a_line_that_does_not_follow_what_was_seen_makes_the_witness_look_at_everything(
    witnessed: Settings, database: str, kept: int
) -> None:
    connection = StoreConnection(database)
    connection.open()
    looker = witness.AuditWitness(witnessed.state_dir, connection)
    looker.look()
    shutil.rmtree(witnessed.state_dir / "audit")
    write(witnessed.state_dir, *("another" for _ in range(kept)), "one more", "and one more")
    looker.look()
    assert (remembered(database), differs()) == (LINES, 1)
    connection.close()
