import json
from pathlib import Path

RULES = Path(__file__).resolve().parents[5] / "monitoring/prometheus/rules"


def ask(host, path):
    return json.loads(host.check_output(f"python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:9090/api/v1/{path}').read().decode())\""))["data"]


def test_it_runs_confined(host):
    assert host.service("prometheus").is_running
    assert host.service("prometheus").is_enabled
    done = host.run("systemd-analyze security --threshold=20 --no-pager prometheus.service")
    assert done.rc == 0, done.stdout


def test_every_rule_of_the_release_is_loaded(host):
    groups = {Path(group["file"]).name for group in ask(host, "rules")["groups"]}
    assert groups == {file.name for file in RULES.glob("*.yml")}


def test_every_service_is_asked_and_what_does_not_run_is_seen_as_down(host):
    targets = {target["labels"]["job"]: target for target in ask(host, "targets")["activeTargets"]}
    assert {"market-data", "execution-engine", "node", "postgres", "alertmanager"} <= set(targets)
    assert targets["prometheus"]["health"] == "up"
    assert targets["market-data"]["scrapeUrl"] == "http://127.0.0.1:9101/metrics"


def test_it_keeps_what_it_was_told_and_listens_on_the_host_only(host):
    flags = ask(host, "status/flags")
    assert flags["storage.tsdb.retention.time"] == "30d"
    assert host.socket("tcp://127.0.0.1:9090").is_listening
    assert not host.socket("tcp://0.0.0.0:9090").is_listening
