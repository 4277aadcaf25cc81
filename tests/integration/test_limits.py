"""Changes of limits over the real API and by the command: one person tightens, two loosen, and it ends by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from holdfast import _native as native
from holdfast import audit, clock
from holdfast.cli import limits
from holdfast.cli._root import app
from holdfast.gateway.limit_view import LimitView
from holdfast.journals import open_reader
from running_gateway import LIMITS, Gateway

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

limits.register(app)
E9 = 10**9
KEY = "order.notional_max_usd"
NAME = "order_notional_max_e9"
LOOSER = {"key": KEY, "value": "12000.5", "duration_s": 3600, "reason": "month end"}
TIGHTER = {"key": KEY, "value": "8000", "reason": "thin market"}


def proposed(gateway: Gateway, body: Mapping[str, object], role: str = "operator") -> Any:  # noqa: ANN401 - JSON
    return gateway.ask("POST", "/api/v1/limits/proposals", role, body)


def on(gateway: Gateway, seq: object, action: str, role: str = "admin") -> Any:  # noqa: ANN401 - JSON
    return gateway.ask("POST", f"/api/v1/limits/proposals/{seq}/{action}", role, {"reason": "agreed"})


def row(gateway: Gateway, key: str = KEY) -> dict[str, Any]:
    found = gateway.ask("GET", "/api/v1/limits", "viewer").body["limits"]
    return next(limit for limit in found if limit["key"] == key)


def written(gateway: Gateway, kind: type) -> list[Any]:
    with open_reader(gateway.settings, "control") as reader:
        return [record for record in reader.read(1000) if isinstance(record, kind)]


def trail(gateway: Gateway) -> list[dict[str, Any]]:
    lines = (gateway.settings.state_dir / "audit" / "trail.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_loosening_waits_for_an_admin_and_then_is_in_force_until_its_end(gateway: Gateway) -> None:
    before = gateway.ask("GET", "/api/v1/limits", "viewer").body["limits_hash"]
    seq = proposed(gateway, LOOSER).body["proposal"]
    assert row(gateway)["value"] == "10000"
    (waiting,) = gateway.ask("GET", "/api/v1/limits", "viewer").body["proposals"]
    assert (waiting["seq"], waiting["value"], waiting["operator"]) == (seq, "12000.5", "operator")
    assert on(gateway, seq, "approve", "operator").status == 403
    assert on(gateway, seq, "approve").body["is_in_force"]
    now = gateway.ask("GET", "/api/v1/limits", "viewer").body
    assert (row(gateway)["value"], row(gateway)["expires_at"]) == ("12000.5", waiting["expires_at"])
    assert now["limits_hash"] != before
    assert now["proposals"] == []
    (change,) = written(gateway, native.LimitChange)
    assert (change.operator, change.approver, change.key) == ("operator", "admin", NAME)
    assert (change.old_e9, change.new_e9, change.cause_seq) == (10_000 * E9, 12_000_500_000_000, seq)
    assert [(line["action"], line["operator"], line["approver"]) for line in trail(gateway)] == [
        ("limit_propose", "operator", ""),
        ("limit_approve", "operator", "admin"),
    ]
    assert audit.verify(gateway.settings.state_dir).damage is None
    assert on(gateway, seq, "approve").status == 404


def test_who_proposed_does_not_approve_and_a_withdrawn_proposal_is_gone(gateway: Gateway) -> None:
    seq = proposed(gateway, LOOSER, "admin").body["proposal"]
    refused = on(gateway, seq, "approve")
    assert (refused.status, refused.body["code"]) == (403, "same_person")
    assert on(gateway, seq, "withdraw", "operator").status == 200
    assert on(gateway, seq, "approve").status == 404
    assert row(gateway)["value"] == "10000"
    assert written(gateway, native.LimitChange) == []


def test_one_person_tightens_at_once_and_for_good(gateway: Gateway) -> None:
    assert proposed(gateway, TIGHTER).body["is_in_force"]
    assert (row(gateway)["value"], row(gateway)["expires_at"]) == ("8000", None)
    seq = proposed(gateway, TIGHTER | {"value": "10000"}).body["proposal"]
    assert seq is not None
    assert on(gateway, seq, "approve").status == 200
    assert row(gateway)["value"] == "10000"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"value": "0"}, 422),
        ({"value": "-1"}, 422),
        ({"value": "nan"}, 422),
        ({"value": "1e308"}, 422),
        ({"value": 12_000}, 422),
        ({"value": None}, 422),
        ({"value": "10000001"}, 422),
        ({"value": "10000"}, 422),
        ({"duration_s": 0}, 422),
        ({"duration_s": 86_401}, 422),
        ({"duration_s": 1.5}, 422),
        ({"key": "order.typo"}, 404),
        ({"key": "position.open_max", "value": "5.5"}, 422),
        ({"key": "loss.daily_max_usd", "value": "60000000"}, 422),
        ({"reason": " "}, 422),
    ],
    ids=str,
)
def test_what_no_limit_can_be_is_refused(gateway: Gateway, change: dict[str, object], status: int) -> None:
    answer = proposed(gateway, LOOSER | change)
    assert (answer.status, written(gateway, native.LimitProposal)) == (status, []), answer.body


def test_the_ceiling_can_be_proposed_and_one_unit_more_cannot(gateway: Gateway) -> None:
    assert proposed(gateway, LOOSER | {"value": "10000000"}).status == 200
    assert proposed(gateway, LOOSER | {"value": "10000000.000000001"}).status == 422


def test_a_restarted_gateway_knows_what_is_in_force_and_what_waits(gateway: Gateway) -> None:
    seq = proposed(gateway, LOOSER).body["proposal"]
    on(gateway, seq, "approve")
    waiting = proposed(gateway, LOOSER | {"key": "position.open_max", "value": "6"}).body["proposal"]
    view = LimitView(LIMITS)
    view.read(gateway.settings)
    assert view.body().model_dump() == gateway.ask("GET", "/api/v1/limits", "viewer").body
    assert list(view.proposals()) == [waiting]


def test_what_expired_while_nothing_ran_is_as_configured(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    seq = proposed(gateway, LOOSER).body["proposal"]
    on(gateway, seq, "approve")
    view = LimitView(LIMITS)
    view.read(gateway.settings)
    end_ns = clock.now_ns() + 3600 * E9
    monkeypatch.setattr(clock, "now_ns", lambda: end_ns)
    assert view.in_force().hash == LIMITS.hash


def test_the_command_shows_proposes_approves_and_withdraws(gateway: Gateway, tmp_path: Path) -> None:
    raw = gateway.settings.model_dump(mode="json", include={"symbols", "venue", "strategies"})
    raw |= {"state_dir": str(gateway.settings.state_dir), "services": {"api_gateway": {"port": gateway.port}}}
    (tmp_path / "system.json").write_text(json.dumps(raw))
    shipped = __file__.rsplit("/tests/", 1)[0] + "/config/risk_limits.toml"
    (tmp_path / "risk_limits.toml").symlink_to(shipped)

    def holdfast(*words: str, role: str = "operator") -> Result:
        (tmp_path / "token").write_text(gateway.tokens[role])
        files = ["--token-file", str(tmp_path / "token")] if words[0] != "show" else []
        return CliRunner().invoke(app, ["limits", *words, *files, "--config", str(tmp_path)])

    asked = holdfast("propose", KEY, "12000", "--for", "1h", "--reason", "month end", "--json")
    seq = str(json.loads(asked.stdout)["proposal"])
    assert f"proposal {seq} by operator: {KEY}" in holdfast("show").stdout
    assert holdfast("approve", seq, "--reason", "agreed").exit_code != 0
    assert "is in force" in holdfast("approve", seq, "--reason", "agreed", role="admin").stdout
    assert "until" in next(line for line in holdfast("show").stdout.splitlines() if line.startswith(KEY))
    assert "from now on" in holdfast("propose", KEY, "9000", "--reason", "calm").stdout
    again = holdfast("propose", KEY, "9500", "--reason", "month end", "--json")
    seq = str(json.loads(again.stdout)["proposal"])
    assert "is withdrawn" in holdfast("withdraw", seq, "--reason", "no need").stdout
    body = json.loads(holdfast("show", "--json").stdout)
    assert (row(gateway)["value"], body["proposals"]) == ("9000", [])
    assert holdfast("propose", KEY, "1", "--for", "1d", "--reason", "x").exit_code != 0
