"""`make scan`: every port of every host, tried from each other and from outside, before and after a reboot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml

from lab import alert_sinks, appliance, network
from lab.host import Host, hosts, leader, wait_for_ssh
from lab.place import LABS, LabError, say

FLOWS = appliance.ROOT / "ansible/files/flows.yml"
HOSTS = {"local": ["trader"], "local_four_hosts": ["data", "market", "monitor", "trader"]}
# An address that no party of any inventory has.
STRANGER = "198.51.100.7"
OUTSIDE = (network.CONTROLLER, network.RECEIVERS, STRANGER)
PROTOCOLS = ("tcp", "udp")
# Of no flow: what the matrix grants to some users only, this one may not.
NOBODY = "nobody"
RULES = "etc/nftables.d/holdfast.nft"
SSH_PORT = 22
REBOOT_TIMEOUT_S = 120


@dataclass(frozen=True)
class Way:
    """From whom to where every port was tried."""

    source: str
    user: str
    target: str
    protocol: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.source} ({self.user}) to {self.target} {self.protocol}"


def ports(texts: list[str]) -> set[int]:
    """Return the ports of a flow."""
    ends = [(int(first), int(last or first)) for first, _, last in (text.partition("-") for text in texts)]
    return {port for first, last in ends for port in range(first, last + 1)}


def contains(networks: list[str], address: str) -> bool:
    """Say whether an address is in one of the networks or is one of the addresses."""
    return any(ip_address(address) in ip_network(one) for one in networks)


@dataclass(frozen=True)
class Matrix:
    """What may pass, by the matrix and an inventory; worked out without the template that makes the firewall."""

    flows: list[dict[str, Any]]
    networks: dict[str, list[str]]
    groups: dict[str, set[str]]
    addresses: dict[str, str]

    @cached_property
    def names(self) -> dict[str, str]:
        """Return the hosts by address."""
        return {address: name for name, address in self.addresses.items()}

    def parties(self, address: str) -> set[str]:
        """Return the parties that an address is one of."""
        found = {party for party, networks in self.networks.items() if contains(networks, address)}
        if name := self.names.get(address):
            found |= {"all"} | {group for group, members in self.groups.items() if name in members}
        return found

    def leaves(self, way: Way) -> set[int]:
        """Return the ports to which the source's own firewall lets packets out."""
        if way.source not in self.names:
            return set(range(1, 65536))
        own = {"all"} | {group for group, members in self.groups.items() if self.names[way.source] in members}
        theirs = self.parties(way.target)
        return self._ports(
            way, lambda flow: own & set(flow["from"]) and theirs & set(flow["to"]) and self._may(flow, way.user)
        )

    def enters(self, way: Way) -> set[int]:
        """Return the ports at which the target's firewall lets packets in."""
        if way.target not in self.names:
            return set(range(1, 65536))
        own = {"all"} | {group for group, members in self.groups.items() if self.names[way.target] in members}
        theirs = self.parties(way.source)
        return self._ports(way, lambda flow: theirs & set(flow["from"]) and own & set(flow["to"]))

    def _ports(self, way: Way, holds: Any) -> set[int]:  # noqa: ANN401
        found = (
            ports(flow["ports"]) for flow in self.flows if flow.get("protocol", "tcp") == way.protocol and holds(flow)
        )
        return set().union(*found)

    @staticmethod
    def _may(flow: dict[str, Any], user: str) -> bool:
        return not flow.get("users") or user in flow["users"]

    def expected(self, way: Way) -> set[int]:
        """Return the ports that packets of this way reach."""
        return self.leaves(way) & self.enters(way)

    def users(self) -> list[str]:
        """Return the users of whom the matrix makes a difference, and one that it does not know."""
        return sorted({user for flow in self.flows for user in flow.get("users", [])} | {NOBODY})


def matrix(lab: str, inventory: str) -> Matrix:
    """Read the matrix of flows, and who is who from the inventory."""
    command = [
        *(f"{appliance.ROOT}/.venv/lab/bin/ansible-inventory", "-i", f"inventories/{inventory}"),
        *("-i", str(LABS / lab / "inventory.json"), "--list"),
    ]
    told = subprocess.run(command, cwd=appliance.ROOT / "ansible", capture_output=True, text=True, check=True).stdout
    listed = json.loads(told)
    variables = listed["_meta"]["hostvars"]
    addresses = {host.name: host.address for host in hosts(lab)}
    groups = {
        name: set(group.get("hosts", [])) for name, group in listed.items() if name not in {"_meta", "all", "ungrouped"}
    }
    networks = next(iter(variables.values()))["flow_networks"]
    return Matrix(yaml.safe_load(FLOWS.read_text())["flows"], networks, groups, addresses)


