import base64
import json
from pathlib import Path

import pytest

SERVICES = ("relay", "api-gateway")
UNITS = ("market-data", "signal-bridge", "risk-manager", "execution-engine", "recorder", "relay", "api-gateway", "watchdog")
SHIPPED = "/opt/holdfast/current/share/holdfast/systemd"
PROBE = base64.b64encode(Path(__file__).with_name("probe.py").read_bytes()).decode()
OWN_CREDENTIALS = {
    "market-data": ["alpaca_api_key", "alpaca_api_secret"],
    "execution-engine": ["alpaca_api_key", "alpaca_api_secret", "database_url"],
    "recorder": ["database_url"],
    "watchdog": ["watchdog_api_key", "watchdog_api_secret"],
    "api-gateway": ["gateway_tls_cert", "gateway_tls_key"],
}
# Runs the probe in the place of a service: the unit with all of its drop-ins, but for what it starts.
IN_UNIT = """
set -eu
unit=trading-{name}.service folder=/run/systemd/system
[ -e /etc/systemd/system/$unit ] || ln -sfn {shipped}/$unit $folder/$unit
if [ -d {shipped}/$unit.d ] && [ ! -e /etc/systemd/system/$unit.d ]; then ln -sfn {shipped}/$unit.d $folder/$unit.d; fi
was=$(systemctl is-active $unit || true)
echo {probe} | base64 -d >/usr/local/lib/holdfast-probe.py
mkdir -p /run/systemd/system.control/$unit.d
cat >/run/systemd/system.control/$unit.d/99-probe.conf <<END
[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/bin/python3 /usr/local/lib/holdfast-probe.py {others}
Restart=no
WatchdogSec=0
StandardOutput=truncate:/run/holdfast-probe.json
END
systemctl daemon-reload
systemctl stop $unit
systemctl start $unit || systemctl status --no-pager $unit >&2
rm -r /run/systemd/system.control/$unit.d
systemctl daemon-reload
if [ "$was" = active ]; then systemctl start $unit; fi
cat /run/holdfast-probe.json
"""


def test_services_run_after_a_reboot(host):
    for name in SERVICES:
        assert host.service(f"trading-{name}").is_running


def test_units_are_those_of_the_release(host):
    for name in SERVICES:
        unit = host.file(f"/etc/systemd/system/trading-{name}.service")
        assert unit.linked_to.startswith("/nix/store/")


def test_secrets_are_readable_by_root_only(host):
    for path in ("/etc/holdfast/credentials", "/etc/holdfast/certificates", "/etc/holdfast/issued"):
        assert host.file(path).user == "root"
        assert host.file(path).mode == 0o700


def test_the_api_knows_the_token_that_was_issued_and_no_other(host):
    host.check_output("install -m 600 /dev/null /tmp/header")
    host.check_output("printf 'Authorization: Bearer %s' \"$(cat /etc/holdfast/issued/someone)\" >/tmp/header")
    script = "; ".join([
        "import ssl, sys, urllib.request",
        "trust = ssl.create_default_context(cafile='/etc/holdfast/certificates/ca.pem')",
        "name, value = open('/tmp/header').read().split(': ', 1)",
        "request = urllib.request.Request('https://localhost:8080/api/v1/status', headers={name: value + sys.argv[1]})",
        "print(urllib.request.urlopen(request, context=trust).status)",
    ])
    assert host.check_output(f'python3 -c "{script}" ""') == "200"
    assert host.run(f'python3 -c "{script}" x').rc != 0


def test_the_relay_has_keys_of_its_own(host):
    secret = host.file("/var/lib/holdfast-relay/keys/relay.secret")
    assert (secret.user, secret.mode) == ("holdfast-relay", 0o600)


@pytest.mark.parametrize("name", UNITS)
def test_every_unit_is_confined(host, name):
    host.check_output(f"[ -e /etc/systemd/system/trading-{name}.service ] || systemctl link --runtime {SHIPPED}/trading-{name}.service")
    assert host.run(f"systemd-analyze security --no-pager --threshold=15 trading-{name}.service").rc == 0


@pytest.mark.parametrize("name", UNITS)
def test_a_broken_in_service_gets_nowhere(host, name):
    others = " ".join(f"/run/credentials/trading-{one}.service" for one in SERVICES if one != name)
    script = IN_UNIT.format(name=name, shipped=SHIPPED, probe=PROBE, others=others)
    done = host.run("bash -c %s", script)
    assert done.rc == 0, done.stderr
    told = json.loads(done.stdout)
    assert {action: result for action, result in told["refused"].items() if result == "may"} == {}
    assert told["own credentials"] == OWN_CREDENTIALS.get(name, [])


def test_packets_go_nowhere_but_to_the_venue(host):
    for name in ("recorder", "relay", "api-gateway", "risk-manager", "signal-bridge"):
        told = host.check_output(f"cat {SHIPPED}/trading-.service.d/10-hardening.conf")
        assert "IPAddressDeny=any" in told
    assert host.run("runuser -u holdfast-relay -- timeout 3 bash -c '</dev/tcp/10.0.0.1/8443'").rc != 0
