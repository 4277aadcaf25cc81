"""The course of a demo: start, trade, come to rest, judge."""

import asyncio
import shutil
import signal
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from holdfast import clock
from holdfast.demo.configuration import DemoOptions
from holdfast.demo.host import DemoHost
from holdfast.demo.rest import count_rows, settle
from holdfast.demo.summary import summarise
from holdfast.demo.supervisor import become_subreaper
from holdfast.errors import OperatingError

REFRESH_INTERVAL_S = 0.25
POLL_INTERVAL_S = 0.05
SETTLE_TIMEOUT_S = 20.0
RECORDER_TIMEOUT_S = 60.0
MARKER = ".holdfast-demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running demo is; `fraction` None while its length is not known."""

    host: DemoHost
    phase: str
    elapsed_s: float
    fraction: float | None
    venue: dict[str, Any]


async def run_demo(options: DemoOptions, show: Callable[[Progress], None]) -> dict[str, Any]:
    """Run one demo and return its summary.

    Raises: OperatingError when something did not start.
    """
    become_subreaper()
    _prepare(options.state_dir)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    started_ns = clock.monotonic_ns()
    host = DemoHost(options)
    try:
        await host.start()
        venue = await _trade(host, stopping, show, started_ns)
        show(Progress(host=host, phase="settling", elapsed_s=_elapsed_s(started_ns), fraction=None, venue=venue))
        memory_bytes = host.memory_bytes()
        risk_check_ns = await asyncio.to_thread(_risk_check_ns, host)
        await settle(host)
        lag_s_max = await asyncio.to_thread(_gauge, host, "recorder", "holdfast_recorder_lag_seconds_max")
        venue = await host.venue_status() or venue
        rows = await asyncio.to_thread(count_rows, host.dsn)
    finally:
        await host.stop()
    restarts = {unit.name: unit.restarts for unit in host.supervisor.units.values() if unit.restarts}
    summary = summarise(
        host.settings,
        ledger_file=host.ledger_file,
        venue=venue,
        is_session=options.session is not None,
        rows=rows,
        lag_ms_max=round(lag_s_max * 1000),
        risk_check_ns=risk_check_ns,
        memory_bytes=memory_bytes,
        is_undisturbed=not restarts,
    )
    summary["restarts"] = restarts
    summary["start_s"] = round(host.services_start_s, 2)
    summary["duration_s"] = round(_elapsed_s(started_ns), 2)
    return summary


def _prepare(state_dir: Path) -> None:
    """Empty the state of an earlier demo; refuse a directory that is not a demo's."""
    if state_dir.exists() and any(state_dir.iterdir()):
        if not (state_dir / MARKER).exists():
            raise OperatingError(f"{state_dir} is not empty and not a demo's: choose another --state-dir")
        shutil.rmtree(state_dir)
    state_dir.mkdir(parents=True, exist_ok=True)
    (state_dir / MARKER).touch()


def _elapsed_s(started_ns: int) -> float:
    return (clock.monotonic_ns() - started_ns) / 1e9


async def _trade(
    host: DemoHost,
    stopping: asyncio.Event,
    show: Callable[[Progress], None],
    started_ns: int,
) -> dict[str, Any]:
    """Let the system trade until the time is up, the session is over or somebody asks to stop."""
    trading_ns = clock.monotonic_ns()
    duration_s = host.options.duration_s
    venue: dict[str, Any] = {}
    while not stopping.is_set():
        venue = await host.venue_status() or venue
        traded_s = _elapsed_s(trading_ns)
        fraction = traded_s / duration_s if duration_s is not None else venue.get("progress")
        elapsed_s = _elapsed_s(started_ns)
        show(Progress(host=host, phase="trading", elapsed_s=elapsed_s, fraction=fraction, venue=venue))
        if duration_s is not None and traded_s >= duration_s:
            break
        if host.options.session is not None and venue.get("is_done"):
            break
        try:
            await asyncio.wait_for(stopping.wait(), REFRESH_INTERVAL_S)
        except TimeoutError:
            continue
    return venue


def _samples(host: DemoHost, service: str) -> list[Sample]:
    """Return the metrics of a service; none when it does not answer."""
    port = host.settings.services.of(service).metrics_port
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return []
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _gauge(host: DemoHost, service: str, name: str) -> float:
    return next((sample.value for sample in _samples(host, service) if sample.name == name), 0.0)


def _risk_check_ns(host: DemoHost) -> dict[str, int]:
    """Return p50, p99 and count of the risk check, ns, as the risk-manager measured it."""
    samples = _samples(host, "risk-manager")
    quantiles_s = {
        sample.labels["quantile"]: sample.value for sample in samples if sample.name == "holdfast_risk_check_seconds"
    }
    count = sum(sample.value for sample in samples if sample.name == "holdfast_risk_decisions_total")
    return {
        "p50": round(quantiles_s.get("0.5", 0) * 1e9),
        "p99": round(quantiles_s.get("0.99", 0) * 1e9),
        "n": int(count),
    }
