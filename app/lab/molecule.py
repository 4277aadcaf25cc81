"""`make molecule`: the scenario of every role in turn, one host at a time, and what came of each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.place import STATE, LabError, say

ROOT = Path(__file__).resolve().parents[2]
TALLY = re.compile(r"=+ (\d+ \w+(?:, \d+ \w+)*) in [\d.]+s")
RECAP = re.compile(r"^(\S+)\s*: ok=(\d+)\s+changed=(\d+) ", re.MULTILINE)
TOLD_CHARACTERS = 3000


@dataclass(frozen=True)
class Outcome:
    """How a role's scenario ended: what the first run changed, what the second, and the tally of its tests."""

    role: str
    is_ok: bool
    seconds: float
    changed: int
    changed_again: int
    tests: str


def roles() -> list[str]:
    """Return the roles that have a scenario."""
    return sorted(path.parents[2].name for path in (ROOT / "roles").glob("*/molecule/default/molecule.yml"))


def outcome(role: str, log: str, *, is_ok: bool, seconds: float) -> Outcome:
    """Read what a run said. Its recaps on a host of the lab are: applied, applied again, rebooted."""
    changes = [int(changed) for host, _, changed in RECAP.findall(log) if host != "localhost"]
    tally = TALLY.findall(log)
    changed, changed_again = [*changes, -1, -1][:2]
    return Outcome(role, is_ok, round(seconds, 1), changed, changed_again, tally[-1] if tally else "none ran")


def test(role: str, suite: str) -> Outcome:
    """Boot a host for a role, apply it twice, reboot, look, remove the host; the log stays."""
    file = STATE / "molecule" / f"{role}-{suite}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "PATH": f"{ROOT}/.venv/lab/bin:{os.environ['PATH']}",
        "SUITE": suite,
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
    }
    started_s = time.monotonic()
    with file.open("w") as log:
        done = subprocess.run(
            ["molecule", "test"],
            cwd=ROOT / "roles" / role,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    text = file.read_text(errors="replace")
    found = outcome(role, text, is_ok=done.returncode == 0, seconds=time.monotonic() - started_s)
    if not found.is_ok:
        say(f"{role} failed, see {file}:\n{text[-TOLD_CHARACTERS:]}")
    return found


def test_all(chosen: list[str], suite: str, *, is_json: bool) -> int:
    """Test roles, all where none is named, and tell; return the exit code."""
    known = roles()
    if unknown := sorted(set(chosen) - set(known)):
        raise LabError(f"no scenario for {', '.join(unknown)}: expected some of {', '.join(known)}")
    started_s = time.monotonic()
    outcomes = []
    for role in chosen or known:
        say(f"testing {role} on Debian {suite}")
        outcomes.append(test(role, suite))
    seconds = round(time.monotonic() - started_s, 1)
    is_ok = all(found.is_ok for found in outcomes)
    if is_json:
        answer = {"roles": [asdict(found) for found in outcomes], "seconds": seconds, "ok": is_ok}
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        sys.stdout.write("".join(f"{line(found)}\n" for found in outcomes))
        sys.stdout.write(f"{len(outcomes)} roles in {seconds} s\n")
    return 0 if is_ok else 1


def line(found: Outcome) -> str:
    """Return an outcome for a terminal."""
    word = "ok    " if found.is_ok else "FAILED"
    return (
        f"{word} {found.role:17} {found.seconds:6.1f} s  changed={found.changed}, again changed={found.changed_again}, "
        f"rebooted: {found.tests}"
    )
