"""`python -m lab drill`: parts of a running appliance die or fill up; people hear of it, and it trades on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab import alert_sinks
from lab.appliance import fills_of_ledger, health, ledger_matches, on
from lab.host import Host, hosts
from lab.place import LabError, say

FILLS_MEANWHILE = 3
HEALTHY_WITHIN_S = 60
RESOLVED_WITHIN_S = 240


@dataclass(frozen=True)
class Fault:
    """What goes wrong, how it is mended, and what is heard of it."""

    name: str
    begin: Callable[[Host], None]
    mend: Callable[[Host], None]
    alert: str
    ways: frozenset[str]
    heard_within_s: float


def do(host: Host, script: str) -> None:
    """Run a script as root on a host; raise LabError with its words when it fails."""
    done = on(host, script)
    if done.returncode != 0:
        raise LabError(f"{host.name}: {script}: exit code {done.returncode}: {done.stdout}{done.stderr}")


def killed(name: str, unit: str, alert: str, *, ways: frozenset[str], within_s: float) -> Fault:
    """Return the fault of a unit whose processes are killed, and that does not come back by itself."""
    folder = f"/run/systemd/system/{unit}.d"

    def begin(host: Host) -> None:
        do(host, f"mkdir -p {folder} && printf '[Service]\\nRestart=no\\n' >{folder}/99-drill.conf")
        do(host, f"systemctl daemon-reload && systemctl kill --signal=SIGKILL {unit}")

    def mend(host: Host) -> None:
        do(host, f"rm -r {folder} && systemctl daemon-reload && systemctl reset-failed {unit}; systemctl start {unit}")

    return Fault(name, begin, mend, alert, ways, within_s)


def fill_logs(host: Host) -> None:
    """Leave not a byte on the file system of the logs."""
    do(host, "mountpoint -q /var/log")
    do(host, "fallocate -l $(($(df --output=avail -B1 /var/log | tail -1) - (1 << 20))) /var/log/drill")
    do(
        host,
        "! dd if=/dev/zero of=/var/log/drill-rest bs=4k 2>/dev/null && [ $(df --output=avail /var/log | tail -1) = 0 ]",
    )


def empty_logs(host: Host) -> None:
    """Take it back."""
    do(host, "rm -f /var/log/drill /var/log/drill-rest")


PEOPLE = frozenset({"mail", "webhook"})


def faults(database: Host) -> list[Fault]:
    """Return the faults in their order."""
    found = on(database, "systemctl list-units 'postgresql@*.service' --plain --no-legend").stdout.split()
    if not found:
        raise LabError(f"{database.name}: no PostgreSQL runs; expected an appliance that `make appliance` made")
    return [
        killed("recorder killed", "trading-recorder.service", "ServiceDown", ways=PEOPLE, within_s=60),
        killed("PostgreSQL killed", found[0], "DatabaseDown", ways=PEOPLE, within_s=90),
        killed("Prometheus killed", "prometheus.service", "", ways=frozenset({"dead-man"}), within_s=420),
        Fault("log file system full", fill_logs, empty_logs, "HostDiskFull", PEOPLE, 150),
    ]


def says(one: dict[str, Any], alert: str, status: str) -> str | None:
    """Return the text of a message that tells this alert in this status, else None."""
    match one["way"]:
        case "mail":
            return one["text"] if f"{status.upper()} {alert}:" in one["text"] else None
        case "webhook":
            told = [a for a in one["body"]["alerts"] if (a["labels"]["alertname"], a["status"]) == (alert, status)]
            return json.dumps(told) if told else None
        case _:
            return one["text"] if one["status"] == status else None


def hear(lab: str, fault: Fault, status: str, since_s: float) -> dict[str, tuple[float, str]]:
    """Return how long after a time each way first told the alert, and its text."""
    found: dict[str, tuple[float, str]] = {}
    for one in alert_sinks.heard(lab, since_s):
        text = says(one, fault.alert, status) if one["way"] in fault.ways else None
        if text is not None:
            found.setdefault(one["way"], (round(one["at_s"] - since_s, 1), text))
    return found


def wait_until_heard(
    lab: str, fault: Fault, status: str, since_s: float, within_s: float
) -> dict[str, tuple[float, str]]:
    """Wait until every way told it; raise LabError when one stays silent."""
    while fault.ways - (found := hear(lab, fault, status, since_s)).keys():
        if time.time() > since_s + within_s:
            silent = ", ".join(sorted(fault.ways - found.keys()))
            heard = [one.get("subject") or one["way"] for one in alert_sinks.heard(lab, since_s)]
            raise LabError(
                f"{fault.name}: no {fault.alert or 'alarm'} {status} by {silent} in {within_s} s; heard {heard}"
            )
        time.sleep(0.5)
    return found


def wait_for_fills(lab: str, fault: Fault, before: set[str], within_s: float) -> int:
    """Wait until the venue filled more orders; raise LabError when it trades no more."""
    deadline_s = time.monotonic() + within_s
    while len(found := fills_of_ledger(lab) - before) < FILLS_MEANWHILE:
        if time.monotonic() > deadline_s:
            raise LabError(f"{fault.name}: {len(found)} fills in {within_s} s, expected {FILLS_MEANWHILE}")
        time.sleep(0.5)
    return len(found)


def wait_until_healthy(trader: Host, fault: Fault) -> float:
    """Return how long it took until everything was healthy again."""
    started_s = time.monotonic()
    while not (told := health(trader))["is_healthy"]:
        if time.monotonic() > started_s + HEALTHY_WITHIN_S:
            raise LabError(f"{fault.name}: mended, and not healthy {HEALTHY_WITHIN_S} s later: {told['checks']}")
        time.sleep(1)
    return round(time.monotonic() - started_s, 1)


def rehearse(lab: str, fault: Fault, place: Host, trader: Host) -> dict[str, Any]:
    """Let one thing go wrong, hear of it, trade on, mend it, hear of that."""
    say(f"{fault.name} on {place.name}")
    before, begun_s = fills_of_ledger(lab), time.time()
    fault.begin(place)
    try:
        told = wait_until_heard(lab, fault, "firing", begun_s, fault.heard_within_s)
        fills = wait_for_fills(lab, fault, before, 60)
        lasted_s = round(time.time() - begun_s, 1)
    finally:
        fault.mend(place)
    mended_s = time.time()
    healthy_s = wait_until_healthy(trader, fault)
    ended = wait_until_heard(lab, fault, "resolved", mended_s, RESOLVED_WITHIN_S)
    return {
        "fault": fault.name,
        "alert": fault.alert or "no heartbeat",
        "heard_s": {way: at_s for way, (at_s, _) in told.items()},
        "text": next(told[way][1] for way in ("mail", "dead-man") if way in told),
        "lasted_s": lasted_s,
        "fills_meanwhile": fills,
        "healthy_again_s": healthy_s,
        "resolved_s": {way: at_s for way, (at_s, _) in ended.items()},
    }


def drill(lab: str) -> dict[str, Any]:
    """Rehearse every fault on a lab that trades; raise LabError at the first that goes otherwise than it should."""
    if not (there := hosts(lab)):
        raise LabError(f"the lab {lab} has no hosts: run make appliance first")
    trader, database = there[-1], there[0]
    alert_sinks.start(lab)
    drills = [rehearse(lab, fault, database, trader) for fault in faults(database)]
    fills, is_equal = ledger_matches(lab, database)
    return {"drills": drills, "fills": fills, "ledger_match": is_equal, "ok": is_equal}


def tell(answer: dict[str, Any], *, is_json: bool) -> int:
    """Print the answer and return the exit code."""
    if is_json:
        sys.stdout.write(json.dumps(answer) + "\n")
        return 0 if answer["ok"] else 1
    for one in answer["drills"]:
        heard = ", ".join(f"{way} after {at_s} s" for way, at_s in sorted(one["heard_s"].items()))
        sys.stdout.write(
            f"{one['fault']}: {one['alert']} by {heard}; {one['fills_meanwhile']} fills in the "
            f"{one['lasted_s']} s that it lasted; healthy {one['healthy_again_s']} s after it was mended\n"
        )
        sys.stdout.writelines(f"    {line}\n" for line in one["text"].strip().splitlines())
    sys.stdout.write(f"fills: {answer['fills']}, equal to the venue's ledger: {answer['ledger_match']}\n")
    return 0 if answer["ok"] else 1