def ways(matrix: Matrix) -> Iterator[Way]:
    """Return who tries whom: each host every other address, as each user that matters; all outside every host."""
    for name, address in matrix.addresses.items():
        for other in [*(address for host, address in matrix.addresses.items() if host != name), *OUTSIDE]:
            for user in matrix.users() if other == network.CONTROLLER else ["root", NOBODY]:
                yield from (Way(address, user, other, protocol) for protocol in PROTOCOLS)
        for outside in OUTSIDE:
            yield from (Way(outside, "root", address, protocol) for protocol in PROTOCOLS)


class Scanner:
    """Tries every port in the networks of a lab's hosts."""

    def __init__(self, lab: str, matrix: Matrix) -> None:
        self._lab = lab
        self._hosts = {host.address: host for host in hosts(lab)}
        self._matrix = matrix

    def _enter(self, address: str) -> list[str]:
        if address in self._hosts:
            return ["nsenter", f"--net=/proc/{leader(self._hosts[address])}/ns/net", "--"]
        return network.enter(self._lab)

    def _user(self, way: Way) -> str:
        if way.source not in self._hosts:
            return "0"
        lines = (self._hosts[way.source].folder / "root/etc/passwd").read_text().splitlines()
        by_name = {name: number for name, _, number, *_ in (line.split(":") for line in lines)}
        if way.user not in by_name:
            raise LabError(f"{self._hosts[way.source].name} has no user {way.user}: provision it first")
        return by_name[way.user]

    def passes(self, way: Way) -> set[int]:
        """Return the ports of the target that packets of the source reach."""
        words = [sys.executable, "-m", "lab.knock"]
        there = (way.source, way.target, way.protocol)
        environment = network.environment()
        with subprocess.Popen(
            [*self._enter(way.target), *words, "listen", *there],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as ear:
            assert ear.stdout is not None
            assert ear.stdin is not None
            if ear.stdout.readline() != "ready\n":
                raise LabError(f"nobody could listen at {way.target}")
            done = subprocess.run(
                [*self._enter(way.source), *words, "knock", *there, self._user(way)],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            told, _ = ear.communicate("\n")
        if done.returncode != 0:
            raise LabError(f"{way}: {done.stderr[-1000:]}")
        return set(json.loads(told))

    def differences(self) -> tuple[int, list[str]]:
        """Try every way; return how many, and where what passes is not what the matrix says."""
        found = []
        tried = list(ways(self._matrix))
        for way in tried:
            passed, expected = self.passes(way), self._matrix.expected(way)
            found += [f"{way}: {port} passes" for port in sorted(passed - expected)[:20]]
            found += [f"{way}: {port} does not pass" for port in sorted(expected - passed)[:20]]
        return len(tried), found


def reboot(booted: list[Host]) -> None:
    """Boot hosts again, all at once."""
    for host in booted:
        before = leader(host)
        appliance.on(host, "systemctl", "reboot")
        deadline_s = time.monotonic() + REBOOT_TIMEOUT_S
        while Path(f"/proc/{before}").exists():
            if time.monotonic() > deadline_s:
                raise LabError(f"{host.name} did not go down within {REBOOT_TIMEOUT_S} s")
            time.sleep(0.1)
    for host in booted:
        wait_for_ssh(host)
        appliance.on(host, "systemctl", "is-system-running", "--wait")


def precedence(host: Host) -> dict[str, Any]:
    """Return when the rules were in force after a boot, and when the first unit that listens began."""
    listening = appliance.on(host, "ss", "-Hlntup").stdout
    units = {"systemd-networkd.service"}
    for process in set(re.findall(r"pid=(\d+)", listening)):
        group = appliance.on(host, "cat", f"/proc/{process}/cgroup").stdout
        units |= set(re.findall(r"/([^/\n]+\.service)", group))
    times = {unit: _entered_us(host, unit, "InactiveExit") for unit in sorted(units)}
    loaded_us = _entered_us(host, "nftables.service", "ActiveEnter")
    first = min(times, key=lambda unit: times[unit])
    return {
        "rules_us": loaded_us,
        "first_unit": first,
        "first_unit_us": times[first],
        "units": len(units),
        "ok": 0 < loaded_us < times[first],
    }


def _entered_us(host: Host, unit: str, moment: str) -> int:
    told = appliance.on(host, "systemctl", "show", unit, f"--property={moment}TimestampMonotonic", "--value").stdout
    return int(told.strip() or 0)


def open_ports(host: Host) -> list[int]:
    """Return the ports of a host at which somebody answers others."""
    told = appliance.on(host, "ss", "-Hlntu").stdout
    ends = (line.split()[4].rpartition(":") for line in told.splitlines())
    return sorted({int(port) for address, _, port in ends if not address.startswith(("127.", "[::1]"))})


def without_rules(host: Host) -> dict[str, Any]:
    """Boot a host whose rules do not load: ssh alone may answer. Then mend it and boot it once more."""
    before = open_ports(host)
    rules = host.folder / "root" / RULES
    right = rules.read_text()
    rules.write_text(f"{right}\nnonsense\n")
    reboot([host])
    found = open_ports(host)
    rules.write_text(right)
    reboot([host])
    after = _until(lambda: open_ports(host), before)
    return {"host": host.name, "ports": found, "ports_mended": after, "ok": found == [SSH_PORT] and after == before}


def _until(ask: Callable[[], list[int]], expected: list[int]) -> list[int]:
    """Ask until the answer is as expected, or long enough; return the last one."""
    deadline_s = time.monotonic() + REBOOT_TIMEOUT_S
    while (found := ask()) != expected and time.monotonic() < deadline_s:
        time.sleep(1)
    return found


def trading(lab: str, matrix: Matrix, after: int) -> dict[str, Any]:
    """Wait for more fills in the database; say whether they are the venue's, and who reads journals by the relay."""
    (database,) = (Host(lab, name) for name in matrix.groups["database"])
    fills, is_equal = appliance.ledger_matches(lab, database, wanted=after + appliance.FILLS_WANTED)
    (market,) = (Host(lab, name) for name in matrix.groups["market_data"])
    command = "journalctl --unit=trading-relay --boot --output=cat --grep=relay_session_opened"
    sessions = [json.loads(line) for line in appliance.on(market, command).stdout.splitlines()]
    readers = sorted({f"{session['user']} {session['journal']}" for session in sessions})
    is_more = fills >= after + appliance.FILLS_WANTED
    return {"fills": fills, "ledger_match": is_equal, "relay_readers": readers, "ok": is_more and is_equal}


def provision(lab: str, inventory: str, *, is_whole: bool) -> None:
    """Run site.yml, or the part of it that every host has: no release is needed for that."""
    folder = LABS / lab
    release = folder / "no-release"
    options: list[str] = []
    if is_whole:
        appliance.start_venue(lab)
        alert_sinks.start(lab)
    else:
        release.mkdir(exist_ok=True)
        for name in ("a.oci.tar", "a.oci.tar.sig", "holdfast-release", "release.pub"):
            (release / name).touch()
        options = [
            "--tags",
            "hosts",
            f"-erelease_archive={release}/a.oci.tar",
            f"-erelease_public_key={release}/release.pub",
        ]
    say("running site.yml")
    appliance.play(lab, inventory, "site.yml", folder / "provision.log", *options)


def scan(lab: str, inventory: str, *, is_whole: bool) -> dict[str, Any]:
    """Scan, reboot every host, scan again; say what differs from the matrix, and whether the whole trades."""
    for address in (network.RECEIVERS, STRANGER):
        network.add_address(lab, address)
    if not hosts(lab):
        raise LabError(f"lab {lab} has no hosts")
    known = matrix(lab, inventory)
    scanner = Scanner(lab, known)
    traded = [trading(lab, known, 0)] if is_whole else []
    say("trying every port of every host")
    tried, before = scanner.differences()
    say("booting every host again")
    reboot(hosts(lab))
    order = {host.name: precedence(host) for host in hosts(lab)}
    say("trying every port of every host again")
    _, after = scanner.differences()
    traded += [trading(lab, known, traded[-1]["fills"])] if is_whole else []
    say("booting a host whose rules do not load")
    unruled = without_rules(hosts(lab)[0])
    traded += [trading(lab, known, traded[-1]["fills"])] if is_whole else []
    return {
        "hosts": {host.name: host.address for host in hosts(lab)},
        "ways": tried,
        "ports_of_each": 65535,
        "differences": before,
        "differences_after_reboot": after,
        "rules_precede": order,
        "without_rules": unruled,
        "trading": traded,
        "ok": not before and not after and all(one["ok"] for one in [*order.values(), unruled, *traded]),
    }


def tell(answer: dict[str, Any], *, is_json: bool) -> int:
    """Print the answer and return the exit code."""
    if is_json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0 if answer["ok"] else 1
