"""The course of a campaign: runs side by side, each of them trade under faults, heal, settle, judge."""

import asyncio
import json
import shutil
import signal
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import psycopg

from holdfast import clock, crash_points
from holdfast._native import Bar, Quote, Trade
from holdfast.campaign.host import STARTED, RunHost, Shared
from holdfast.campaign.plan import Plan, plan_of
from holdfast.campaign.template import Template
from holdfast.demo.rest import count_rows, eventually, fills_journaled, holds, orders_at_rest, recorder_caught_up
from holdfast.demo.supervisor import become_subreaper
from holdfast.errors import OperatingError
from holdfast.invariants import (
    Ending,
    Evidence,
    Finder,
    StoredJournals,
    Violation,
    cancels,
    check,
    journals,
    market,
    orders,
)
from holdfast.invariants.evidence import StoredJournal
from holdfast.journals import open_reader
from holdfast.settings.risk_limits import load_risk_limits
from holdfast.store.embedded import EmbeddedPostgres
from holdfast.venues.simulated.ledger import Ledger
from holdfast.venues.simulated.tls import ensure_certificate

SETTLE_TIMEOUT_S = 60.0
POINT_TIMEOUT_S = 8.0
# Of a condition whose time the one before has used up: it is judged by itself.
LAST_CHANCE_S = 2.0
CONVERGES = 20
# What becomes true only after a while, in the order in which it is waited for.
CONVERGING: tuple[Finder, ...] = (
    journals.every_intent_decided_once,
    cancels.every_cancel_reaches_the_venue,
    market.every_gap_repaired,
    orders.every_order_ends_as_at_the_venue,
)
VIOLATIONS_SHOWN_MAX = 100
CONNECTIONS_PER_RUN_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignOptions:
    """What the operator asked for. `state_dir` keeps what failed."""

    runs: int
    seed: int
    state_dir: Path
    duration_s: float = 4.0
    parallel: int = 4


