"""`make appliance`: hosts with everything on them, trading on a simulated venue beside them, and what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import alert_sinks, network
from lab.host import Host, hosts
from lab.place import LABS, LabError, say

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "/opt/holdfast/current/bin/holdfast"
VENUE_PORT = 8443
VENUE_TIMEOUT_S = 60
TRADING_TIMEOUT_S = 180
FILLS_WANTED = 5
EXPOSURE_MAX = 1.5
EXPOSURE_OFFLINE_MAX = 0.6
EXPOSURE_SERVER_MAX = 2.0
OFFLINE = ("trading-archive", "trading-backup", "trading-base-backup", "trading-restore-drill")
CONFINED = ("'trading-*'", "'postgresql@*'", "'prometheus*'")
OVERALL = re.compile(r"Overall exposure level for (\S+): ([\d.]+)")
RECAP = re.compile(r"^(\S+)\s*: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Play:
    """How a playbook ended on all hosts together."""

    seconds: float
    changed: int


def play(lab: str, inventory: str, playbook: str, log: Path, *options: str) -> Play:
    """Run a playbook against a lab; raise LabError with the end of its log when it fails."""
    command = [
        *(f"{ROOT}/.venv/lab/bin/ansible-playbook", "-i", f"inventories/{inventory}"),
        *("-i", str(LABS / lab / "inventory.json"), playbook, *options),
    ]
    environment = os.environ | {
        "PATH": f"{ROOT}/.venv/lab/bin:{os.environ['PATH']}",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    started_s = time.monotonic()
    with log.open("w") as output:
        done = subprocess.run(command, cwd=ROOT / "ansible", env=environment, stdout=output, stderr=output, check=False)
    seconds = time.monotonic() - started_s
    text = log.read_text()
    if done.returncode != 0:
        raise LabError(f"{playbook} failed, see {log}:\n{text[-3000:]}")
    return Play(round(seconds, 1), sum(int(found[2]) for found in RECAP.finditer(text)))


def start_venue(lab: str) -> None:
    """Run the simulated venue in the lab's network until the lab ends; a venue that runs already goes on."""
    folder = LABS / lab / "venue"
    folder.mkdir(exist_ok=True)
    if any(b"holdfast\0venue" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in network.inhabitants(lab)):
        return
    command = [
        *(*network.enter(lab), f"{ROOT}/app/setup/within.sh", "holdfast", "venue", "--json", "--start", "now"),
        *("--host", network.CONTROLLER, "--port", str(VENUE_PORT), "--symbols", "BTC/USD"),
        *("--ledger", f"{folder}/ledger.jsonl", "--tls-dir", str(folder), "--rate-limit", "1000"),
    ]
    with (folder / "ready.json").open("w") as ready, (folder / "log").open("a") as log:
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=ready,
            stderr=log,
            start_new_session=True,
        )
    deadline_s = time.monotonic() + VENUE_TIMEOUT_S
    while not (folder / "ready.json").read_text().strip():
        if time.monotonic() > deadline_s:
            raise LabError(f"the simulated venue did not start within {VENUE_TIMEOUT_S} s, see {folder}/log")
        time.sleep(0.1)


