"""`make restore`: a host trades, its database goes back ten minutes, then it is lost and lives on as another one."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from lab import alert_sinks, appliance, inventory
from lab.appliance import PROGRAM, on, play
from lab.host import Host, cut_power
from lab.place import LABS, LabError, run, say

LOST, SPARE = "trader", "spare"
BACKUPS = ("var/lib/pgbackrest", "var/backups/holdfast")
CONFIG = ("--config", "/etc/holdfast", "--env", "production")
CAUGHT_UP_TIMEOUT_S = 300


def lead_to(host: Host) -> None:
    """Let the name in the site's inventory lead to a host."""
    (LABS / host.lab / "inventory.json").write_text(inventory.ansible(host.lab, {LOST: host}))


def caught_up(lab: str, host: Host, *, after: int = 0) -> tuple[int, bool]:
    """Wait for the fills of the venue's ledger in the database, more than `after`; return how many, whether so."""
    return appliance.ledger_matches(lab, host, wanted=after + 1, within_s=CAUGHT_UP_TIMEOUT_S)


def wait_until(moment_s: float, why: str) -> None:
    """Let the market go on until then."""
    left_s = moment_s - time.time()
    if left_s > 0:
        say(f"trading on for {left_s:.0f} s: {why}")
        time.sleep(left_s)


def archived_s(host: Host) -> int:
    """Return when the newest archive of a host's state was begun."""
    told = on(host, 'date --date="$(cat /var/backups/holdfast/state/archived)" +%s')
    if told.returncode != 0:
        raise LabError(f"{host.name} has no archive: {told.stderr}")
    return int(told.stdout)


def count(host: Host) -> int:
    """Return how many fills a host's database has."""
    return len(appliance.fills_of_database(host))


def move_disk(host: Host, spare: Host) -> None:
    """Put a dead host's backups into another one."""
    for part in BACKUPS:
        shutil.rmtree(spare.folder / "root" / part)
        run("cp", "--archive", host.folder / "root" / part, spare.folder / "root" / part)


def trade(lab: str, folder: Path) -> Host:
    """Make a host that trades and has a backup."""
    trader = Host(lab, LOST)
    lead_to(trader)
    appliance.start_venue(lab)
    alert_sinks.start(lab)
    say("provisioning the host that will be lost")
    play(lab, "local", "site.yml", folder / "provision.log")
    fills, is_equal = appliance.ledger_matches(lab, trader)
    if not is_equal or fills < appliance.FILLS_WANTED:
        raise LabError(f"{trader.name} does not trade as the venue's ledger says: {fills} fills in the database")
    say(f"it trades: {fills} fills, equal to the venue's ledger: {is_equal}")
    return trader


def drill(lab: str, folder: Path, trader: Host, minutes_back: int) -> dict[str, Any]:
    """Take the database back while trading goes on, and compare."""
    play(lab, "local", "backup.yml", folder / "backup.log")
    wait_until(archived_s(trader) + 60 * minutes_back + 5, "the drill goes back to after the backup")
    before = count(trader)
    done = play(lab, "local", "restore_drill.yml", folder / "drill.log", "-e", f"minutes_back={minutes_back}")
    fills, is_equal = caught_up(lab, trader, after=before)
    say(f"restored and caught up in {done.seconds:.0f} s: {before} fills, then {fills}, as the ledger: {is_equal}")
    return {"seconds": done.seconds, "fills_before": before, "fills_after": fills, "ledger_match": is_equal}


def move(lab: str, folder: Path, trader: Host, minutes_back: int) -> dict[str, Any]:
    """Lose the host and go on with another one that knows what was archived some time before."""
    spare = Host(lab, SPARE)
    play(lab, "local", "backup.yml", folder / "backup-before-loss.log")
    moment_s = archived_s(trader)
    archived = count(trader)
    wait_until(moment_s + 60 * minutes_back, "all that is lost with the host has to come from the venue")
    cut_power(trader)
    lost = len(appliance.fills_of_ledger(lab))
    say(f"the host is lost: {archived} fills are archived, the venue has {lost}")
    lead_to(spare)
    made = play(lab, "local", "site.yml", folder / "provision-spare.log", "-e", "holdfast_state=stopped")
    move_disk(trader, spare)
    done = play(lab, "local", "restore.yml", folder / "restore.log", "-e", "old_host_is_off=true")
    fills, is_equal = caught_up(lab, spare)
    say(f"restored in {done.seconds:.0f} s, halted: {fills} fills, equal to the ledger: {is_equal}; letting it trade")
    reset = on(spare, f"{PROGRAM} reset {' '.join(CONFIG)} --operator lab --reason restored")
    if reset.returncode != 0:
        raise LabError(f"reset: {reset.stdout}{reset.stderr}")
    again, is_equal_again = caught_up(lab, spare, after=fills + appliance.FILLS_WANTED)
    has_traded = again > fills + appliance.FILLS_WANTED
    if not has_traded:
        status = on(spare, f"{PROGRAM} status {' '.join(CONFIG)} --json")
        say(f"it does not trade: {status.stdout}{status.stderr}")
    return {
        "fills_archived": archived,
        "fills_at_loss": lost,
        "provision_s": made.seconds,
        "restore_s": done.seconds,
        "fills_restored": fills,
        "ledger_match": is_equal,
        "fills_traded_on": again,
        "ledger_match_traded_on": is_equal_again and has_traded,
        "reconciled": play(lab, "local", "reconcile.yml", folder / "reconcile.log").changed == 0,
    }


def rehearse(lab: str, minutes_back: int, *, is_json: bool) -> int:
    """Run it all, print what came of it, return the exit code."""
    folder = LABS / lab
    trader = trade(lab, folder)
    drilled = drill(lab, folder, trader, minutes_back)
    moved = move(lab, folder, trader, minutes_back)
    answer: dict[str, Any] = {"drill": drilled, "second_host": moved}
    answer["ok"] = all(
        [drilled["ledger_match"], moved["ledger_match"], moved["ledger_match_traded_on"], moved["reconciled"]]
    )
    if is_json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        for name, told in (("drill", drilled), ("second host", moved)):
            sys.stdout.write(f"{name}: " + ", ".join(f"{key}={value}" for key, value in told.items()) + "\n")
        sys.stdout.write("all is well\n" if answer["ok"] else "NOT ALL IS WELL\n")
    return 0 if answer["ok"] else 1
