"""A trading day on this machine: the whole system as real processes, judged by the venue's own ledger."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.settings.schema import SERVICES
from patience import PATIENCE_S

DEMO_TIMEOUT_S = 150


@pytest.fixture
def recorded_session(tmp_path: Path) -> Path:
    """Two symbols' recorded files with an hour of a quiet market, one side a line."""
    directory = tmp_path / "session"
    directory.mkdir()
    draw = random.Random(7)
    for symbol, first in (("BAC", 138_000), ("IBM", 1_810_000)):
        price, quotes, trades = first, [], []
        for index in range(20_000):
            at_ms = 36_000_000 + index * 180
            price += draw.choice((-100, 0, 0, 0, 100))
            size = draw.randint(1, 40) * 100
            is_bid = draw.random() < 0.5
            bid, ask = (f"{price},{size}", "0,0") if is_bid else ("0,0", f"{price + 200},{size}")
            quotes.append(f"{at_ms},{bid},{ask},P,0,0")
            if draw.random() < 0.2:
                trades.append(f"{at_ms},{price},{size},P,0,0")
        for kind, lines in (("quote", quotes), ("trade", trades)):
            with zipfile.ZipFile(directory / f"{symbol}_2013-10-08_{kind}.zip", "w") as archive:
                archive.writestr(f"{symbol}_{kind}.csv", "\n".join(lines) + "\n")
    return directory


class RunningDemo:
    """A demo in its own process, whose services can be killed; it trades until it is asked to end."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        command = [sys.executable, "-m", "holdfast", "demo", "--json", "--state-dir", str(state_dir)]
        with (state_dir.parent / "demo.err").open("wb") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)

    @property
    def config_dir(self) -> Path:
        return self.state_dir / "config"

    def pid_of(self, service: str) -> int:
        """Return the pid of a service of this demo, 0 when it does not run."""
        wanted = ["run", service, "--config", str(self.config_dir)]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode().split("\0")
                except OSError:
                    continue
                if words[-5:-1] == wanted:
                    return int(entry.name)
        return 0

    def kill(self, service: str) -> None:
        """Kill a service and wait for its successor."""
        killed = self.pid_of(service)
        os.kill(killed, signal.SIGKILL)
        self.wait_for(lambda: self.pid_of(service) not in {0, killed}, f"restart of {service}")

    def fill_count(self) -> int:
        return sum(line["kind"] == "fill" for line in self.ledger_lines())

    def wait_for_fill(self, what: str) -> None:
        """Wait until there is one more fill than now."""
        count = self.fill_count()
        self.wait_for(lambda: self.fill_count() > count, what)

    def postmaster_pid(self) -> int:
        """Return the pid of the demo's own PostgreSQL."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        children = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        return next(pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "postgres")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, (self.state_dir.parent / "demo.err").read_text()[-3000:]
            assert time.monotonic() < deadline, f"{what} did not happen"
            time.sleep(0.05)

    def holdfast(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast", *arguments, "--config", str(self.config_dir)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def ledger_lines(self) -> list[dict[str, Any]]:
        file = self.state_dir / "venue" / "ledger.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]

    def summary(self) -> dict[str, Any]:
        """End the demo as Ctrl-C does and return what it says at its end."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=DEMO_TIMEOUT_S)
        errors = (self.state_dir.parent / "demo.err").read_text()[-3000:]
        assert output, errors
        summary: dict[str, Any] = json.loads(output)
        broken = [name for name, holds in summary["invariants"].items() if not holds]
        assert summary["ok"], f"broken {broken}, orders {summary['orders']}, restarts {summary['restarts']}\n{errors}"
        assert self.process.returncode == 0
        return summary


@contextmanager
def running_demo(tmp_path: Path) -> Iterator[RunningDemo]:
    demo = RunningDemo(tmp_path / "state")
    try:
        demo.wait_for((demo.config_dir / "system.json").exists, "configuration")
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGTERM)
            demo.process.communicate(timeout=DEMO_TIMEOUT_S)


@pytest.mark.timeout(240)
def test_every_process_may_die_and_the_day_still_balances(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.wait_for(lambda: all(demo.pid_of(service) for service in SERVICES), "start of the services")
        demo.wait_for_fill("first fill")
        for service in SERVICES:
            demo.kill(service)
            demo.wait_for_fill(f"a fill after the death of {service}")
        os.kill(demo.postmaster_pid(), signal.SIGKILL)
        summary = demo.summary()
    assert summary["orders"]["filled"] > 0
    assert summary["orders"]["unknown"] == 0


@pytest.mark.timeout(240)
def test_a_trip_holds_over_a_restart_of_everything_until_a_reset_with_a_reason(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.wait_for_fill("first fill")
        assert demo.holdfast("trip", "--reason", "test", "--operator", "ann").returncode == 0
        tripped_ns = time.time_ns()
        for service in SERVICES:
            demo.kill(service)
        status = json.loads(demo.holdfast("status", "--json").stdout)
        assert status["kill_latch"]["is_set"], status
        assert demo.holdfast("reset", "--reason", "", "--operator", "ann").returncode != 0
        entries = [line for line in demo.ledger_lines() if is_entry(line) and line["host_ns"] > tripped_ns]
        assert entries == []
        assert demo.holdfast("reset", "--reason", "drill is over", "--operator", "ann").returncode == 0
        reset_ns = time.time_ns()
        demo.wait_for(
            lambda: any(is_entry(line) and line["host_ns"] > reset_ns for line in demo.ledger_lines()),
            "an order after the reset",
        )
        demo.summary()


def is_entry(line: dict[str, Any]) -> bool:
    """Whether a line of the ledger is a purchase that arrived: the examples only buy to enter."""
    is_post = line["kind"] == "request" and line["method"] == "POST" and line["path"] == "/v2/orders"
    return is_post and bool(line["body"]["side"] == "buy")


@pytest.mark.timeout(240)
def test_a_recorded_day_is_journaled_to_the_last_record_and_replays_to_the_same_bytes(
    tmp_path: Path,
    recorded_session: Path,
) -> None:
    state_dir = tmp_path / "state"
    options = ["--session", str(recorded_session), "--speed", "max", "--state-dir", str(state_dir)]
    command = [sys.executable, "-m", "holdfast"]
    demo = subprocess.run([*command, "demo", "--json", *options], capture_output=True, timeout=200, check=False)
    summary = json.loads(demo.stdout)
    assert summary["ok"], (summary, demo.stderr[-3000:])
    assert summary["venue"]["quotes_sent"] == summary["market_data"]["quotes"] > 0
    assert summary["venue"]["trades_sent"] == summary["market_data"]["trades"] > 0
    replay = [*command, "replay", "--json", "--config", str(state_dir / "config")]
    replayed = subprocess.run(replay, capture_output=True, timeout=100, check=False)
    assert json.loads(replayed.stdout)["ok"], replayed.stdout
