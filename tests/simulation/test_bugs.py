"""The proof that the checkers see: every bug of the catalogue is found within a bounded number of seeds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "bugs.py"
SEEDS_MAX = 120
JOBS = 2
BUGS_MIN = 20


def look_for_bugs() -> list[dict[str, Any]]:
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    commands = [[sys.executable, str(SCRIPT), str(job), str(JOBS), str(SEEDS_MAX)] for job in range(JOBS)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) for command in commands]
    found = []
    for process in running:
        output, _ = process.communicate()
        assert process.returncode == 0
        found += [json.loads(line) for line in output.splitlines()]
    return sorted(found, key=lambda row: (row["invariant"], row["bug"]))


@pytest.mark.timeout(1800)
def test_every_seeded_bug_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    found = look_for_bugs()
    with capsys.disabled():
        sys.stdout.write(f"\n{'bug':46} | invariant | seeds | seen by\n")
        for row in found:
            sys.stdout.write(f"{row['bug']:46} | {row['invariant']:9} | {row['seeds']:5} | {row['checker']}\n")
        seen = sum(bool(row["seeds"]) for row in found)
        sys.stdout.write(f"{seen} of {len(found)} bugs found\n")
    assert len(found) >= BUGS_MIN
    assert [row["bug"] for row in found if not row["seeds"]] == []
