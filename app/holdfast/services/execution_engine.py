"""execution-engine: gives approved decisions to the venue and journals what becomes of them in `executions`.

One event loop. A decision is judged, journaled and written to the socket inside the callback that reads it from
`orders`, so no task switch stands between approval and wire. The venue is the truth: at the start, after each
interruption of the order stream and all the time in between it is compared with the journal.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from holdfast import clock, crash_points, metrics
from holdfast._native import (
    Consumed,
    Decision,
    JournalMissing,
    JournalReader,
    Order,
    OrderEventKind,
    Reason,
    TradingState,
    TradingStateCode,
)
from holdfast.errors import BadInput, RetryLater
from holdfast.execution.access import credentials, trading_origin
from holdfast.execution.ending import answered, protected, symbols_opened
from holdfast.execution.fence import Fence, open_fence
from holdfast.execution.figures import Figures
from holdfast.execution.gate import NEEDED_JOURNALS, Gate
from holdfast.execution.ledger import Ledger
from holdfast.execution.rate_budget import RateBudget
from holdfast.execution.reconcile import Findings, Reconciler
from holdfast.execution.sender import Sender, is_entry, is_queued
from holdfast.execution.session import disagreement
from holdfast.execution.shortability import INTERVAL_S as SHORTABILITY_INTERVAL_S
from holdfast.execution.shortability import shortability
from holdfast.journals import build_hash, journal_directory, open_halts, open_latch, open_reader, open_writer
from holdfast.logs import get_logger
from holdfast.service import Frame, Host
from holdfast.settings import Settings
from holdfast.settings.risk_limits import is_short_allowed
from holdfast.settings.sessions import load_sessions
from holdfast.venues.alpaca.connection import Connection, tls_context
from holdfast.venues.alpaca.order_messages import OrderUpdate
from holdfast.venues.alpaca.order_stream import OrderStream
from holdfast.venues.alpaca.trading import TradingGateway, VenueClock

CLIENT = "holdfast-execution-engine"
BEAT_INTERVAL_S = 0.1
CONSUMED_INTERVAL_S = 1.0
LEASE_INTERVAL_S = 2.0
ACCOUNT_INTERVAL_S = 10.0
CLOCK_INTERVAL_S = 10.0
AFTER_FILL_S = 1.0
RETRY_S = 0.25
RECONCILE_STALE_INTERVALS = 3
STOP_CANCELS_S = 3.0
STOP_CLOCK_S = 2.0
QUEUED_INTERVAL_S = 2.0
READ_BATCH = 64
STATE_SEARCH_RECORDS = 4096
DEFERRED_UPDATES_MAX = 10_000
SETTLED_KINDS = {
    "order_cancel_rejected": OrderEventKind.CANCEL_REJECTED,
    "order_replace_rejected": OrderEventKind.REPLACE_REJECTED,
}

log = get_logger()


@dataclass(slots=True)
class BudgetPace:
    """Lets queries leave as the rate budget allows."""

    budget: RateBudget

    async def permit(self) -> None:
        """Return when a query may leave."""
        while not self.budget.take_query(clock.monotonic_s()):  # noqa: ASYNC110 - time itself is awaited
            await asyncio.sleep(RETRY_S)

    def refused(self, retry_after_s: float) -> None:
        """The venue refused a query for the rate of requests."""
        self.budget.pause(now_s=clock.monotonic_s(), duration_s=retry_after_s)


@dataclass(slots=True)
class Schedule:
    """When each periodic comparison is due, monotonic seconds."""

    in_flight_s: float = 0.0
    open_orders_s: float = 0.0
    positions_s: float = 0.0
    account_s: float = 0.0
    clock_s: float = 0.0
    queued_s: float = 0.0
    shortability_s: float = 0.0
    consumed_s: float = 0.0
    lease_s: float = 0.0


@dataclass(slots=True)
class Engine:
    """The service's parts, and the loops that drive them."""

    settings: Settings
    ledger: Ledger
    gate: Gate
    fence: Fence
    gateway: TradingGateway
    stream: OrderStream
    budget: RateBudget
    sender: Sender
    reconciler: Reconciler
    on_ready: Callable[[], None]
    host: Host
    shorted: tuple[str, ...] = ()
    due: Schedule = field(default_factory=Schedule)
    figures: Figures = field(default_factory=Figures)
    orders: JournalReader | None = None
    _is_started: asyncio.Event = field(default_factory=asyncio.Event)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _deferred: list[OrderUpdate] = field(default_factory=list)
    _fills_seen: int = 0
    _consumed: int = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until asked to stop; then cancel the entry orders, since nobody would watch them, and what is queued.

        What they had filled gets its protective stops before the end, if risk-manager is there to place them; then
        nothing leaves any more, and what has left is answered.

        Raises: whatever breaks the state; the process must end then.
        """
        works = (self.fence.keep(), self.stream.run(self), self._beat(), self._reconcile())
        loops = [self.sender.tasks.create_task(work) for work in works]
        following = self.sender.tasks.create_task(self._follow())
        await stopping.wait()
        self.gate.is_stopping = True
        opened = symbols_opened(self.ledger, clock.now_ns())
        await self._cancel_at_stop()
        await protected(self.ledger, self.gate, opened)
        following.cancel()
        await answered(self.ledger)
        self._write_consumed()
        self.stream.close()
        for loop in loops:
            loop.cancel()
        self.sender.stop()

    def on_update(self, update: OrderUpdate) -> None:
        """Journal one event of the order stream."""
        order = update.order
        if self._is_perhaps_a_leg(update):
            # The answer that names the legs of a bracket may arrive after their first update.
            self._deferred.append(update)
            return
        kind = SETTLED_KINDS.get(update.event, OrderEventKind.UPDATED)
        crash_points.before("order_update")
        is_news = self.ledger.venue_order(order, kind, is_always_news=kind is not OrderEventKind.UPDATED)
        crash_points.after("order_update")
        if is_news:
            self.figures.updated(update)
        if update.fill is None:
            return
        crash_points.before("fill")
        if self.ledger.fill(update.fill, is_recovered=False):
            metrics.FILLS.labels(source="stream").inc()
            self.figures.filled(order.client_order_id, update.fill)
        crash_points.after("fill")

    def on_listening(self) -> None:
        """Compare with the venue now: what happened while nobody listened is known to REST only."""
        self._wake.set()

    def _is_perhaps_a_leg(self, update: OrderUpdate) -> bool:
        order = update.order
        return (
            self.sender.bracket_answers_awaited > 0
            and not order.is_own
            and not self.ledger.client_order_id(order.venue_order_id)
            and len(self._deferred) < DEFERRED_UPDATES_MAX
        )

    async def _beat(self) -> None:
        """Ten times a second: heartbeat, kill latch, facts of the gate, figures."""
        while True:
            self.ledger.writer.heartbeat(clock.now_ns())
            self.gate.look()
            self._watch_halt()
            self.sender.write_withheld()
            if self._deferred and not self.sender.bracket_answers_awaited:
                deferred, self._deferred = self._deferred, []
                for update in deferred:
                    self.on_update(update)
            if self.ledger.fills_count != self._fills_seen:
                self._fills_seen = self.ledger.fills_count
                self.due.account_s = min(self.due.account_s, clock.monotonic_s() + AFTER_FILL_S)
            now_s = clock.monotonic_s()
            if now_s > self.due.open_orders_s + self._stale_after_s():
                self.gate.is_reconcile_fresh = False
            if now_s >= self.due.consumed_s:
                self.due.consumed_s = now_s + CONSUMED_INTERVAL_S
                self._write_consumed()
                self._show()
            if now_s >= self.due.lease_s:
                self.due.lease_s = now_s + LEASE_INTERVAL_S
                self.fence.lease().write(self.settings)
            self._wake.set()
            await asyncio.sleep(BEAT_INTERVAL_S)

    def _stale_after_s(self) -> float:
        return RECONCILE_STALE_INTERVALS * self.settings.services.execution_engine.open_orders_interval_s

    def _watch_halt(self) -> None:
        latch = self.gate.latch
        is_halted = latch.is_set or not latch.is_linked or self.gate.state is TradingStateCode.HALTED
        is_halted |= self.fence.is_winding_down or self.gate.is_stopping
        if is_halted and not self.sender.is_halted:
            facts = {"state": self.gate.state.label, "lease_left_s": round(self.fence.left_s, 1)}
            log.warning("entries_halted", is_latch_set=latch.is_set, **facts)
            self.sender.halt()
        elif not is_halted and self.sender.is_halted:
            log.info("entries_resumed")
            self.sender.resume()

    def _show(self) -> None:
        metrics.ORDER_STREAM_LIVE.set(self.stream.is_live)
        metrics.ORDER_STREAM_DROPPED.set(self.stream.dropped)
        metrics.RATE_BUDGET_LEFT.set(self.budget.left(clock.monotonic_s()))
        metrics.RECORDS_LOST.set(self.ledger.records_lost)
        metrics.LEASE_LEFT_SECONDS.set(self.fence.left_s)
        metrics.LEASE_HELD.set(self.fence.edge.is_open)
        is_open = self.gate.closed_by_operator() is None and self.stream.is_live
        metrics.GATE_OPEN.set(is_open and self.gate.reconciled_session == self.stream.session)
        self.figures.show(self.ledger, self.gate)

    async def _follow(self) -> None:
        """Open the journals of the others as they appear, then act on each decision as it is written."""
        for name in NEEDED_JOURNALS:
            reader = await self._open(name)
            self.gate.pages[name] = reader
            if name == "market_data":
                self.gate.halts = open_halts(self.settings)
            if name == "orders":
                self.orders = reader
        orders = self.orders
        assert orders is not None
        await self._is_started.wait()
        self._resume_orders(orders)
        self.gate.look()
        await self.host.follow(orders, lambda: self._take_orders(orders))

    async def _open(self, name: str) -> JournalReader:
        while True:
            try:
                return open_reader(self.settings, name, from_seq=0, wait_s=0)
            except JournalMissing:
                await asyncio.sleep(BEAT_INTERVAL_S)

    def _resume_orders(self, orders: JournalReader) -> None:
        """Restore the trading state and what is known of open orders' decisions; continue where we stopped."""
        for order in self.ledger.orders.open_orders():
            if orders.first_seq <= order.decision_seq <= orders.last_seq:
                orders.seek(order.decision_seq)
                record = orders.read_one()
                if isinstance(record, Decision) and record.client_order_id == order.client_order_id:
                    self.ledger.orders.apply(record)
        start = min(self.ledger.consumed_orders_seq, orders.last_seq) + 1
        state = _last_trading_state(orders, before_seq=start)
        if state is not None:
            self._set_state(state)
        orders.seek(max(start, orders.first_seq))
        for order in self.ledger.orders.open_orders():
            # Its decision was acted on, so nobody asks again: a crash may have come before the request or its answer.
            if order.is_cancel_requested:
                self.sender.cancel(order.client_order_id)

    def _take_orders(self, orders: JournalReader) -> None:
        while records := orders.read(READ_BATCH):
            for record in records:
                if isinstance(record, Decision):
                    self.sender.accept(record)
                    self.figures.decided(record)
                elif isinstance(record, TradingState):
                    self._set_state(record)

    def _set_state(self, state: TradingState) -> None:
        self.gate.state = state.state
        self.gate.limits_hash = state.limits_hash
        self.gate.latched_seq = state.seq if state.rule is Reason.KILL_LATCH else 0
        self._watch_halt()

    def _write_consumed(self) -> None:
        """Remember how far `orders` was acted on: a restart continues there."""
        if self.orders is None or not self.gate.reconciled_session:
            return
        waiting_seq = self.sender.oldest_waiting_seq
        next_seq = self.orders.next_seq
        consumed = (next_seq if waiting_seq is None else min(next_seq, waiting_seq)) - 1
        if consumed > max(self._consumed, self.ledger.consumed_orders_seq):
            self._consumed = consumed
            self.ledger.write(Consumed(orders_seq=consumed))

    async def _reconcile(self) -> None:
        """Compare with the venue when the stream (re)starts and, woken by each beat, at the configured intervals."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._reconcile_due(clock.monotonic_s())
            except (RetryLater, BadInput) as error:
                metrics.RECONCILIATIONS.labels(scope="any", outcome="failed").inc()
                log.warning("reconciliation_failed", detail=str(error))
                await asyncio.sleep(RETRY_S)

    async def _reconcile_due(self, now_s: float) -> None:
        own = self.settings.services.execution_engine
        session = self.stream.session
        if session and session != self.gate.reconciled_session:
            await self._reconcile_session(session)
        if not self.gate.reconciled_session:
            return
        if now_s >= self.due.in_flight_s:
            metrics.ORDERS_UNPROVEN.set(unproven := self.sender.prove_all())
            if unproven or self.ledger.unexplained_fills():
                self._judge("in_flight", await self.reconciler.in_flight())
            self.due.in_flight_s = now_s + own.in_flight_interval_s
        if now_s >= self.due.open_orders_s:
            self._judge("open_orders", await self.reconciler.open_orders())
            self.due.open_orders_s = now_s + own.open_orders_interval_s
            self._note_reconciled()
        if now_s >= self.due.positions_s:
            self._judge("positions", await self.reconciler.positions())
            self.due.positions_s = now_s + own.positions_interval_s
        if now_s >= self.due.account_s:
            self.ledger.write(await self.gateway.account(now_ns=clock.now_ns()))
            self.due.account_s = now_s + ACCOUNT_INTERVAL_S
        if now_s >= self.due.clock_s:
            await self._read_clock()
            self.due.clock_s = now_s + CLOCK_INTERVAL_S
        if self.shorted and now_s >= self.due.shortability_s:
            for symbol in self.shorted:
                self.ledger.write(await shortability(self.gateway, symbol))
            self.due.shortability_s = now_s + SHORTABILITY_INTERVAL_S
        if now_s >= self.due.queued_s and self._queued():
            await self._end_queued()
            self.due.queued_s = now_s + QUEUED_INTERVAL_S

    async def _reconcile_session(self, session: int) -> None:
        own = self.settings.services.execution_engine
        started_s = clock.monotonic_s()
        is_start = not self.gate.reconciled_session
        if is_start:
            found = await self.reconciler.start_up()
            await self._read_clock()
        else:
            found = await self.reconciler.open_orders(is_after_silence=True)
        self._judge("start_up" if is_start else "open_orders", found, is_expected=True)
        now_s = clock.monotonic_s()
        self.due.open_orders_s = now_s + own.open_orders_interval_s
        if is_start:
            self.due.positions_s = now_s + own.positions_interval_s
            self.due.account_s = now_s + ACCOUNT_INTERVAL_S
            self.due.clock_s = now_s + CLOCK_INTERVAL_S
        self._note_reconciled()
        self.gate.reconciled_session = session
        metrics.ORDERS_UNPROVEN.set(self.sender.prove_all())
        log.info("reconciled", session=session, is_start=is_start, duration_ms=int((now_s - started_s) * 1000))
        if is_start:
            self._is_started.set()
            self.on_ready()

    def _note_reconciled(self) -> None:
        self.gate.is_reconcile_fresh = True
        metrics.RECONCILED_TIME.set(clock.now_ns() / 1e9)

    def _judge(self, scope: str, found: Findings, *, is_expected: bool = False) -> None:
        """Count the result; a fill that the stream lost while it looked healthy makes it suspect: open it again."""
        is_different = bool(found.fills_recovered or found.orders_adopted or found.positions_mismatched)
        metrics.RECONCILIATIONS.labels(scope=scope, outcome="differed" if is_different else "matched").inc()
        if found.fills_recovered:
            metrics.FILLS.labels(source="recovered").inc(found.fills_recovered)
            if not is_expected:
                log.error("order_stream_lost_fills", count=found.fills_recovered)
                self.stream.restart()

    async def _read_clock(self) -> None:
        """Take the venue's word on its session; a simulated session's time is the risk gate's alone to judge."""
        if self._is_venue_time:
            self.gate.is_venue_open = True
            self.gate.clock_health.agree(wall_ns=clock.now_ns(), steady_ns=clock.monotonic_ns())
            return
        asked_ns = clock.monotonic_ns()
        venue = await self.gateway.clock()
        steady_ns = clock.monotonic_ns()
        self.gate.clock_health.agree(
            wall_ns=clock.now_ns(), steady_ns=steady_ns, venue_ns=venue.ts_event_ns, took_ns=steady_ns - asked_ns
        )
        self._compare_sessions(venue)
        self.gate.is_venue_open = venue.is_open
        self.gate.venue_close_ns = venue.next_close_ns if venue.is_open else 0
        self.gate.venue_open_ns = 0 if venue.is_open else venue.next_open_ns

    def _compare_sessions(self, venue: VenueClock) -> None:
        trouble = disagreement(venue, load_sessions())
        metrics.SESSION_DISAGREEMENT.set(bool(trouble))
        if trouble and trouble != self.gate.session_trouble:
            log.error("session_disagreement", detail=trouble)
        self.gate.session_trouble = trouble

    @property
    def _is_venue_time(self) -> bool:
        return self.settings.clock.session_time == "venue"

    async def _end_queued(self) -> None:
        """Cancel what was meant for a session that is over and would carry over into the next one.

        Raises: RetryLater, BadInput.
        """
        if not (self._is_venue_time or self.gate.is_session_over(clock.now_ns())) or not self._queued():
            return
        if (await self.gateway.clock()).is_open:
            return
        for order in self._queued():
            log.warning("queued_order_canceled", client_order_id=order.client_order_id, symbol=order.symbol)
            self.sender.cancel(order.client_order_id)

    def _queued(self) -> list[Order]:
        return [order for order in self.ledger.orders.open_orders() if is_queued(order)]

    async def _cancel_at_stop(self) -> None:
        """Cancel the open entry orders and those queued for the next session, and wait a moment for their end."""
        self.sender.halt()
        try:
            async with asyncio.timeout(STOP_CLOCK_S):
                await self._end_queued()
        except (RetryLater, BadInput, TimeoutError) as error:
            log.warning("queued_orders_not_judged", detail=str(error))
        deadline_s = clock.monotonic_s() + STOP_CANCELS_S
        while clock.monotonic_s() < deadline_s:
            left = [order for order in self.ledger.orders.open_orders() if is_entry(order) or self.sender.ends(order)]
            if not left:
                return
            await asyncio.sleep(BEAT_INTERVAL_S / 5)
        log.warning("stopped_with_open_orders", count=len(left))


