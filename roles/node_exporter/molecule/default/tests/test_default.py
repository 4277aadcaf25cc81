from pathlib import Path

import pytest
import yaml

METRICS = yaml.safe_load((Path(__file__).resolve().parents[5] / "monitoring/exporters.yml").read_text())["node_exporter"]


@pytest.fixture(scope="module")
def told(host):
    return host.check_output(
        "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').read().decode())\""
    ).splitlines()


def test_it_runs_confined(host):
    assert host.service("prometheus-node-exporter").is_running
    assert host.service("prometheus-node-exporter").is_enabled
    done = host.run("systemd-analyze security --threshold=20 --no-pager prometheus-node-exporter.service")
    assert done.rc == 0, done.stdout


@pytest.mark.parametrize("metric", METRICS)
def test_it_tells_what_alerts_and_dashboards_need(host, told, metric):
    if metric.startswith("node_timex_") and host.run("systemd-detect-virt --container").rc == 0:
        # A container may not even ask for the kernel's clock; outside of one the unit may.
        assert host.check_output("systemctl show --property ProtectClock prometheus-node-exporter") == "ProtectClock=no"
        return
    assert [line for line in told if line.startswith((f"{metric} ", f"{metric}{{"))]


def test_file_systems_are_told_as_the_host_has_them(host, told):
    """Not as the unit sees them: to it all are read-only."""
    mounts = [line.split() for line in host.file("/proc/1/mounts").content_string.splitlines()]
    is_read_only = {mount[1]: "ro" in mount[3].split(",") for mount in mounts}
    found = {}
    for line in told:
        if line.startswith("node_filesystem_readonly{"):
            found[line.partition('mountpoint="')[2].partition('"')[0]] = line.endswith(" 1")
    assert found
    assert found == {mountpoint: is_read_only[mountpoint] for mountpoint in found}


def test_it_passes_on_what_others_tell(host, told):
    assert [line for line in told if line.startswith("node_textfile_scrape_error")] == ["node_textfile_scrape_error 0"]
    assert [line for line in told if line.startswith("node_scrape_collector_success") and 'systemd"' in line][0].endswith(" 1")