def on(host: Host, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a host by ssh."""
    return subprocess.run([*host.login(), *command], capture_output=True, text=True, check=False)


def health(trader: Host) -> dict[str, Any]:
    """Return what `holdfast health` says."""
    told = on(trader, f"{PROGRAM} health --config /etc/holdfast --env production --json")
    try:
        answer: dict[str, Any] = json.loads(told.stdout)
    except ValueError:
        raise LabError(f"holdfast health on {trader.name}: {told.stdout}{told.stderr}") from None
    return answer


def fills_of_ledger(lab: str) -> set[str]:
    """Return the execution ids that the venue's own ledger has."""
    lines = (LABS / lab / "venue/ledger.jsonl").read_text().splitlines()
    return {json.loads(line)["execution_id"] for line in lines if '"kind":"fill",' in line}


def fills_of_database(database: Host) -> set[str]:
    """Return the execution ids that PostgreSQL has."""
    query = "SELECT execution_id FROM fills"
    told = on(database, f"cd / && runuser -u postgres -- psql -AtX -d holdfast -c '{query}'")
    if told.returncode != 0:
        raise LabError(f"PostgreSQL on {database.name}: {told.stderr}")
    return set(told.stdout.split())


def ledger_matches(
    lab: str, database: Host, *, wanted: int = FILLS_WANTED, within_s: float = TRADING_TIMEOUT_S
) -> tuple[int, bool]:
    """Wait until the database has so many fills; return how many, and whether they are those of the venue's ledger."""
    deadline_s = time.monotonic() + within_s
    while True:
        before = fills_of_ledger(lab)
        found = fills_of_database(database)
        is_equal = before <= found <= fills_of_ledger(lab)
        if (len(found) >= wanted and is_equal) or time.monotonic() > deadline_s:
            return len(found), is_equal
        time.sleep(1)


def exposures(host: Host) -> dict[str, float]:
    """Return the exposure of each unit of ours, and of the servers that we confine, 0 to 10, as systemd judges it."""
    listed = on(host, f"systemctl list-units --all --plain --no-legend --type=service {' '.join(CONFINED)}").stdout
    names = [line.split()[0] for line in listed.splitlines()]
    told = on(host, f"for unit in {' '.join(names)}; do systemd-analyze security --no-pager $unit; done").stdout
    found = {name: float(figure) for name, figure in OVERALL.findall(told)}
    return {name: found.get(name, 10.0) for name in names}


def exposure_allowed(unit: str) -> float:
    """Return the most that is allowed: what is offline less than what is not, Debian's servers more."""
    if unit.startswith("trading-"):
        return EXPOSURE_OFFLINE_MAX if unit.removesuffix(".service") in OFFLINE else EXPOSURE_MAX
    return EXPOSURE_SERVER_MAX


def provision(lab: str, inventory: str) -> dict[str, Any]:
    """Provision, provision again, and say what came of it."""
    folder = LABS / lab
    start_venue(lab)
    alert_sinks.start(lab)
    say("running site.yml on the bare host(s)")
    first = play(lab, inventory, "site.yml", folder / "provision.log")
    say(f"provisioned in {first.seconds:.0f} s; running site.yml again")
    second = play(lab, inventory, "site.yml", folder / "second-run.log")
    trader, database = hosts(lab)[-1], hosts(lab)[0]
    fills, is_equal = ledger_matches(lab, database)
    checks = health(trader)
    units = exposures(trader)
    is_confined = bool(units) and all(exposure <= exposure_allowed(unit) for unit, exposure in units.items())
    return {
        "hosts": {host.name: host.address for host in hosts(lab)},
        "provision_s": first.seconds,
        "second_run": {"changed": second.changed, "seconds": second.seconds},
        "health": checks,
        "units": units,
        "fills": fills,
        "ledger_match": is_equal,
        "ok": checks["is_healthy"] and is_equal and second.changed == 0 and is_confined,
    }


def tell(answer: dict[str, Any], lab: str, *, is_json: bool) -> int:
    """Print the answer and return the exit code."""
    if is_json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        addresses = ", ".join(f"{name} {address}" for name, address in answer["hosts"].items())
        changed, seconds = answer["second_run"]["changed"], answer["second_run"]["seconds"]
        units = ", ".join(f"{name} {exposure}" for name, exposure in answer["units"].items())
        sys.stdout.write(
            f"hosts: {addresses}; ssh -F {LABS / lab}/ssh_config HOST\n"
            f"provisioned in {answer['provision_s']} s, again in {seconds} s with {changed} changed\n"
            f"exposure: {units}\n"
            f"fills: {answer['fills']}, equal to the venue's ledger: {answer['ledger_match']}\n"
            f"{'all is well' if answer['ok'] else 'NOT ALL IS WELL'}\n"
        )
    return 0 if answer["ok"] else 1
