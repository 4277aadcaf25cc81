"""Tick to wire: from the receive time of a quote to the moment its order's bytes go to the TLS socket.

The four services run as processes pinned to one core, the simulated venue on another, and the figure is read from the
journals: SUBMITTING of `executions` against the origin that `market_data` stamped. The stages name what lies between.
It is measured in a busy market and in a calm one: between two orders the caches of a core forget the services, the
more so the longer it takes. How much this costs on the host is measured beside it, by a small Python function.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast import clock
from holdfast._native import Decision, JournalError, OrderEvent, OrderEventKind, OrderIntent
from holdfast.bench import BenchResult
from holdfast.errors import OperatingError
from holdfast.journals import open_reader, open_writer
from holdfast.settings import Settings, load_settings
from holdfast.settings.defaults import default_config_dir

NAME = "tick-to-wire"
SERVICES = ("market-data", "signal-bridge", "risk-manager", "execution-engine")
ROUND_TRIP = "_round_trip.py:RoundTrip"
SYMBOLS = ("AAPL", "BAC", "IBM", "MSFT")
P50_BUDGET_US = 60.0
P99_BUDGET_US = 150.0
WARM_UP_ORDERS = 20
# How fast the synthetic market runs: about 100 quotes a second times this.
MARKETS = {"busy": 50, "calm": 1}
FLOOR_IDLE_S = {"warm": 0.0, "after 20 ms": 0.02}
FLOOR_RUNS = 200
START_TIMEOUT_S = 15.0
POLL_INTERVAL_S = 0.1
READ_RECORDS = 4096
LIMITS = {
    "order_rate_per_s_max": 1000,
    "order_burst_max": 1000,
    "repeat_entries_max": 1000,
    "repeat_window_s": 1,
    "repeat_identical_max": 100,
    "repeat_liquidations_max": 100,
    "duplicate_window_ms": 1,
    "trades_per_day_max": 1_000_000,
    "consecutive_losses_max": 1000,
    "daily_notional_max_usd": 100_000_000,
}


@dataclass(slots=True)
class Samples:
    """Nanoseconds of each order, whole and by stage."""

    whole: list[int] = field(default_factory=list)
    strategy: list[int] = field(default_factory=list)
    gate: list[int] = field(default_factory=list)
    wire: list[int] = field(default_factory=list)


def run(*, quick: bool) -> list[BenchResult]:
    """Trade for a few seconds in each market and read the journals."""
    wanted = 100 if quick else 1000
    results: list[BenchResult] = []
    for market, speed in MARKETS.items():
        results += _results(market, _trade(speed, wanted=wanted + WARM_UP_ORDERS))
    return results + _floor()


def _trade(speed: int, *, wanted: int) -> Samples:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        settings = start(Path(folder), stack, speed=speed)
        try:
            return _collect(settings, wanted=wanted, timeout_s=START_TIMEOUT_S + wanted / 20)
        except (OperatingError, JournalError) as error:
            raise OperatingError(f"{error}\n{log_tails(Path(folder))}") from error


def _results(market: str, samples: Samples) -> list[BenchResult]:
    whole = sorted(samples.whole[WARM_UP_ORDERS:])
    p50_us, p99_us = _percentile_us(whole, 0.50), _percentile_us(whole, 0.99)
    results = [
        _result(f"{market} market p50, {len(whole)} orders", p50_us, P50_BUDGET_US),
        _result(f"{market} market p99, {len(whole)} orders", p99_us, P99_BUDGET_US),
    ]
    stages = {
        "frame to intent p50": samples.strategy,
        "intent to decision p50": samples.gate,
        "decision to wire p50": samples.wire,
    }
    for metric, values in stages.items():
        ordered = sorted(values[WARM_UP_ORDERS:])
        results.append(_result(f"{market} market, {metric}", _percentile_us(ordered, 0.50), None))
    return results


def _floor() -> list[BenchResult]:
    """Time one small function at once and after an idle time as between two orders, on the core of the services."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        return [
            _result(f"floor: a Python function of 30 calls, {name} p50", _small_function_us(idle_s), None)
            for name, idle_s in FLOOR_IDLE_S.items()
        ]
    finally:
        os.sched_setaffinity(0, cores)


def _small_function_us(idle_s: float) -> float:
    durations_ns = []
    for _ in range(FLOOR_RUNS):
        if idle_s:
            time.sleep(idle_s)
        begin_ns = clock.monotonic_ns()
        texts = {number: str(number) for number in range(30)}
        durations_ns.append(clock.monotonic_ns() - begin_ns)
        assert len(texts) == 30
    return _percentile_us(sorted(durations_ns), 0.50)


def _result(metric: str, ours: float, budget: float | None) -> BenchResult:
    met = None if budget is None else ours <= budget
    return BenchResult(bench=NAME, metric=metric, unit="us", ours=ours, budget=budget, peer=None, peer_name="", met=met)


def _percentile_us(ordered: list[int], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] / 1000


