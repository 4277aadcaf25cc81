"""Orders on their way: submit, replace and cancel, each answer read for what it proves."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field

from holdfast import clock, crash_points, metrics
from holdfast._native import (
    Decision,
    IntentAction,
    Order,
    OrderClass,
    OrderEventKind,
    OrderStatus,
    Reason,
    Verdict,
    encode_order_request,
    encode_replace_request,
    is_protective,
    submitting_event,
)
from holdfast.errors import BadInput, RetryLater
from holdfast.execution.gate import APPROVAL_AGE_NS_MAX, ENDS_WITH_SESSION, Closed, Gate, flips
from holdfast.execution.ledger import Ledger, origin_of
from holdfast.execution.proof import is_unproven, prove
from holdfast.execution.rate_budget import RateBudget
from holdfast.execution.refused import RefusedOrders
from holdfast.execution.waiting import Waiting
from holdfast.logs import get_logger
from holdfast.venues.alpaca.connection import Line, NotSent, Outcome, Unproven
from holdfast.venues.alpaca.orders import VenueOrder
from holdfast.venues.alpaca.trading import Done, Refusal, TradingGateway, canceled, submitted

ANSWER_TIMEOUT_S = 5.0
CANCEL_TIMEOUT_S = 2.0
CANCEL_ATTEMPTS_MAX = 30
CANCEL_ENDS_WITHIN_S = 5.0
ID_WITHIN_S = 0.1
STOPS_END_WITHIN_S = 60.0
STOP_LOOK_S = 0.25
STOP_ASK_S = 1.0
GATE_ANSWER_AGE_NS_MAX = 1_000_000
NS_PER_S = 1_000_000_000

log = get_logger()


@dataclass(slots=True)
class Sender:
    """Gives approved decisions to the venue, at most once each.

    Invariant: the client order id is journaled before the first byte of its request; a request whose outcome is not
    proven is never sent again.
    """

    ledger: Ledger
    gateway: TradingGateway
    gate: Gate
    budget: RateBudget
    tasks: asyncio.TaskGroup
    is_halted: bool = False
    bracket_answers_awaited: int = 0
    _waiting: dict[str, Waiting] = field(default_factory=dict)
    _refused: RefusedOrders = field(init=False)
    _canceling: dict[str, asyncio.Event] = field(default_factory=dict)
    _proving: set[str] = field(default_factory=set)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _stop_ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Join what the parts share."""
        self._refused = RefusedOrders(self.ledger, self.gateway, self.cancel)

    @property
    def oldest_waiting_seq(self) -> int | None:
        """Number of the oldest decision of which it is not written what became of it; None: there is none."""
        return min((each.decision.seq for each in self._waiting.values() if not each.is_acted_on), default=None)

    def accept(self, decision: Decision) -> None:
        """Act on one decision of the risk gate: denied ones are not for us."""
        if decision.verdict is not Verdict.APPROVED:
            return
        if decision.action is IntentAction.CANCEL:
            self.cancel(decision.target_client_order_id)
        else:
            self._submit(decision)

    def on_order(self, order: Order) -> None:
        """Notice a changed order: ends waiting cancels, and lets no entry stay open while halted."""
        if not order.is_open:
            self._stop_ended.set()
            ended = self._canceling.get(order.client_order_id)
            if ended is not None:
                ended.set()
        elif self.is_halted and order.is_at_venue and is_entry(order):
            self.cancel(order.client_order_id)
        if order.is_overfilled:
            log.error("order_overfilled", client_order_id=order.client_order_id, filled_e9=order.filled_quantity_e9)

    def halt(self) -> None:
        """Cancel every open entry order now, and each that appears until `resume`."""
        self.is_halted = True
        for order in self.ledger.orders.open_orders():
            if is_entry(order):
                self.cancel(order.client_order_id)

    def resume(self) -> None:
        """Let entries stay again."""
        self.is_halted = False

    def stop(self) -> None:
        """Give up what is still being waited for: the next start asks the venue."""
        for task in self._running:
            task.cancel()

    def prove_all(self) -> int:
        """Start asking for every order whose outcome is not proven; returns how many there are."""
        unproven = [
            order.client_order_id
            for order in self.ledger.orders.open_orders()
            if is_unproven(self.ledger, order.client_order_id)
        ]
        for client_order_id in unproven:
            self._prove(client_order_id)
        return len(unproven)

    def cancel(self, client_order_id: str) -> None:
        """Cancel an order until it ended, once; one that still waits to be sent never leaves."""
        if client_order_id in self._canceling:
            return
        waiting = self._waiting.get(client_order_id)
        if waiting is not None:
            if not waiting.is_withdrawn and waiting.unwritten is None:
                waiting.is_withdrawn = True
                self._withhold(waiting.decision, Closed(Reason.INTENT_EXPIRED, "canceled before it was sent"))
            return
        order = self.ledger.orders.get(client_order_id)
        self._refused.want_canceled(client_order_id)
        if order is None or not order.is_open:
            metrics.CANCELS.labels(outcome="too_late").inc()
            if order is not None:
                self.ledger.order_event(order, OrderEventKind.CANCEL_REJECTED, detail="it ended before")
            return
        self._canceling[client_order_id] = asyncio.Event()
        # A full disk must not stop a cancel: the request leaves whether or not this is journaled.
        self.ledger.order_event(order, OrderEventKind.CANCEL_REQUESTED)
        self._spawn(self._cancel_until_ended(client_order_id))

    def ends(self, order: Order) -> bool:
        """Whether a cancel of the order is under way."""
        return order.client_order_id in self._canceling

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self.tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _submit(self, decision: Decision) -> None:
        if self.ledger.is_known(decision.client_order_id) or decision.client_order_id in self._waiting:
            metrics.ORDERS.labels(outcome="repeated").inc()
            return
        closed = self._closed(decision)
        if closed is not None and self._awaits_stops(decision, closed):
            self._spawn(self._submit_after_stops(self._hold(decision)))
            return
        if closed is not None:
            self._withhold(decision, closed)
            return
        line = None if self._refused.doubts(decision) else self.gateway.take_entry_line()
        if line is not None:
            self._send(decision, line)
            return
        self._spawn(self._submit_later(self._hold(decision)))

    def _hold(self, decision: Decision) -> Waiting:
        self._waiting[decision.client_order_id] = waiting = Waiting(decision)
        return waiting

    async def _submit_later(self, waiting: Waiting) -> None:
        """Wait for a line as long as the approval is fresh, then ask the gate again."""
        decision = waiting.decision
        await self._refused.settle(decision)
        left_ns = APPROVAL_AGE_NS_MAX - max(clock.now_ns() - decision.ts_ns, 0)
        line = await self.gateway.entries.acquire(timeout_s=max(left_ns, 0) / NS_PER_S)
        if waiting.is_withdrawn:
            waiting.is_withdrawn = False
            if waiting.is_acted_on:
                del self._waiting[decision.client_order_id]
            if line is not None:
                self.gateway.entries.give_back(line)
            return
        del self._waiting[decision.client_order_id]
        if line is None:
            self._withhold(decision, Closed(Reason.APPROVAL_STALE, "no idle connection"))
            return
        closed = self._closed(decision)
        if closed is None:
            self._send(decision, line)
        else:
            self.gateway.entries.give_back(line)
            self._withhold(decision, closed)

    def _awaits_stops(self, decision: Decision, closed: Closed) -> bool:
        """Whether only protective stops stand in the way of a reduction: risk-manager makes them give way."""
        is_exit = decision.is_reduction and not is_protective(decision.client_order_id)
        if not is_exit or closed.rule is not Reason.FLIP_THROUGH_ZERO:
            return False
        stops = self.ledger.protective(decision.symbol, decision.side)
        return bool(stops) and self._closed(decision, without=stops) is None

    async def _submit_after_stops(self, waiting: Waiting) -> None:
        """Hold an exit until the protective stops in its way are proven to have ended."""
        decision = waiting.decision
        deadline_s = clock.monotonic_s() + STOPS_END_WITHIN_S
        asked_s = clock.monotonic_s()
        while (closed := self._closed(decision)) is not None and not waiting.is_withdrawn:
            if clock.monotonic_s() >= deadline_s or not self._awaits_stops(decision, closed):
                self._withhold(decision, closed)
                return
            self._stop_ended.clear()
            await _wait(self._stop_ended, STOP_LOOK_S)
            if clock.monotonic_s() >= asked_s + STOP_ASK_S:
                asked_s = clock.monotonic_s()
                await self._ask_for_legs(decision)
        await self._submit_later(waiting)

    async def _ask_for_legs(self, decision: Decision) -> None:
        """Ask for the families of stops whose end the stream told in part only."""
        for leg in self.ledger.protective(decision.symbol, decision.side):
            try:
                if leg.parent_order_id and (found := await self.gateway.order(leg.parent_order_id)) is not None:
                    self.ledger.venue_order(found, OrderEventKind.UPDATED)
            except (RetryLater, BadInput) as error:
                log.warning("order_query_failed", client_order_id=leg.client_order_id, detail=str(error))

    def _closed(self, decision: Decision, *, without: Sequence[Order] = ()) -> Closed | None:
        if not decision.is_reduction:
            return self.gate.closed(decision, clock.now_ns())
        late = expired(decision, clock.now_ns())
        if late is not None:
            return late
        target = self.ledger.orders.get(decision.target_client_order_id)
        queued = self.gate.queues(decision, clock.now_ns(), target)
        if queued is None and is_protective(decision.client_order_id):
            queued = self.gate.halted_since(decision)
        if queued is not None:
            return queued
        # A replacement counts beside its target: until the venue replaced that one, both may fill.
        open_e9 = self.ledger.open_quantity_e9(decision.symbol, decision.side)
        open_e9 -= self.ledger.families_e9(without)
        position_e9 = self.ledger.position_e9(decision.symbol)
        return flips(decision, position_e9=position_e9, open_same_side_e9=open_e9)

    def write_withheld(self) -> None:
        """Write what a full disk kept from being written: until then the decision counts as not acted on."""
        for waiting in list(self._waiting.values()):
            closed, waiting.unwritten = waiting.unwritten, None
            if closed is not None:
                self._withhold(waiting.decision, closed)

    def _withhold(self, decision: Decision, closed: Closed) -> None:
        is_written = self.ledger.order_event(
            decision, OrderEventKind.WITHHELD, OrderStatus.WITHHELD, rule=closed.rule, detail=closed.detail
        )
        waiting = self._waiting.get(decision.client_order_id)
        if not is_written:
            (waiting or self._hold(decision)).unwritten = closed
            return
        if waiting is not None and waiting.is_withdrawn:
            waiting.is_acted_on = True
        elif waiting is not None:
            del self._waiting[decision.client_order_id]
        metrics.ORDERS.labels(outcome="withheld").inc()
        log.info(
            "order_withheld",
            client_order_id=decision.client_order_id,
            symbol=decision.symbol,
            rule=closed.rule.label,
            detail=closed.detail,
        )

    def _send(self, decision: Decision, line: Line) -> None:
        """Journal the id, then write the request: nothing may come between the two but the write."""
        target_id = ""
        try:
            if decision.action is IntentAction.REPLACE:
                target_id = self._replaceable(decision.target_client_order_id)
                request = encode_replace_request(decision, target_id, self.gateway.head)
            else:
                request = encode_order_request(decision, self.gateway.head)
        except ValueError as error:
            self.gateway.entries.give_back(line)
            self._withhold(decision, Closed(Reason.INTENT_INVALID, str(error)))
            return
        stamp_ns = clock.now_ns()
        late = expired(decision, stamp_ns) if decision.is_reduction else self.gate.closed_by_age(decision, stamp_ns)
        if late is not None:
            self.gateway.entries.give_back(line)
            self._withhold(decision, late)
            return
        if decision.is_reduction:
            self.budget.count_cancel(clock.monotonic_s())
        elif not self.budget.take_entry(clock.monotonic_s()):
            self.gateway.entries.give_back(line)
            self._withhold(decision, Closed(Reason.RATE_BUDGET, "entries of this minute"))
            return
        origin = origin_of(decision)
        event = submitting_event(decision, stamp_ns, target_id)
        crash_points.before("submission")
        if not self.ledger.append(event, origin=origin, ts_ns=stamp_ns):
            self.gateway.entries.give_back(line)
            metrics.ORDERS.labels(outcome="not_journaled").inc()
            self._withhold(decision, Closed(Reason.ORDER_UNKNOWN, "its id could not be journaled"))
            return
        crash_points.after("submission")
        is_replace = decision.action is IntentAction.REPLACE
        crash_points.before("replace_request" if is_replace else "entry_request")
        late = self._closed_since(decision, stamp_ns)
        if late is not None:
            self.gateway.entries.give_back(line)
            self.ledger.remember(event, ts_ns=stamp_ns, origin_ns=origin.origin_ns)
            self._withhold(decision, late)
            return
        answer = line.send(request, timeout_s=ANSWER_TIMEOUT_S)
        sent_ns = clock.now_ns()
        crash_points.after("replace_request" if is_replace else "entry_request")
        self.ledger.remember(event, ts_ns=stamp_ns, origin_ns=origin.origin_ns)
        self.ledger.orders.apply(decision)
        if decision.origin_ns:
            metrics.TICK_TO_WIRE.observe((sent_ns - decision.origin_ns) / NS_PER_S)
        if decision.action is IntentAction.REPLACE:
            self._note_replace(decision)
        if decision.order_class not in (OrderClass.NONE, OrderClass.SIMPLE):
            self.bracket_answers_awaited += 1
        self._spawn(self._settle(decision, answer, clock.monotonic_ns()))

    def _closed_since(self, decision: Decision, asked_ns: int) -> Closed | None:
        """Ask the gate again if its answer is old: a freeze or a slow disk may have come between it and the write."""
        now_ns = clock.now_ns()
        if abs(now_ns - asked_ns) <= GATE_ANSWER_AGE_NS_MAX:
            return None
        return expired(decision, now_ns) if decision.is_reduction else self.gate.closed(decision, now_ns)

    def _replaceable(self, client_order_id: str) -> str:
        order = self.ledger.orders.get(client_order_id)
        if order is None or not order.is_open or not order.venue_order_id:
            raise ValueError(f"target: expected an open order of the venue, found {order}")
        return order.venue_order_id

    def _note_replace(self, decision: Decision) -> None:
        target = self.ledger.orders.get(decision.target_client_order_id)
        if target is not None:
            detail = f"by {decision.client_order_id}"
            self.ledger.order_event(target, OrderEventKind.REPLACE_REQUESTED, detail=detail)

    async def _settle(self, decision: Decision, answer: asyncio.Future[Outcome], sent_monotonic_ns: int) -> None:
        outcome = await answer
        if decision.order_class not in (OrderClass.NONE, OrderClass.SIMPLE):
            self.bracket_answers_awaited -= 1
        latency_ns = clock.monotonic_ns() - sent_monotonic_ns
        result = submitted(outcome, now_s=clock.now_ns() / NS_PER_S)
        if isinstance(result, VenueOrder):
            metrics.ORDER_LATENCY.observe(latency_ns / NS_PER_S)
        step = "replace_answer" if decision.action is IntentAction.REPLACE else "entry_answer"
        crash_points.before(step)
        word = self._record_answer(decision, result)
        crash_points.after(step)
        metrics.ORDERS.labels(outcome=word).inc()
        log.info(
            "order_answered",
            client_order_id=decision.client_order_id,
            symbol=decision.symbol,
            side=decision.side.label,
            quantity_e9=decision.quantity_e9,
            outcome=word,
            detail="" if isinstance(result, VenueOrder) else str(result),
            latency_us=latency_ns // 1000,
        )

    def _record_answer(self, decision: Decision, result: VenueOrder | Refusal | NotSent | Unproven) -> str:
        client_order_id = decision.client_order_id
        match result:
            case VenueOrder() if result.client_order_id == client_order_id:
                self.ledger.venue_order(result, OrderEventKind.ACCEPTED, is_always_news=True)
                return "accepted"
            case Refusal() if not result.is_duplicate:
                return self._record_refusal(decision, result)
            case NotSent():
                # Proven never to have left; the approval may be old by now, so the strategy must ask again.
                self.ledger.order_event(
                    decision,
                    OrderEventKind.WITHHELD,
                    OrderStatus.WITHHELD,
                    rule=Reason.STREAM_DOWN,
                    detail=f"not sent: {result.detail}",
                )
                return "withheld"
            case _:
                # A duplicate id means that the order exists: adopting it is the same question to the venue.
                detail = result.message if isinstance(result, Refusal) else getattr(result, "detail", "another id")
                if is_unproven(self.ledger, client_order_id):
                    self.ledger.order_event(
                        decision, OrderEventKind.UNKNOWN, OrderStatus.UNKNOWN, rule=Reason.ORDER_UNKNOWN, detail=detail
                    )
                self._prove(client_order_id)
                return "unknown"

    def _record_refusal(self, decision: Decision, refusal: Refusal) -> str:
        if refusal.is_rate:
            self.budget.pause(now_s=clock.monotonic_s(), duration_s=refusal.retry_after_s)
        self.ledger.order_event(
            decision,
            OrderEventKind.REJECTED,
            OrderStatus.REJECTED,
            rule=Reason.RATE_BUDGET if refusal.is_rate else Reason.NONE,
            detail=f"{refusal.status} {refusal.message}",
            venue_code=refusal.code,
        )
        if decision.action is IntentAction.REPLACE:
            target = self.ledger.orders.get(decision.target_client_order_id)
            if target is not None:
                self.ledger.order_event(
                    target, OrderEventKind.REPLACE_REJECTED, detail=refusal.message, venue_code=refusal.code
                )
        client_order_id = decision.client_order_id
        is_cancel_wanted = client_order_id in self._canceling
        if not refusal.is_rate and self._refused.note(decision, is_cancel_wanted=is_cancel_wanted):
            self._spawn(self._refused.verify(client_order_id))
        return "rejected"

    def _prove(self, client_order_id: str) -> None:
        if client_order_id not in self._proving:
            self._proving.add(client_order_id)
            self._spawn(self._prove_and_forget(client_order_id))

    async def _prove_and_forget(self, client_order_id: str) -> None:
        try:
            await prove(self.ledger, self.gateway, client_order_id)
        finally:
            self._proving.discard(client_order_id)

    async def _cancel_until_ended(self, client_order_id: str) -> None:
        ended = self._canceling[client_order_id]
        attempt = 0
        try:
            while attempt < CANCEL_ATTEMPTS_MAX:
                order = self.ledger.orders.get(client_order_id)
                if order is None or not order.is_open:
                    return
                if order.venue_order_id:
                    await self._cancel_once(order, ended, attempt)
                    crash_points.after("cancel_answer")
                    attempt += 1
                elif not await _wait(ended, ID_WITHIN_S):
                    # Not shown by the venue yet: an answer, the stream or a query brings the id or proves its absence.
                    self._prove(client_order_id)
            log.error("order_not_canceled", client_order_id=client_order_id, attempts=CANCEL_ATTEMPTS_MAX)
        finally:
            self._canceling.pop(client_order_id, None)

    async def _cancel_once(self, order: Order, ended: asyncio.Event, attempt: int) -> None:
        self.budget.count_cancel(clock.monotonic_s())
        outcome = await self.gateway.cancel(order.venue_order_id, timeout_s=CANCEL_TIMEOUT_S)
        result = canceled(outcome, now_s=clock.now_ns() / NS_PER_S)
        crash_points.before("cancel_answer")
        metrics.CANCELS.labels(outcome=type(result).__name__.lower()).inc()
        match result:
            case Done():
                if await _wait(ended, CANCEL_ENDS_WITHIN_S):
                    return
            case Refusal() if result.is_rate:
                self.budget.pause(now_s=clock.monotonic_s(), duration_s=result.retry_after_s)
                await _wait(ended, result.retry_after_s)
                return
            case Refusal():
                detail = f"{result.status} {result.message}"
                self.ledger.order_event(order, OrderEventKind.CANCEL_REJECTED, detail=detail, venue_code=result.code)
            case NotSent() | Unproven():
                log.warning("cancel_unproven", client_order_id=order.client_order_id, detail=result.detail)
        try:
            found = await self.gateway.order(order.venue_order_id)
            if found is not None:
                self.ledger.venue_order(found, OrderEventKind.UPDATED)
        except (RetryLater, BadInput) as error:
            log.warning("order_query_failed", client_order_id=order.client_order_id, detail=str(error))
        await _wait(ended, min(0.1 * 2**attempt, CANCEL_ENDS_WITHIN_S))


def expired(decision: Decision, now_ns: int) -> Closed | None:
    """Return whether a reduction is past the time until which its strategy wanted it.

    One that was approved in the future is: how long ago that was, a clock that stepped back cannot tell.
    """
    is_late = decision.expires_ns <= now_ns or decision.ts_ns > now_ns + APPROVAL_AGE_NS_MAX
    return Closed(Reason.INTENT_EXPIRED, "reduction") if decision.expires_ns and is_late else None


def is_entry(order: Order) -> bool:
    """Whether an order of ours could increase exposure: neither external, nor a protective leg, nor a reduction."""
    return not (order.is_external or order.parent_order_id or order.is_reduction)


def is_queued(order: Order) -> bool:
    """Whether an order of ours that is meant for one session waits at the venue, not in its market."""
    is_ours = not order.is_external and "/" not in order.symbol
    return is_ours and order.status is OrderStatus.ACCEPTED and order.time_in_force in ENDS_WITH_SESSION


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event at most so long; whether it came."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
