"""Halting a whole trading system in the worst moment; the venue's ledger is the judge."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fix_tell import Tell
from fix_venue import KEY_ID, SECRET_KEY
from holdfast import clock
from holdfast._native import IntentAction, KillLatch, OrderIntent
from holdfast.bench.kill import LedgerTail
from holdfast.bench.tick_to_wire import start
from holdfast.demo.configuration import DemoOptions
from holdfast.demo.host import DemoHost
from holdfast.journals import open_latch, open_reader
from holdfast.settings.schema import SERVICES
from holdfast.venues.simulated import Ledger
from patience import PATIENCE_S
from stopping import ENDED, STORM, lonely_script, run_script

if TYPE_CHECKING:
    from holdfast._native import Record

ENTRIES_END_WITHIN_S = 1.0
WANTED_NS = 2_000_000_000


def credentials_of(directory: Path) -> list[str]:
    (directory / "alpaca_api_key").write_text(KEY_ID)
    (directory / "alpaca_api_secret").write_text(SECRET_KEY)
    return ["--credentials", str(directory), "--operator", "ann", "--json"]


async def eventually(is_true: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_true():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.05)
    assert is_true(), what


@pytest.mark.timeout(240)
async def test_stop_with_every_service_killed_and_the_database_gone_during_a_storm(tmp_path: Path, tell: Tell) -> None:
    options = DemoOptions(state_dir=tmp_path / "demo", duration_s=None, session=None, speed="1", seed=5)
    host = DemoHost(options)
    try:
        await host.start()
        await eventually(lambda: Ledger.read(host.ledger_file).positions_e9(), "a position")
        for name in SERVICES:
            unit = host.supervisor.units[name]
            unit.is_stopping = True
            os.kill(unit.pid, signal.SIGKILL)
        await eventually(lambda: not any(host.supervisor.units[name].pid for name in SERVICES), "the services' end")
        guard = host._postgres_guard
        assert guard is not None
        guard.cancel()
        await asyncio.to_thread(host.postgres.stop)
        await host.operate("faults", STORM)
        code, report, printed = await asyncio.to_thread(
            run_script,
            lonely_script(tmp_path),
            *("--config", str(host.config_dir), "--flatten", *credentials_of(tmp_path)),
        )
        assert code == 0, printed
        assert not host.postgres.is_running
        assert report["rate_limited"] > 0
        assert (report["has_no_orders"], report["is_flat"], report["is_suspended"]) == (True, True, True)
        ledger = Ledger.read(host.ledger_file)
        assert ledger.positions_e9() == {}
        assert {order["status"] for order in ledger.orders().values()} <= ENDED
        assert KillLatch(str(host.settings.state_dir / "latch")).is_set
        assert SECRET_KEY not in printed
        tell(f"every service killed, PostgreSQL stopped, 60 % of requests refused: {report}")
    finally:
        await host.stop()


def pid_of(service: str, folder: Path) -> int:
    wanted = ["run", service, "--config", str(folder), ""]
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().decode().split("\0")[-5:] == wanted:
                return int(entry.name)
    raise AssertionError(f"{service} does not run")


def is_wanted_after(record: "Record", time_ns: int) -> bool:
    return isinstance(record, OrderIntent) and record.action is IntentAction.NEW and record.ts_ns > time_ns


@pytest.mark.timeout(120)
def test_a_frozen_risk_manager_ends_entries_within_a_second_and_cancels_still_pass(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        settings = start(tmp_path, stack, speed=5, strategy="_restless.py:Restless")
        tail = LedgerTail(tmp_path / "ledger.jsonl")

        def until(is_true: Callable[[], object]) -> None:
            deadline_s = time.monotonic() + PATIENCE_S
            while not is_true():
                assert time.monotonic() < deadline_s
                tail.read()
                time.sleep(0.02)

        def open_entries() -> int:
            return sum(side == "buy" for side in tail.open.values())

        until(lambda: open_entries() > 8)
        pid = pid_of("risk-manager", tmp_path)
        os.kill(pid, signal.SIGSTOP)
        frozen_ns = clock.now_ns()
        stack.callback(os.kill, pid, signal.SIGCONT)
        signals = stack.enter_context(open_reader(settings, "signals"))
        signals.seek(signals.last_seq + 1)
        # Entries are wanted long after none may leave.
        until(lambda: any(is_wanted_after(record, frozen_ns + WANTED_NS) for record in signals.read(1000)))
        posts = [
            line["host_ns"]
            for line in Ledger.read(tmp_path / "ledger.jsonl").of_kind("request")
            if line["method"] == "POST" and line["path"] == "/v2/orders" and line["body"]["side"] == "buy"
        ]
        assert posts
        last_entry_s = (max(posts) - frozen_ns) / 1e9
        assert last_entry_s <= ENTRIES_END_WITHIN_S
        tail.read()
        assert open_entries(), "nothing was left to cancel"
        open_count, tripped_s = open_entries(), time.monotonic()
        open_latch(settings).trip("ann", "risk-manager is frozen", clock.now_ns())
        until(lambda: not open_entries())
        canceled_s = time.monotonic() - tripped_s
        sys.stdout.write(
            f"risk-manager stopped: the last entry left {last_entry_s * 1000:.0f} ms after it (before it: negative), "
            f"{open_count} open entries were canceled within {canceled_s * 1000:.0f} ms of the kill latch\n"
        )
