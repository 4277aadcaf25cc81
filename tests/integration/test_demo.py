"""A trading day on this machine: the whole system as real processes, judged by the venue's own ledger."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SERVICES = (
    "market-data",
    "signal-bridge",
    "risk-manager",
    "execution-engine",
    "recorder",
    "relay",
    "api-gateway",
)
START_TIMEOUT_S = 60
DEMO_TIMEOUT_S = 150


class RunningDemo:
    """A demo in its own process, whose services can be killed."""

    def __init__(self, state_dir: Path, duration_s: int) -> None:
        self.state_dir = state_dir
        command = [sys.executable, "-m", "holdfast", "demo", "--json", "--state-dir", str(state_dir)]
        self.process = subprocess.Popen(
            [*command, "--duration", str(duration_s)],
            stdout=subprocess.PIPE,
            stderr=(state_dir.parent / "demo.err").open("wb"),
        )

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

    def postmaster_pid(self) -> int:
        """Return the pid of the demo's own PostgreSQL."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(pid) for pid in children if "postgres" in Path(f"/proc/{pid}/comm").read_text())

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            assert self.process.poll() is None, (self.state_dir.parent / "demo.err").read_text()[-3000:]
            assert time.monotonic() < deadline, f"{what} did not happen"
            time.sleep(0.05)

    def holdfast(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast", *arguments, "--config", str(self.config_dir)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def ledger_lines(self) -> list[dict[str, Any]]:
        file = self.state_dir / "venue" / "ledger.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]

    def summary(self) -> dict[str, Any]:
        output, _ = self.process.communicate(timeout=DEMO_TIMEOUT_S)
        errors = (self.state_dir.parent / "demo.err").read_text()[-3000:]
        assert output, errors
        summary: dict[str, Any] = json.loads(output)
        assert summary["ok"], (summary, errors)
        assert self.process.returncode == 0
        return summary


@contextmanager
def running_demo(tmp_path: Path, duration_s: int) -> Iterator[RunningDemo]:
    demo = RunningDemo(tmp_path / "state", duration_s)
    try:
        demo.wait_for((demo.config_dir / "system.json").exists, "configuration")
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGTERM)
            demo.process.wait(DEMO_TIMEOUT_S)


@pytest.mark.timeout(240)
def test_every_process_may_die_and_the_day_still_balances(tmp_path: Path) -> None:
    with running_demo(tmp_path, 30) as demo:
        demo.wait_for(lambda: all(demo.pid_of(service) for service in SERVICES), "start of the services")
        demo.wait_for(lambda: any(line["kind"] == "fill" for line in demo.ledger_lines()), "first fill")
        for service in SERVICES:
            killed = demo.pid_of(service)
            os.kill(killed, signal.SIGKILL)
            demo.wait_for(lambda s=service, k=killed: demo.pid_of(s) not in {0, k}, f"restart of {service}")
            fills = sum(line["kind"] == "fill" for line in demo.ledger_lines())
            demo.wait_for(
                lambda n=fills: sum(line["kind"] == "fill" for line in demo.ledger_lines()) > n,
                f"a fill after the death of {service}",
            )
        os.kill(demo.postmaster_pid(), signal.SIGKILL)
        summary = demo.summary()
    assert summary["orders"]["filled"] > 0
    assert summary["orders"]["unknown"] == 0