def _last_trading_state(orders: JournalReader, *, before_seq: int) -> TradingState | None:
    """Find the latest TradingState before a record, searching backwards in growing steps."""
    end, size = before_seq, STATE_SEARCH_RECORDS
    while end > orders.first_seq:
        start = max(end - size, orders.first_seq)
        orders.seek(start)
        found: TradingState | None = None
        while orders.next_seq < end:
            for record in orders.read(min(READ_BATCH, end - orders.next_seq)):
                if isinstance(record, TradingState):
                    found = record
        if found is not None:
            return found
        end, size = start, size * 4
    return None


async def _acquire(fence: Fence, frame: Frame, ledger: Ledger) -> bool:
    """Wait for the right to send; False when asked to stop before it came."""
    said = ""

    def on_waiting(detail: str) -> None:
        nonlocal said
        ledger.writer.heartbeat(clock.now_ns())
        fence.lease(detail).write(frame.settings)
        if detail != said:
            said = detail
            log.info("standing_by", detail=detail)
            frame.stand_by(detail)

    acquiring = asyncio.ensure_future(fence.acquire(on_waiting))
    stopping = asyncio.ensure_future(frame.stopping.wait())
    try:
        await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not acquiring.done():
            return False
        acquiring.result()
    finally:
        acquiring.cancel()
        stopping.cancel()
    log.info("lease_acquired", account=fence.account, token=fence.token, left_s=round(fence.left_s, 1))
    return True


