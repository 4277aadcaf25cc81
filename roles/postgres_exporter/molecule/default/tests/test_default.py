from pathlib import Path

import pytest
import yaml

METRICS = yaml.safe_load((Path(__file__).resolve().parents[5] / "monitoring/exporters.yml").read_text())["postgres_exporter"]
UNIT = "prometheus-postgres-exporter"


@pytest.fixture(scope="module")
def told(host):
    return host.check_output(
        "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:9187/metrics').read().decode())\""
    ).splitlines()


def test_it_runs_confined(host):
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled
    done = host.run(f"systemd-analyze security --threshold=20 --no-pager {UNIT}.service")
    assert done.rc == 0, done.stdout


@pytest.mark.parametrize("metric", METRICS)
def test_it_tells_what_alerts_and_dashboards_need(told, metric):
    assert [line for line in told if line.startswith((f"{metric} ", f"{metric}{{"))]


def test_it_sees_the_database(told):
    assert "pg_up 1" in told
