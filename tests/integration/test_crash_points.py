"""Crash points: each springs once, in the process it is armed for, and the process that follows goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.crash_points import POINTS, STEPS, VARIABLE, CrashPoint
from holdfast.errors import ConfigError
from patience import PATIENCE_S

PASSES = """
import sys
from holdfast import crash_points
for number in range(5):
    crash_points.before("submission")
    print("before", number, flush=True)
    crash_points.after("submission")
    print("after", number, flush=True)
"""
APPENDS = """
import sys
from holdfast import crash_points
from holdfast._native import Decision, JournalName, JournalWriter, OrderIntent
writer = JournalWriter(sys.argv[1], JournalName.ORDERS, now_ns=1)
crash_points.arm_writer("orders", writer)
for number in range(5):
    writer.append(OrderIntent(symbol="IBM"), ts_ns=1)
    writer.append(Decision(symbol="IBM"), ts_ns=1)
    print(writer.next_seq, flush=True)
"""


def run(script: str, point: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, VARIABLE: point},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_there_are_26_points() -> None:
    assert len(STEPS) == 13
    assert len(POINTS) == len(set(POINTS)) == 26


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_point_kills_its_process_once_and_lets_the_next_one_pass(tmp_path: Path, side: str) -> None:
    point = f"{side}:submission:2:KILL:{tmp_path / 'marker'}"
    assert str(CrashPoint.parse(point)) == point
    killed = run(PASSES, point)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.splitlines()[-1] == ("after 1" if side == "before" else "before 2")
    assert (tmp_path / "marker").exists()
    passed = run(PASSES, point)
    assert (passed.returncode, passed.stdout.splitlines()[-1]) == (0, "after 4")


@pytest.mark.parametrize(("side", "last_seq"), [("before", 6), ("after", 7)])
def test_a_point_in_native_code_is_an_append_of_the_journal(tmp_path: Path, side: str, last_seq: int) -> None:
    point = f"{side}:decision:2:KILL:{tmp_path / 'marker'}"
    killed = run(APPENDS, point, str(tmp_path / "orders"))
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split() == ["3", "5"]
    passed = run(APPENDS, point, str(tmp_path / "orders"))
    assert passed.returncode == 0
    assert int(passed.stdout.split()[0]) == last_seq + 2, "what was appended before the death is there"


def test_a_stopped_process_goes_on_when_it_is_continued(tmp_path: Path) -> None:
    point = f"before:submission:1:STOP:{tmp_path / 'marker'}"
    with subprocess.Popen(
        [sys.executable, "-c", PASSES], env={**os.environ, VARIABLE: point}, stdout=subprocess.PIPE, text=True
    ) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert process.stdout.read().splitlines()[-1] == "after 4"


@pytest.mark.parametrize("text", ["now", "before:lunch:0:KILL:/m", "before:fill:-1:KILL:/m", "before:fill:0:TERM:/m"])
def test_a_wrong_point_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=VARIABLE):
        CrashPoint.parse(text)