def sole_strategies(settings: Settings) -> dict[str, str]:
    """Return by symbol the strategy that trades it, for symbols that one alone trades."""
    names: dict[str, list[str]] = {}
    for strategy in settings.strategies:
        for symbol in strategy.symbols:
            names.setdefault(symbol, []).append(strategy.name)
    return {symbol: found[0] for symbol, found in names.items() if len(found) == 1}


async def run(frame: Frame) -> None:
    """Run the service. Raises: ConfigError without keys, JournalError when a journal cannot be used."""
    settings = frame.settings
    key, secret = credentials(settings)
    writer = open_writer(settings, "executions")
    ledger = Ledger(writer, sole_strategies(settings))
    with open_reader(settings, "executions", from_seq=0, wait_s=0) as reader:
        count = ledger.rebuild(reader)
    log.info("journal_read_back", records=count, orders=len(ledger.orders), fills=ledger.fills_count)
    context = tls_context(settings.venue.ca_file)
    budget = RateBudget(
        requests_per_minute=settings.venue.requests_per_minute,
        entries_per_minute=settings.venue.entries_per_minute,
    )
    async with AsyncExitStack() as stack:
        stack.callback(writer.close)
        fence = open_fence(settings, frame.host, journal_directory(settings, "executions"), epoch=writer.epoch)
        stack.push_async_callback(fence.release)
        if not await _acquire(fence, frame, ledger):
            return
        origin = trading_origin(settings, client=f"{CLIENT}/{fence.token}")
        warm = partial(Connection, origin, context, edge=fence.edge)
        lines = settings.services.execution_engine.connections
        gateway = TradingGateway(
            entries=await stack.enter_async_context(warm(lines=lines)),
            cancels=await stack.enter_async_context(warm(lines=2)),
            queries=await stack.enter_async_context(warm(lines=2)),
            pace=BudgetPace(budget),
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        stream = OrderStream(
            settings.venue.trading_stream_url, key=key, secret=secret, context=context, edge=fence.edge
        )
        engine = _build(frame, ledger=ledger, fence=fence, gateway=gateway, stream=stream, budget=budget, tasks=tasks)
        await engine.run(frame.stopping)


def _build(
    frame: Frame,
    *,
    ledger: Ledger,
    fence: Fence,
    gateway: TradingGateway,
    stream: OrderStream,
    budget: RateBudget,
    tasks: asyncio.TaskGroup,
) -> Engine:
    settings = frame.settings
    gate = Gate(
        latch=open_latch(settings),
        stream=stream,
        lease=fence,
        build_hash=build_hash(),
        config_hash=settings.config_hash,
    )
    sender = Sender(ledger=ledger, gateway=gateway, gate=gate, budget=budget, tasks=tasks)
    ledger.on_order = sender.on_order
    return Engine(
        settings=settings,
        ledger=ledger,
        gate=gate,
        fence=fence,
        gateway=gateway,
        stream=stream,
        budget=budget,
        sender=sender,
        reconciler=Reconciler(ledger, gateway, is_leg_expected=lambda: sender.bracket_answers_awaited > 0),
        on_ready=frame.ready,
        host=frame.host,
        shorted=_shorted(settings),
    )


def _shorted(settings: Settings) -> tuple[str, ...]:
    """Return the symbols of which a short could be approved: nobody asks the venue about the others."""
    if not is_short_allowed(settings.config_dir):
        return ()
    return tuple(symbol for symbol in settings.symbols if "/" not in symbol)
