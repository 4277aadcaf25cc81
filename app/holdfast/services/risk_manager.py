"""risk-manager: the only service that approves orders; the loop itself is native and runs without the GIL.

This file opens what the loop needs, lends it a thread, and tells its counters to Prometheus and the log.
"""

import asyncio
from collections.abc import Sequence

import structlog

from holdfast import clock, metrics
from holdfast._native import JournalReader, Reason, RiskLoop, TradingStateCode
from holdfast.journals import open_reader, open_writer
from holdfast.service import Frame
from holdfast.settings.risk_limits import RiskSettings, load_risk_limits

REPORT_INTERVAL_S = 1.0
LOOK_S = 0.02
# When both are stopped: execution-engine begins to cancel its entries so soon, and ends so late.
CANCELS_BEGIN_WITHIN_S = 0.5
OUTLAST_S_MAX = 7.0
HEARD_WITHIN_NS = 1_000_000_000
QUANTILES = (0.5, 0.99)
INPUTS = ("market_data", "signals", "executions", "control")

log = structlog.get_logger()


class Report:
    """Carries the loop's counters to Prometheus and says in the log what an operator should know."""

    def __init__(self, loop: RiskLoop, warn_at_percent: int) -> None:
        self._loop = loop
        self._warn_at_percent = warn_at_percent
        self._approved = 0
        self._denied: dict[Reason, int] = {}
        self._trips = 0
        self._state: tuple[TradingStateCode, Reason] | None = None
        self._near: frozenset[Reason] = frozenset()
        self._limits: dict[str, int] = {}

    def update(self) -> None:
        """Read everything once."""
        self._count_decisions()
        self._tell_state()
        self._tell_limits()
        self._warn()
        buckets, sum_ns = self._loop.check_ns()
        metrics.RISK_CHECK_SECONDS_SUM.set(sum_ns / 1e9)
        for quantile in QUANTILES:
            metrics.RISK_CHECK_SECONDS.labels(quantile=str(quantile)).set(quantile_ns(buckets, quantile) / 1e9)
        for journal, records in self._loop.lag().items():
            metrics.RISK_LAG.labels(journal=journal).set(records)
        metrics.RISK_TURNED.set(self._loop.turned_ns / 1e9)
        unprotected, unprotected_ns = self._loop.unprotected
        metrics.POSITIONS_UNPROTECTED.set(unprotected)
        metrics.UNPROTECTED_SECONDS.set(unprotected_ns / 1e9)

    def _count_decisions(self) -> None:
        approved, denied, trips = self._loop.approved, dict(self._loop.denied()), self._loop.trips
        metrics.RISK_DECISIONS.labels(verdict="approved", reason="").inc(approved - self._approved)
        for rule, count in denied.items():
            fresh = count - self._denied.get(rule, 0)
            metrics.RISK_DECISIONS.labels(verdict="denied", reason=rule.label).inc(fresh)
        metrics.RISK_TRIPS.inc(trips - self._trips)
        self._approved, self._denied, self._trips = approved, denied, trips

    def _tell_state(self) -> None:
        state, rule = self._loop.trading_state
        if (state, rule) == self._state:
            return
        self._state = (state, rule)
        for code in TradingStateCode.values()[1:]:
            metrics.TRADING_STATE.labels(state=code.label).set(code == state)
        log.warning("trading_state_changed", state=state.label, rule=rule.label)

    def _tell_limits(self) -> None:
        limits = self._loop.limits()
        if limits == self._limits:
            return
        changed = {name: value for name, value in limits.items() if self._limits.get(name) != value}
        for name, value in changed.items():
            if self._limits:
                log.warning("risk_limit_changed", limit=name, before=self._limits[name], now=value)
            label, is_scaled = name.removesuffix("_e9"), name.endswith("_e9")
            metrics.RISK_LIMIT.labels(limit=label).set(value / 1e9 if is_scaled else value)
        self._limits = limits

    def _warn(self) -> None:
        near = set()
        for rule, limit_e9, value_e9 in self._loop.usages():
            metrics.RISK_USAGE.labels(rule=rule.label).set(value_e9 / limit_e9 if limit_e9 else 0)
            if limit_e9 and value_e9 * 100 >= limit_e9 * self._warn_at_percent:
                near.add(rule)
                if rule not in self._near:
                    log.warning("risk_limit_near", rule=rule.label, limit_e9=limit_e9, value_e9=value_e9)
        self._near = frozenset(near)


def quantile_ns(buckets: Sequence[tuple[int, int]], quantile: float) -> int:
    """Return the upper bound of the bucket that a quantile lies in, ns; 0 without counts."""
    rank = quantile * sum(count for _, count in buckets)
    for bound_ns, count in buckets:
        rank -= count
        if rank <= 0:
            return bound_ns
    return 0


async def _start(frame: Frame, risk: RiskSettings) -> RiskLoop:
    settings = frame.settings
    writer = open_writer(settings, "orders")
    own = open_reader(settings, "orders")
    inputs = {name: await asyncio.to_thread(open_reader, settings, name) for name in INPUTS}
    return await asyncio.to_thread(
        RiskLoop,
        risk.limits,
        list(settings.symbols),
        risk.calendar,
        writer=writer,
        own=own,
        latch=settings.state_dir / "latch",
        now_ns=clock.now_ns(),
        is_venue_time=settings.clock.session_time == "venue",
        spin_us=settings.journal.spin_us,
        **inputs,
    )


async def _outlast(loop: RiskLoop, turning: "asyncio.Future[None]", executions: JournalReader) -> None:
    """Go on while execution-engine ends, too: what its canceled entries had filled is to be protected at the venue."""
    begun_s = clock.monotonic_s()
    while not turning.done():
        waited_s = clock.monotonic_s() - begun_s
        is_heard = abs(clock.now_ns() - executions.heartbeat_ns) < HEARD_WITHIN_NS
        if waited_s >= OUTLAST_S_MAX or not is_heard or not _is_awaited(loop, is_new=waited_s < CANCELS_BEGIN_WITHIN_S):
            return
        await asyncio.sleep(LOOK_S)


def _is_awaited(loop: RiskLoop, *, is_new: bool) -> bool:
    """Whether a protective stop is to be placed, or will be once an entry has ended."""
    if loop.trading_state[0] is TradingStateCode.HALTED:
        return False
    (unprotected, _), (entries, canceling) = loop.unprotected, loop.entries_open
    return bool(unprotected or canceling or (entries and is_new))


async def run(frame: Frame) -> None:
    """Run the service until the frame asks it to stop.

    Raises: JournalError when a journal cannot be read or written; from then on nothing is approved.
    """
    started_ns = clock.monotonic_ns()
    risk = load_risk_limits(frame.settings)
    loop = await _start(frame, risk)
    report = Report(loop, risk.warn_at_percent)
    executions = open_reader(frame.settings, "executions", from_seq=0)
    log.info("risk_state_rebuilt", limits_hash=risk.hash, duration_ms=(clock.monotonic_ns() - started_ns) // 1_000_000)
    turning = asyncio.ensure_future(frame.host.run_loop(loop, frame.settings, INPUTS[1:]))
    stopping = asyncio.ensure_future(frame.stopping.wait())
    frame.ready()
    try:
        while not (turning.done() or stopping.done()):
            report.update()
            await asyncio.wait({turning, stopping}, timeout=REPORT_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
        await _outlast(loop, turning, executions)
    finally:
        loop.stop()
        stopping.cancel()
        await turning
    report.update()
