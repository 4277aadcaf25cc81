"""A host that cannot become an appliance is refused, with a word on what to do, before any host is changed.

One run of site.yml with a host for each mistake, and one without.
"""

import json
import re
from typing import Any

import pytest

from fix_ansible import EXAMPLE, PROGRAMS, Controller

pytestmark = [
    pytest.mark.skipif(
        not PROGRAMS.is_dir(), reason="needs Ansible, which app/setup/setup.sh installs with Python 3.12"
    ),
    pytest.mark.timeout(300),
]

FIT = "trader"
# Inputs of a host, and what it is told.
MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown": (
        {"holdfast_enviroment": "staging"},
        ["unknown variable(s) holdfast_enviroment: no role has such an input", "argument_specs.yml"],
    ),
    "value": (
        {"holdfast_environment": "prod", "time_sync_wait_timeout_s": "soon", "postgresql_passwords": "hunter2"},
        [
            "value of holdfast_environment must be one of: staging, production, got: prod",
            "argument 'time_sync_wait_timeout_s' is of type str and we were unable to convert to int",
            "argument 'postgresql_passwords' is of type str and we were unable to convert to dict",
            "group_vars/all/ROLE.yml",
        ],
    ),
    "service": ({"holdfast_services": ["relais"]}, ["holdfast_services names relais: expected some of market-data,"]),
    "secret": (
        {"holdfast_credentials": {"alpaca_api_key": "", "watchdog_api_key": "k", "watchdog_api_secret": "s"}},
        ["holdfast_credentials lacks alpaca_api_key, alpaca_api_secret, ", "ansible-vault edit"],
    ),
    "password": (
        {"postgresql_passwords": {"holdfast_recorder": ""}},
        ["postgresql_passwords has none for holdfast_recorder"],
    ),
    "stranger": (
        {"firewall_flows": [{"name": "a", "from": ["nobody"], "to": ["all"], "ports": ["1"]}]},
        ["the matrix of flows names nobody: expected them in firewall_parties, which has all, "],
    ),
    "time": ({"time_sync_pools": []}, ["time_sync_pools and time_sync_servers are both empty; name at least one"]),
    "archive": ({"release_archive": "gone.oci.tar"}, ["not a file of this machine: gone.oci.tar", "make release"]),
    "silent": (
        {"alertmanager_webhook_url": "", "alertmanager_smtp_smarthost": ""},
        ["nobody would hear of an alert: set alertmanager_smtp_smarthost"],
    ),
}
# What a host says of itself, and what it is told.
KINDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "rhel": (
        {"ansible_distribution": "RedHat", "ansible_distribution_version": "9.4", "ansible_os_family": "RedHat"}
        | {"ansible_distribution_major_version": "9"},
        ["RedHat 9.4, of the family RedHat, is not supported: expected Debian 12 or 13", "install one of them"],
    ),
    "small": (
        {"ansible_processor_nproc": 1, "ansible_memtotal_mb": 960},
        ["found 1 core(s) and 960 MB of memory: expected 2 cores", "2 GB; give the host more"],
    ),
    "arm": ({"ansible_architecture": "aarch64"}, ["aarch64 is not supported: the release is made for x86_64"]),
}
RECAP = re.compile(r"^(\w+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


@pytest.fixture(scope="module")
def told(controller: Controller) -> str:
    """Return what site.yml says to hosts of which all but one are unfit."""
    hosts: dict[str, dict[str, Any]] = {
        name: {"ansible_host": f"10.0.0.{at}"} for at, name in enumerate([FIT, *MISTAKES, *KINDS], start=11)
    }
    for name, (inputs, _) in MISTAKES.items():
        hosts[name] |= inputs
    for name, (facts, _) in KINDS.items():
        hosts[name]["said"] = facts
    groups: dict[str, dict[str, Any]] = {
        group: {"hosts": {name: {} for name in hosts}} for group in ("market_data", "trading", "database", "monitoring")
    }
    site = {
        "release_archive": f"{controller.folder}/a.oci.tar",
        "release_public_key": f"{controller.folder}/release.pub",
    }
    hosts = {name: site | variables for name, variables in hosts.items()}
    inventory = controller.folder / "unfit.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "children": groups}}))
    done = controller.run(
        "ansible-playbook",
        "-i",
        "inventories/production",
        "-i",
        inventory,
        f"-e@{EXAMPLE}",
        controller.knowledge,
        "site.yml",
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout


def refusal(told: str, host: str) -> str:
    """Return what a host was refused with, in one line."""
    found = re.search(rf"^fatal: \[{host}\]: FAILED! => *\n((?: .*\n|\n(?= ))+)", told, re.MULTILINE)
    assert found, told
    return " ".join(found[1].split()).replace("''", "'")


@pytest.mark.parametrize("host", [*MISTAKES, *KINDS])
def test_unfit_host_is_told_what_is_wrong_and_what_to_do(told: str, host: str) -> None:
    _, fragments = (MISTAKES | KINDS)[host]
    assert [fragment for fragment in fragments if fragment not in refusal(told, host)] == []


def test_no_host_is_changed_while_one_is_unfit(told: str) -> None:
    assert {name: (int(changed), int(failed)) for name, changed, _, failed in RECAP.findall(told)} == dict.fromkeys(
        [FIT, *MISTAKES, *KINDS], (0, 1)
    )
    assert "may not be provisioned as they are" in refusal(told, FIT)
    assert not re.search(r"^TASK \[base : ", told, re.MULTILINE)


def test_refusal_keeps_secrets(told: str) -> None:
    assert "hunter2" not in told
