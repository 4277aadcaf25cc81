"""Kill: how long after the latch the last entry byte arrives at the venue, when its cancels do, and when it is proven.

The four services trade as processes as fast as their quotes come; the emergency stop is the real one, the judge of the
last entry and of what is open is the venue's ledger. Every tenth kill sets the venue's own
halt too, and lifts it again.
"""

import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from holdfast import clock
from holdfast._native import KillLatch, is_protective
from holdfast.bench import BenchResult
from holdfast.bench.tick_to_wire import log_tails, start
from holdfast.emergency_stop import ENDED, Plan, Report, Stop, Venue
from holdfast.errors import OperatingError
from holdfast.settings import Settings

NAME = "kill"
LAST_ENTRY_BUDGET_MS, CANCELS_BUDGET_MS, PROVEN_BUDGET_MS = 250.0, 2_000.0, 10_000.0
KILLS, KILLS_QUICK = 100, 5
SUSPENDED_EACH = 10
MARKET_SPEED = 5
ENTRIES_BEFORE_KILL = 20
TRADES_WITHIN_S = 60.0
AFTERWARDS_S = 0.5
POLL_S = 0.02


class LedgerTail:
    """Reads what the venue's ledger gains."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0
        self.open: dict[str, str] = {}

    def read(self) -> list[dict[str, Any]]:
        """Return the new lines, and follow which orders are open, by their side."""
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        lines = [json.loads(line) for line in whole.split(b"\n") if line]
        for line in lines:
            if line["kind"] == "order":
                order = line["data"]["order"]
                self.open[order["id"]] = order["side"]
                if order["status"] in ENDED:
                    del self.open[order["id"]]
        return lines


def _is_entry(line: dict[str, Any]) -> bool:
    is_order = (
        line["kind"] == "request" and line["method"] in {"POST", "PATCH"} and line["path"].startswith("/v2/orders")
    )
    return is_order and not is_protective(str((line["body"] or {}).get("client_order_id", "")))


def run(*, quick: bool) -> list[BenchResult]:
    """Kill a trading system again and again.

    Raises: OperatingError when it does not trade, or when the ledger contradicts a stop that called itself proven.
    """
    kills = KILLS_QUICK if quick else KILLS
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        settings = start(Path(folder), stack, speed=MARKET_SPEED, strategy="_restless.py:Restless")
        tail = LedgerTail(Path(folder) / "ledger.jsonl")
        try:
            rows = [_kill(settings, tail, is_suspend=number % SUSPENDED_EACH == 0) for number in range(kills)]
        except OperatingError as error:
            raise OperatingError(f"{error}\n{log_tails(Path(folder))}") from error
    names = ("last entry byte after the latch", "cancel of all at the venue", "proven")
    budgets = (LAST_ENTRY_BUDGET_MS, CANCELS_BUDGET_MS, PROVEN_BUDGET_MS)
    return [
        result
        for name, budget, column in zip(names, budgets, zip(*rows, strict=True), strict=True)
        for result in _results(f"{name}, {kills} kills", budget, sorted(column))
    ]


def _results(metric: str, budget: float, ordered: list[float]) -> list[BenchResult]:
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    common: dict[str, Any] = {"bench": NAME, "unit": "ms", "peer": None, "peer_name": ""}
    return [
        BenchResult(metric=f"{metric}, p50", ours=p50, budget=None, met=None, **common),
        BenchResult(metric=f"{metric}, p99", ours=p99, budget=budget, met=p99 <= budget, **common),
    ]


def _kill(settings: Settings, tail: LedgerTail, *, is_suspend: bool) -> tuple[float, float, float]:
    """Stop what trades and return the delays of the last entry, the cancel and the proof, ms; let it trade again."""
    _wait_for_entries(tail)
    plan = Plan(
        url=settings.venue.trading_url,
        ca_file=str(settings.venue.ca_file),
        key_id="PKSIMULATED",
        secret_key="simulated-secret",  # noqa: S106 - the simulated venue's own default
        latch_file=settings.state_dir / "latch",
        operator="bench",
        is_suspend=is_suspend,
    )
    latched_ns = clock.now_ns()
    report = Stop(plan, lambda _text: None).run()
    time.sleep(AFTERWARDS_S)
    lines = [line for line in tail.read() if line["host_ns"] >= latched_ns]
    if not report.ok or tail.open:
        raise OperatingError(f"ok={report.ok}, {len(tail.open)} orders open by the ledger: {report.notes}")
    entries = [line["host_ns"] for line in lines if _is_entry(line)]
    deletes = [line for line in lines if line["kind"] == "request" and line["method"] == "DELETE"]
    cancels = [line["host_ns"] for line in deletes if line["path"] == "/v2/orders"]
    _resume(plan)
    last_ms = (max(entries) - latched_ns) / 1e6 if entries else 0.0
    return last_ms, (cancels[0] - latched_ns) / 1e6, max(report.times_s.values()) * 1000


def _wait_for_entries(tail: LedgerTail) -> None:
    count, deadline_s = 0, clock.monotonic_s() + TRADES_WITHIN_S
    while count < ENTRIES_BEFORE_KILL:
        if clock.monotonic_s() > deadline_s:
            raise OperatingError(f"{count} of {ENTRIES_BEFORE_KILL} entries in {TRADES_WITHIN_S:.0f} s")
        time.sleep(POLL_S)
        count += sum(map(_is_entry, tail.read()))


def _resume(plan: Plan) -> None:
    if plan.is_suspend:
        venue = Venue(plan, Report())
        venue.until_s = clock.monotonic_s() + TRADES_WITHIN_S
        venue.ask("PATCH", "/v2/account/configurations", {"suspend_trade": False})
        venue.close()
    KillLatch(str(plan.latch_file)).reset("bench", "next kill", clock.now_ns())
