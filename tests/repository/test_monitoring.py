"""Monitoring agrees with the product: each alert has a runbook and a test, each metric exists, each job a service."""

import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from holdfast.settings.schema import SERVICES, ServicesSettings
from repository.monitoring import (
    MONITORING,
    RULE_TESTS,
    RULES,
    alerts,
    known_metrics,
    means_one_service,
    metrics_of,
    read,
    rules,
)
from repository.tree import ROOT

PROMETHEUS = read(MONITORING / "prometheus/prometheus.yml")
INFRASTRUCTURE = {"prometheus": 9090, "alertmanager": 9093, "node": 9100, "postgres": 9187}
SEVERITIES = {"critical", "warning", "none"}


def jobs() -> dict[str, int]:
    found = {}
    for job in PROMETHEUS["scrape_configs"]:
        (config,) = job["static_configs"]
        (target,) = config["targets"]
        found[job["job_name"]] = int(target.rpartition(":")[2])
    return found


@cache
def expectations() -> dict[str, list[list[dict[str, Any]]]]:
    """Return by alert what each of its tests expects."""
    found = defaultdict(list)
    for file in RULE_TESTS:
        for case in read(file)["tests"]:
            for expected in case["alert_rule_test"]:
                found[expected["alertname"]].append(expected["exp_alerts"])
    return found


def test_every_service_is_scraped_on_the_port_of_its_settings() -> None:
    services = {service: ServicesSettings().of(service).metrics_port for service in SERVICES}
    found = jobs()
    assert found == services | INFRASTRUCTURE


def test_every_service_is_watched_for_being_down() -> None:
    rule = next(rule for rule in alerts() if rule["alert"] == "ServiceDown")
    watched = re.search(r'job=~"([^"]*)"', rule["expr"])
    assert watched is not None
    assert set(watched[1].split("|")) == set(jobs()) - set(INFRASTRUCTURE)


def test_every_group_is_named_like_its_file() -> None:
    assert [[group["name"] for group in read(file)["groups"]] for file in RULES] == [[file.stem] for file in RULES]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_alert_tells_an_operator_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"(?:[A-Z][a-z]+){1,4}", rule["alert"])
    assert "for" in rule
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"monitoring/runbooks/{rule['alert']}.md"
    runbook = (ROOT / rule["annotations"]["runbook"]).read_text()
    assert runbook.startswith(f"# {rule['alert']}\n")
    assert re.search(r"^1\. ", runbook, re.MULTILINE), "a runbook says what to do, step by step"


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_alert_is_shown_firing_and_not_firing(rule: dict[str, Any]) -> None:
    expected = expectations()[rule["alert"]]
    assert any(expected), "no test shows it firing"
    assert rule["alert"] == "Watchdog" or not all(expected), "no test shows it quiet"


def test_no_runbook_and_no_test_is_left_of_an_alert_that_went() -> None:
    names = {rule["alert"] for rule in alerts()}
    assert {path.stem for path in (MONITORING / "runbooks").iterdir()} == names
    assert set(expectations()) == names


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rule_uses_metrics_that_exist(rule: dict[str, Any]) -> None:
    used = set(metrics_of(rule["expr"]))
    assert used or rule["alert"] == "Watchdog"
    assert used - known_metrics() == set()


def test_rule_says_whose_metric_it_means() -> None:
    assert [rule["expr"] for rule in rules() if not means_one_service(rule["expr"])] == []


def test_metrics_are_found_in_an_expression() -> None:
    expression = 'sum by (le) (rate(a_bucket{x="b"}[5m] offset 1h)) / on () group_left () max(c) > 0.5e-6 unless d:e'
    assert list(metrics_of(expression)) == ["a_bucket", "c", "d:e"]


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_rules_behave_as_their_tests_say(file: Path) -> None:
    told = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_configuration_is_valid_to_prometheus() -> None:
    file = MONITORING / "prometheus/prometheus.yml"
    told = subprocess.run(["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(RULES)} rule files found" in told.stdout
