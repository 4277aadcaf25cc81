"""Alertmanager's configuration: every alert reaches who must hear of it, and no secret stands in it."""

import re
import subprocess

import pytest

from repository.monitoring import MONITORING, alerts, read

CONFIGURATION = MONITORING / "alertmanager/alertmanager.yml"
RECEIVERS = {"critical": "on-call", "warning": "team", "none": "heartbeat"}


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)


def route(**labels: str) -> str:
    words = [f"{name}={value}" for name, value in labels.items()]
    told = amtool("config", "routes", "test", f"--config.file={CONFIGURATION}", *words)
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


def test_configuration_is_valid_to_alertmanager() -> None:
    told = amtool("check-config", str(CONFIGURATION))
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize(("severity", "receiver"), RECEIVERS.items())
def test_alert_goes_where_its_severity_says(severity: str, receiver: str) -> None:
    names = [rule["alert"] for rule in alerts() if rule["labels"]["severity"] == severity]
    assert names
    assert {route(alertname=name, severity=severity, job="recorder") for name in names[:3]} == {receiver}


def test_alert_that_nobody_routed_reaches_the_team() -> None:
    assert route(alertname="Unheard", severity="unheard") == "team"


def test_only_the_watchdog_is_no_page() -> None:
    assert [rule["alert"] for rule in alerts() if rule["labels"]["severity"] == "none"] == ["Watchdog"]


def test_on_call_is_reached_three_ways_and_at_once() -> None:
    configuration = read(CONFIGURATION)
    receivers = {receiver["name"]: set(receiver) - {"name"} for receiver in configuration["receivers"]}
    assert receivers["on-call"] == {"email_configs", "slack_configs", "webhook_configs"}
    waits = {child["receiver"]: child.get("group_wait") for child in configuration["route"]["routes"]}
    assert waits["on-call"] == waits["heartbeat"] == "0s"


def test_inhibitions_name_alerts_that_exist() -> None:
    names = {rule["alert"] for rule in alerts()}
    for rule in read(CONFIGURATION)["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            mentioned = re.search(r'alertname!?=~?"([^"]*)"', matcher)
            assert mentioned is not None
            assert set(mentioned[1].split("|")) <= names


def test_secrets_are_files_and_addresses_are_the_sites_own() -> None:
    text = CONFIGURATION.read_text()
    assert re.findall(r"^\s*\S*(?:password|token|secret|credentials|api_url): ", text, re.MULTILINE) == []
    addresses = re.findall(r"(?:https?://|@|smarthost: )([\w.-]+)", text)
    assert addresses
    assert {address.rpartition(".")[2] for address in addresses} == {"invalid"}