@dataclass(slots=True, kw_only=True)
class RunResult:
    """What became of one run."""

    plan: Plan
    orders: int = 0
    fills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    is_point_hit: bool = False
    settle_s: float = 0.0
    duration_s: float = 0.0
    violations: list[Violation] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """The campaign so far."""

    results: list[RunResult] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Return the campaign as one object; shape: the keys that the README names."""
        faults: Counter[str] = Counter()
        for result in self.results:
            faults.update(result.faults)
        hits = Counter(result.plan.point for result in self.results if result.is_point_hit)
        violations = [
            {"invariant": each.invariant, "seed": result.plan.seed, "detail": f"{each.name}: {each.detail}"}
            for result in self.results
            for each in result.violations
        ]
        return {
            "runs": len(self.results),
            "orders": sum(result.orders for result in self.results),
            "fills": sum(result.fills for result in self.results),
            "faults": dict(sorted(faults.items())),
            "crash_points": {point: hits[point] for point in crash_points.POINTS},
            "violations": violations[:VIOLATIONS_SHOWN_MAX],
            "ok": not violations,
        }


async def run_campaign(options: CampaignOptions, tally: Tally, show: Callable[[RunResult, int], None]) -> None:
    """Run the campaign into `tally`; `show` is called after each run with how many are done.

    Raises: CancelledError on SIGINT or SIGTERM, when everything that it started has ended; what was judged until then
    stays in the tally.
    """
    become_subreaper()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    options.state_dir.mkdir(parents=True, exist_ok=True)
    tls_dir = options.state_dir / "tls"
    ensure_certificate(tls_dir, "127.0.0.1")
    postgres = EmbeddedPostgres(is_durable=False, connections_max=CONNECTIONS_PER_RUN_MAX * options.parallel)
    shared = Shared(postgres=postgres, template=Template(), tls_dir=tls_dir)
    await asyncio.to_thread(shared.postgres.start)
    seeds = iter(range(options.seed, options.seed + options.runs))

    async def work() -> None:
        worker = asyncio.current_task()
        assert worker is not None
        for seed in seeds:
            # A cancellation that meets the end of what was being awaited is lost, but counted.
            if worker.cancelling():
                raise asyncio.CancelledError
            plan = plan_of(seed, duration_s=options.duration_s)
            result = await _run(plan, options.state_dir / f"seed-{seed}", shared)
            tally.results.append(result)
            show(result, len(tally.results))

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(options.parallel, options.runs)):
                tasks.create_task(work())
    finally:
        await asyncio.to_thread(shared.postgres.remove)
        shared.template.close()


async def _run(plan: Plan, state_dir: Path, shared: Shared) -> RunResult:
    """Make one run; what it leaves behind is kept only if it failed."""
    started_s = clock.monotonic_s()
    await asyncio.to_thread(_empty, state_dir)
    result = RunResult(plan=plan)
    host = RunHost(state_dir, plan, shared)
    ending = Ending()
    try:
        await host.start()
        await _trade(host)
        await host.heal()
        result.violations += await _settle(host, result)
        ending = await _ending(host)
    except (OperatingError, psycopg.Error) as error:
        result.violations.append(Violation(CONVERGES, "host_runs", f"{type(error).__name__}: {error}"))
    finally:
        await host.stop()
    if host.is_started:
        await asyncio.to_thread(_judge, host, result, ending)
    result.duration_s = clock.monotonic_s() - started_s
    if result.violations:
        _keep(state_dir, result)
    else:
        await asyncio.to_thread(shutil.rmtree, state_dir)
    return result


def _empty(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)


async def _trade(host: RunHost) -> None:
    """Trade under faults, a while longer if the crash point was not reached yet."""
    await host.operate("faults", host.plan.script.to_toml())
    host.disturb()
    await asyncio.sleep(host.plan.duration_s)
    await eventually(host.marker.exists, POINT_TIMEOUT_S)


async def _settle(host: RunHost, result: RunResult) -> list[Violation]:
    """Wait until everything works again, then bring it to rest; what does not converge is a violation."""
    healed_s = clock.monotonic_s()
    healed_seq = await asyncio.to_thread(_market_head, host)

    def left_s() -> float:
        return max(SETTLE_TIMEOUT_S - (clock.monotonic_s() - healed_s), LAST_CHANCE_S)

    try:
        await host.supervisor.wait_ready(list(STARTED), left_s())
    except OperatingError as error:
        return [_unsettled(f"a service did not come back: {error}")]
    found = []
    if not await eventually(lambda: _is_gate_open(host), left_s()):
        found.append(_unsettled("execution-engine: the gate for entries did not open again"))
    # A stream that a fault froze is silent and not known to be: its gap is yet to come.
    if not await eventually(lambda: _is_market_live(host, healed_seq), left_s()):
        found.append(_unsettled("market-data: nothing came by the stream"))
    await host.supervisor.stop("signal-bridge")
    found += [
        _unsettled(f"{checker.__name__} does not hold")
        for checker in CONVERGING
        if not await eventually(partial(holds, host, checker), left_s())
    ]
    if not await orders_at_rest(host, left_s()):
        found.append(_unsettled("orders or approvals without a proven outcome"))
    if not await fills_journaled(host, left_s()):
        found.append(_unsettled("fills of the venue that are not journaled"))
    await host.supervisor.stop("execution-engine")
    if not await recorder_caught_up(host, left_s()):
        found.append(_unsettled("recorder: not every record is in PostgreSQL"))
    result.settle_s = clock.monotonic_s() - healed_s
    return found


async def _ending(host: RunHost) -> Ending:
    """Ask for what only the running host can answer."""
    rows = await asyncio.to_thread(count_rows, host.dsn)
    bad_start = await host.start_badly()
    secrets_found = await asyncio.to_thread(host.search_secrets)
    return Ending(rows=rows, bad_start=bad_start, secrets_found=tuple(secrets_found))


def _unsettled(detail: str) -> Violation:
    return Violation(CONVERGES, "any_crash_converges", f"{detail} ({SETTLE_TIMEOUT_S:.0f} s after healing)")


def _market_head(host: RunHost) -> int:
    with open_reader(host.settings, "market_data", wait_s=0) as reader:
        return reader.last_seq


def _is_market_live(host: RunHost, since_seq: int) -> bool:
    """Whether a market event came by the stream since a record; what history filled in has no origin."""
    records = StoredJournal(host.settings, "market_data", from_seq=since_seq + 1)
    return any(isinstance(record, Quote | Trade | Bar) and record.origin_ns for record in records)


def _is_gate_open(host: RunHost) -> bool:
    port = host.settings.services.of("execution-engine").metrics_port
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return any(line == b"holdfast_gate_open 1.0" for line in answer.read().splitlines())
    except OSError:
        return False


def _judge(host: RunHost, result: RunResult, ending: Ending) -> None:
    ledger = Ledger.read(host.ledger_file)
    result.orders, result.fills = len(ledger.orders()), len(ledger.fills())
    result.faults = Counter(str(line["fault"]) for line in ledger.of_kind("fault")) + host.faults
    result.is_point_hit = host.is_point_hit
    evidence = Evidence(
        ledger=ledger,
        journals=StoredJournals(host.settings),
        limits=load_risk_limits(host.settings).limits,
        closures=tuple(host.closures),
        ending=ending,
    )
    result.violations += check(evidence)


def _keep(state_dir: Path, result: RunResult) -> None:
    """Leave beside logs, journals and ledger what the run was, and how to make it again."""
    plan = result.plan
    (state_dir / "faults.toml").write_text(plan.script.to_toml())
    facts = {
        "seed": plan.seed,
        "replay": f"holdfast campaign --runs 1 --seed {plan.seed} --duration {plan.duration_s:g}",
        "crash_point": f"{plan.point}:{plan.skip}:{'STOP' if plan.is_stop else 'KILL'}",
        "is_point_hit": result.is_point_hit,
        "strikes": [asdict(strike) for strike in plan.strikes],
        "outage": asdict(plan.outage) if plan.outage is not None else None,
        "violations": [asdict(violation) for violation in result.violations],
    }
    (state_dir / "failure.json").write_text(json.dumps(facts, indent=2))
