import json
import time
from pathlib import Path

RULES = Path(__file__).resolve().parents[5] / "monitoring/prometheus/rules"
# It asks each once a quarter of a minute, and was started a moment ago.
ASKED_WITHIN_S = 60


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
    deadline_s = time.monotonic() + ASKED_WITHIN_S
    while True:
        targets = {target["labels"]["job"]: target for target in ask(host, "targets")["activeTargets"]}
        if all(target["health"] != "unknown" for target in targets.values()) or time.monotonic() > deadline_s:
            break
        time.sleep(1)
    assert {"market-data", "execution-engine", "node", "postgres", "alertmanager"} <= set(targets)
    assert targets["prometheus"]["health"] == "up"
    assert targets["market-data"]["health"] == "down"
    assert targets["market-data"]["scrapeUrl"] == "http://127.0.0.1:9101/metrics"


def test_it_keeps_what_it_was_told_and_listens_on_the_host_only(host):
    flags = ask(host, "status/flags")
    assert flags["storage.tsdb.retention.time"] == "30d"
    assert host.socket("tcp://127.0.0.1:9090").is_listening
    assert not host.socket("tcp://0.0.0.0:9090").is_listening
