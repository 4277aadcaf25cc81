"""holdfast trip, reset, status, health and token with every service down."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from holdfast import _native as native
from holdfast.cli import health, journal, reset, status, token, trip
from holdfast.cli._root import app
from holdfast.gateway.tokens import TokenFile
from holdfast.journals import open_latch
from trading_day import Day, make_settings

for command in (trip, reset, status, health, token, journal):
    command.register(app)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration directory whose state is this test's own."""
    settings = make_settings(tmp_path / "state")
    raw = settings.model_dump(mode="json", include={"symbols", "venue", "strategies"})
    (tmp_path / "system.json").write_text(json.dumps(raw | {"state_dir": str(tmp_path / "state")}))
    return tmp_path


def holdfast(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)], env={"SUDO_USER": "", "USER": "alice"})


def test_trip_and_reset_act_on_the_latch_alone(config: Path) -> None:
    latch = open_latch(make_settings(config / "state"))
    assert holdfast(config, "trip", "--reason", "fat finger").exit_code == 0
    assert (latch.is_set, latch.operator, latch.reason) == (True, "alice", "fat finger")
    assert holdfast(config, "reset", "--reason", "  ").exit_code != 0
    assert latch.is_set
    done = holdfast(config, "reset", "--reason", "checked", "--operator", "bob", "--json")
    assert json.loads(done.stdout)["is_set"] is False
    assert (latch.is_set, latch.operator) == (False, "bob")


def test_a_reset_of_a_clear_latch_is_a_new_generation(config: Path) -> None:
    latch = open_latch(make_settings(config / "state"))
    assert holdfast(config, "reset", "--reason", "breaker cooled down").exit_code == 0
    assert (latch.is_set, latch.generation) == (False, 2)


def test_an_own_halt_is_lifted_and_nobody_elses(config: Path) -> None:
    latch = open_latch(make_settings(config / "state"))
    lift = ["reset", "--own", "--operator", "deploy", "--reason", "release 2 is healthy"]
    assert holdfast(config, *lift).exit_code != 0
    holdfast(config, "trip", "--reason", "release 2", "--operator", "deploy")
    assert holdfast(config, "reset", "--own", "--reason", "now", "--operator", "bob").exit_code != 0
    assert latch.is_set
    assert holdfast(config, *lift).exit_code == 0
    assert not latch.is_set

    holdfast(config, "trip", "--reason", "release 3", "--operator", "deploy")
    holdfast(config, "trip", "--reason", "something smells", "--operator", "ann")
    refused = holdfast(config, *lift)
    assert "trip by ann: something smells" in str(refused.exception)
    assert latch.is_set


def test_an_own_halt_stays_when_a_breaker_tripped_meanwhile(config: Path) -> None:
    day = Day(make_settings(config / "state"))
    holdfast(config, "trip", "--reason", "release 2", "--operator", "deploy")
    tripped = native.BreakerTripped(rule=native.Reason.DAILY_LOSS)
    day.write("orders", tripped, ts_ns=open_latch(make_settings(config / "state")).ts_ns + 1)
    day.close()
    refused = holdfast(config, "reset", "--own", "--operator", "deploy", "--reason", "healthy")
    assert "breaker daily_loss" in str(refused.exception)
    assert open_latch(make_settings(config / "state")).is_set


def test_status_tells_positions_and_fails_while_nothing_runs(config: Path) -> None:
    day = Day(make_settings(config / "state"))
    day.order(native.Side.BUY, 100_000_000_000)
    day.quote(bid_e9=103_000_000_000, ask_e9=103_000_000_000)
    day.close()
    shown = holdfast(config, "status", "--json")
    body = json.loads(shown.stdout)
    assert shown.exit_code == 1
    assert body["positions"][0]["unrealized_pnl"] == "30"
    assert body["pnl"]["total"] == "29.99"
    assert "AAPL" in holdfast(config, "status").stdout


def test_health_names_what_is_down(config: Path) -> None:
    shown = holdfast(config, "health", "--json")
    assert shown.exit_code == 1
    checks = {check["name"]: check for check in json.loads(shown.stdout)["checks"]}
    assert checks["risk-manager"]["is_healthy"] is False
    assert checks["kill latch"]["is_healthy"] is True


def test_a_token_is_shown_once_and_kept_hashed(config: Path) -> None:
    assert holdfast(config, "token", "create", "alice").exit_code == 2
    assert holdfast(config, "token", "create", "alice", "--reason", " ").exit_code != 0
    made = holdfast(config, "token", "create", "alice", "--role", "operator", "--reason", "on call")
    secret = made.stdout.strip()
    file = config / "state" / "keys" / "tokens.json"
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    found = TokenFile(file).find(secret)
    assert found is not None
    assert (found.name, found.role) == ("alice", "operator")
    assert holdfast(config, "token", "create", "alice", "--reason", "again").exit_code != 0
    assert secret not in holdfast(config, "token", "list").stdout
    assert holdfast(config, "token", "revoke", "alice").exit_code == 2
    assert holdfast(config, "token", "revoke", "alice", "--reason", "left").exit_code == 0
    assert TokenFile(file).find(secret) is None


def test_what_operators_do_is_in_the_audit_trail(config: Path) -> None:
    holdfast(config, "trip", "--reason", "fat finger")
    holdfast(config, "reset", "--reason", "checked", "--operator", "bob")
    holdfast(config, "token", "create", "carol", "--reason", "new on call")
    holdfast(config, "token", "revoke", "carol", "--reason", "left")
    trail = config / "state" / "audit" / "trail.jsonl"
    rows = [json.loads(line) for line in trail.read_text().splitlines()]
    assert [(row["action"], row["operator"], row["reason"], row["subject"]) for row in rows] == [
        ("trip", "alice", "fat finger", ""),
        ("reset", "bob", "checked", ""),
        ("token_create", "alice", "new on call", "carol"),
        ("token_revoke", "alice", "left", "carol"),
    ]
    found = holdfast(config, "journal", "verify", "--audit", "--json")
    assert (found.exit_code, json.loads(found.stdout)["records"]) == (0, 4)
    trail.write_text(trail.read_text().replace("bob", "rob"))
    found = holdfast(config, "journal", "verify", "--audit", "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["damage"]["line"] == 2


def test_nothing_is_loosened_without_its_record_and_nothing_is_stopped_from_tripping(config: Path) -> None:
    (config / "state").mkdir()
    (config / "state" / "audit").write_text("no directory")
    latch = open_latch(make_settings(config / "state"))
    assert holdfast(config, "trip", "--reason", "fat finger").exit_code == 0
    assert latch.is_set
    assert holdfast(config, "reset", "--reason", "checked").exit_code != 0
    assert latch.is_set