def _collect(settings: Settings, *, wanted: int, timeout_s: float) -> Samples:
    """Read what the services journal until there are enough orders.

    Raises: OperatingError when they do not come in time, with what was denied or withheld instead.
    """
    intents: dict[int, int] = {}
    decisions: dict[int, Decision] = {}
    events: list[OrderEvent] = []
    refusals: Counter[str] = Counter()
    deadline_s = clock.monotonic_s() + timeout_s
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(open_reader(settings, name, wait_s=START_TIMEOUT_S))
            for name in ("signals", "orders", "executions")
        ]
        while len(events) < wanted:
            if clock.monotonic_s() > deadline_s:
                raise OperatingError(
                    f"{len(events)} of {wanted} orders in {timeout_s:.0f} s; refused: {dict(refusals)}"
                )
            records = [record for reader in readers for record in reader.read(READ_RECORDS)]
            for record in records:
                if isinstance(record, OrderIntent):
                    intents[record.seq] = record.ts_ns
                elif isinstance(record, Decision):
                    decisions[record.seq] = record
                elif isinstance(record, OrderEvent) and record.kind is OrderEventKind.SUBMITTING and record.origin_ns:
                    events.append(record)
                if isinstance(record, Decision | OrderEvent) and record.rule:
                    refusals[record.rule.label] += 1
            if not records:
                time.sleep(POLL_INTERVAL_S)
    return _samples(events, decisions, intents)


def _samples(events: list[OrderEvent], decisions: dict[int, Decision], intents: dict[int, int]) -> Samples:
    samples = Samples()
    for event in events:
        decision = decisions.get(event.decision_seq)
        intended_ns = intents.get(decision.intent_seq) if decision else None
        if decision is None or intended_ns is None:
            continue
        samples.whole.append(event.ts_ns - event.origin_ns)
        samples.strategy.append(intended_ns - event.origin_ns)
        samples.gate.append(decision.ts_ns - intended_ns)
        samples.wire.append(event.ts_ns - decision.ts_ns)
    return samples


def start(folder: Path, stack: contextlib.ExitStack, *, speed: int, strategy: str = ROUND_TRIP) -> Settings:
    """Start the venue and the four services with a strategy, `FILE:CLASS` beside this file; they end with `stack`.

    Raises: OperatingError when the venue does not start.
    """
    cores = sorted(os.sched_getaffinity(0))
    venue = _spawn(
        stack,
        folder / "venue.log",
        ["venue", "--session", "synthetic:1", "--speed", str(speed), "--seed", "1",
         "--ledger", str(folder / "ledger.jsonl"), "--tls-dir", str(folder),
         "--symbols", ",".join(SYMBOLS), "--port", "0", "--rate-limit", "100000", "--json"],
        cpu=cores[0],
    )  # fmt: skip
    address = _wait_for_venue(venue, folder / "venue.log")
    _write_configuration(folder, address, cpu=cores[-1], strategy=strategy)
    settings = load_settings(folder, environment={})
    # The services wait for the operator's journal, which the gateway makes; there is none here.
    open_writer(settings, "control").close()
    for name in SERVICES:
        _spawn(stack, folder / f"{name}.log", ["run", name, "--config", str(folder)], cpu=None)
    return settings


def _spawn(
    stack: contextlib.ExitStack, log_file: Path, arguments: list[str], *, cpu: int | None
) -> subprocess.Popen[bytes]:
    """Start `holdfast ARGUMENTS`, pinned to a core if one is given; it is ended with `stack`."""
    environment = {**os.environ, "ALPACA_API_KEY": "PKSIMULATED", "ALPACA_API_SECRET": "simulated-secret"}
    log = stack.enter_context(log_file.open("wb"))
    command = [sys.executable, "-m", "holdfast", *arguments]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    stack.callback(_end, process)
    if cpu is not None:
        os.sched_setaffinity(process.pid, {cpu})
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_venue(process: subprocess.Popen[bytes], log_file: Path) -> dict[str, Any]:
    """Return the line with which the venue says where it listens."""
    deadline_s = clock.monotonic_s() + START_TIMEOUT_S
    while clock.monotonic_s() < deadline_s and process.poll() is None:
        for line in log_file.read_text(errors="replace").splitlines():
            if line.startswith("{") and '"url"' in line:
                address: dict[str, Any] = json.loads(line)
                return address
        time.sleep(POLL_INTERVAL_S / 10)
    raise OperatingError(f"the simulated venue did not start: {log_file.read_text(errors='replace')[-500:]}")


def _write_configuration(folder: Path, address: dict[str, Any], *, cpu: int, strategy: str) -> None:
    host = str(address["url"]).removeprefix("https://")
    services = {name.replace("-", "_"): {"metrics_port": _free_port(), "cpus": [cpu]} for name in SERVICES}
    system = {
        "state_dir": str(folder / "state"),
        "symbols": list(SYMBOLS),
        "venue": {
            "trading_url": f"https://{host}",
            "trading_stream_url": f"wss://{host}/stream",
            "data_url": f"https://{host}",
            "data_stream_url": f"wss://{host}",
            "ca_file": address["ca_file"],
            "requests_per_minute": 100_000,
            "entries_per_minute": 100_000,
        },
        "clock": {"session_time": "venue"},
        "services": services,
        "strategies": [
            {
                "name": "bench",
                "path": str(Path(__file__).with_name(strategy)),
                "symbols": list(SYMBOLS),
            },
        ],
    }
    (folder / "system.json").write_text(json.dumps(system))
    limits = (default_config_dir() / "risk_limits.toml").read_text()
    (folder / "risk_limits.toml").write_text(_loosened(limits))


def _loosened(limits: str) -> str:
    """Return the shipped limits without blackouts and with room for many orders a second."""
    lines = []
    for line in limits.partition("[[blackout]]")[0].splitlines():
        key = line.partition("=")[0].strip()
        lines.append(f"{key} = {LIMITS[key]}" if key in LIMITS else line)
    return "\n".join(["blackout = []", *lines])


def log_tails(folder: Path) -> str:
    """Return the end of what each process wrote."""
    return "\n".join(f"{file.stem}: {file.read_text(errors='replace')[-600:]}" for file in sorted(folder.glob("*.log")))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
