"""Bugs that the simulation must find: each is put into the product by patching it in the process of the test.

`CATALOGUE` names each bug, the invariant it breaks and how to make it. `Crooked` stands between the risk-manager's loop
and its journal, so that bugs of the native gate can be made as well: a denial becomes an approval, an id another.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import clock, journals
from holdfast._native import (
    Decision,
    IntentAction,
    JournalReader,
    JournalWriter,
    OrderEvent,
    OrderEventKind,
    Reason,
    RiskLimits,
    RiskLoop,
    TradingState,
    TradingStateCode,
    Verdict,
    encode_order_request,
    is_protective,
)
from holdfast.execution import proof, sender
from holdfast.execution.clock_health import ClockHealth
from holdfast.execution.gate import Gate, flips
from holdfast.execution.ledger import Ledger
from holdfast.execution.reconcile import Reconciler
from holdfast.execution.sender import Sender
from holdfast.services import execution_engine, risk_manager
from holdfast.services.execution_engine import Engine
from holdfast.services.signal_bridge import SignalBridge
from holdfast.simulation import run
from holdfast.simulation.fleet import scratch

if TYPE_CHECKING:
    from holdfast._native import Record
    from holdfast.service import Frame
    from holdfast.settings import Settings
    from holdfast.settings.risk_limits import RiskSettings
    from holdfast.venues.alpaca.connection import Line

E9 = 1_000_000_000
Change = Callable[["Crooked", Any], Any]


class Patch:
    """Replaces attributes and puts them back."""

    def __init__(self) -> None:
        self._kept: list[tuple[object, str, object]] = []

    def set(self, owner: object, name: str, value: object) -> None:
        self._kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self) -> None:
        for owner, name, value in reversed(self._kept):
            setattr(owner, name, value)


class Crooked:
    """A risk loop whose records are changed on the way into its journal."""

    def __init__(self, inner: RiskLoop, judged: JournalReader, front: JournalWriter, change: Change) -> None:
        self._inner = inner
        self._judged = judged
        self._front = front
        self._change = change
        self.counted = 0
        self.limits_hash = 0
        self.forward()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the loop has
        return getattr(self._inner, name)

    def turn(self, now_ns: int) -> bool:
        has_judged = self._inner.turn(now_ns)
        if now_ns:
            self.forward()
            self._front.heartbeat(now_ns)
        return has_judged

    def forward(self) -> None:
        for record in self._judged.read(1000):
            if isinstance(record, TradingState):
                self.limits_hash = record.limits_hash
            self._front.append(
                self._change(self, record),
                ts_ns=record.ts_ns,
                cause_journal=record.cause_journal,
                cause_seq=record.cause_seq,
                origin_ns=record.origin_ns,
            )


def changed(record: Record, **fields: object) -> Any:  # noqa: ANN401 - the same type of record
    """Return a copy of a record with other fields."""
    kind: Any = type(record)
    return kind(**{name: getattr(record, name) for name in kind.FIELDS} | fields)


def approved(loop: Crooked, decision: Decision, **fields: object) -> Decision:
    """Return the approval that a denied decision would have been."""
    client_order_id = f"hf-{loop._front.epoch:x}-{decision.seq:x}"
    given = {"verdict": Verdict.APPROVED, "rule": Reason.NONE, "client_order_id": client_order_id}
    return changed(decision, **given, limit_e9=0, value_e9=0, limits_hash=loop.limits_hash, **fields)  # type: ignore[no-any-return]


async def crooked_start(change: Change, frame: Frame, risk: RiskSettings) -> Any:  # noqa: ANN401 - stands for a loop
    """Start the risk loop on a journal of its own, and let `Crooked` write the one that others read."""
    settings = frame.settings
    directory = settings.state_dir / "judged"
    directory.mkdir(exist_ok=True)
    writer: JournalWriter = getattr(journals, "JournalWriter")(  # noqa: B009 - what the simulation put in its place
        str(directory),
        journals.WRITERS["orders"],
        now_ns=clock.now_ns(),
        segment_bytes=1 << 20,
        build_hash=journals.build_hash(),
        config_hash=settings.config_hash,
    )
    front = journals.open_writer(settings, "orders")
    inputs = {name: journals.open_reader(settings, name) for name in risk_manager.INPUTS}
    inner = RiskLoop(
        risk.limits,
        list(settings.symbols),
        risk.calendar,
        writer=writer,
        own=JournalReader(str(directory)),
        latch=settings.state_dir / "latch",
        now_ns=clock.now_ns(),
        **inputs,  # type: ignore[arg-type]
    )
    return Crooked(inner, JournalReader(str(directory), from_seq=front.next_seq), front, change)


def bend(patch: Patch, change: Change) -> None:
    """Put a crooked risk loop into the risk-manager."""
    patch.set(risk_manager, "_start", partial(crooked_start, change))


def ignore_rules(patch: Patch, *rules: Reason, **fields: object) -> None:
    """Let the risk gate approve what it denied by one of these rules."""

    def change(loop: Crooked, record: Any) -> Any:  # noqa: ANN401 - any record
        if isinstance(record, Decision) and record.verdict is Verdict.DENIED and record.rule in rules:
            return approved(loop, record, **fields)
        return record

    bend(patch, change)


# --- Orders


def post_again_with_a_new_id(patch: Patch) -> None:
    post_again(patch, lambda client_order_id: "hg" + client_order_id[2:])


def post_again_unasked(patch: Patch) -> None:
    post_again(patch, lambda client_order_id: client_order_id)


def post_again(patch: Patch, rename: Callable[[str], str]) -> None:
    """Send what was not answered once more, by some id."""
    real = Sender._record_answer

    def record_answer(self: Sender, decision: Decision, result: Any) -> str:  # noqa: ANN401 - any outcome
        word = real(self, decision, result)
        line: Line | None = self.gateway.take_entry_line()
        if word == "unknown" and decision.action is IntentAction.NEW and line is not None:
            request = encode_order_request(decision, self.gateway.head)
            old = decision.client_order_id
            answer = line.send(request.replace(old.encode(), rename(old).encode()), timeout_s=5)
            answer.add_done_callback(lambda _answer: None)
        return word

    patch.set(Sender, "_record_answer", record_answer)


def send_before_remembering(patch: Patch) -> None:
    real = Ledger.append

    def append(self: Ledger, record: Any, *, origin: Any, ts_ns: int) -> bool:  # noqa: ANN401 - any record
        if isinstance(record, OrderEvent) and record.kind is OrderEventKind.SUBMITTING:
            write = partial(real, self, record, origin=origin, ts_ns=ts_ns + E9 // 100)
            asyncio.get_running_loop().call_later(0.01, write)
            return True
        return real(self, record, origin=origin, ts_ns=ts_ns)

    patch.set(Ledger, "append", append)


def forget_what_was_sent(patch: Patch) -> None:
    patch.set(Ledger, "is_known", lambda _self, _client_order_id: False)


def reuse_ids(patch: Patch) -> None:
    """Count from one in each life: the epoch is forgotten."""

    def change(loop: Crooked, record: Any) -> Any:  # noqa: ANN401 - any record
        if isinstance(record, Decision) and record.client_order_id:
            loop.counted += 1
            return changed(record, client_order_id=f"hf-1-{loop.counted:x}")
        return record

    bend(patch, change)


def skip_decisions(patch: Patch) -> None:
    real = Sender.accept

    def accept(self: Sender, decision: Decision) -> None:
        if decision.seq % 5:
            real(self, decision)

    patch.set(Sender, "accept", accept)


def free_the_unknown_by_a_timeout(patch: Patch) -> None:
    async def prove(ledger: Ledger, _gateway: object, client_order_id: str) -> None:
        await asyncio.sleep(1.0)
        proof.record_absence(ledger, client_order_id, 0)

    patch.set(sender, "prove", prove)


# --- Fills


def forget_to_dedupe_fills(patch: Patch) -> None:
    real = Ledger.fill

    def fill(self: Ledger, fill: Any, *, is_recovered: bool) -> bool:  # noqa: ANN401 - the venue's fill
        self._executions.discard(fill.execution_id)
        return real(self, fill, is_recovered=is_recovered)

    patch.set(Ledger, "fill", fill)


def leave_lost_fills_lost(patch: Patch) -> None:
    async def recover(self: Reconciler, found: object, *, is_forced: bool = False) -> None:
        return

    patch.set(Reconciler, "_recover_fills", recover)


def misread_the_price(patch: Patch) -> None:
    real = Ledger.fill

    def fill(self: Ledger, fill: Any, *, is_recovered: bool) -> bool:  # noqa: ANN401 - the venue's fill
        return real(self, dearer(fill), is_recovered=is_recovered)

    def dearer(fill: Any) -> Any:  # noqa: ANN401 - the venue's fill
        kind = type(fill)
        names = getattr(kind, "__struct_fields__", None) or kind.__slots__
        return kind(**{name: getattr(fill, name) for name in names} | {"price_e9": fill.price_e9 + E9 // 100})

    patch.set(Ledger, "fill", fill)


def ignore_fills_of_strangers(patch: Patch) -> None:
    real = Ledger.fill

    def fill(self: Ledger, fill: Any, *, is_recovered: bool) -> bool:  # noqa: ANN401 - the venue's fill
        if not self.client_order_id(fill.venue_order_id).startswith("hf-"):
            return False
        return real(self, fill, is_recovered=is_recovered)

    patch.set(Ledger, "fill", fill)


# --- Gate


def ignore_the_latch(patch: Patch) -> None:
    """The last-instant gate looks at neither latch nor trading state."""
    patch.set(Gate, "closed_by_operator", lambda _self: None)


def ignore_the_age(patch: Patch) -> None:
    patch.set(Gate, "closed_by_age", lambda _self, _decision, _now_ns: None)


def ignore_the_expiry_of_reductions(patch: Patch) -> None:
    patch.set(sender, "expired", lambda _decision, _now_ns: None)


def skip_the_reconciliation_of_a_new_stream(patch: Patch) -> None:
    real = Engine._reconcile_session

    async def reconcile(self: Engine, session: int) -> None:
        if self.gate.reconciled_session:
            self.gate.reconciled_session = session
            return
        await real(self, session)

    patch.set(Engine, "_reconcile_session", reconcile)


def trade_after_the_close(patch: Patch) -> None:
    ignore_rules(patch, Reason.SESSION_CLOSED, Reason.QUOTE_STALE)
    patch.set(Gate, "_closed_by_session", lambda _self, _decision, _now_ns: None)
    patch.set(Gate, "closed_by_age", lambda _self, _decision, _now_ns: None)


def trade_while_reducing(patch: Patch) -> None:
    states = (Reason.KILL_LATCH, Reason.STATE_HALTED, Reason.STATE_REDUCING, Reason.NOT_RECONCILED)
    ignore_rules(patch, *states)


def say_active_always(patch: Patch) -> None:
    """The risk gate approves against the latch and hides its state: the engine alone still looks at the latch."""
    rules = (Reason.KILL_LATCH, Reason.STATE_HALTED)

    def change(loop: Crooked, record: Any) -> Any:  # noqa: ANN401 - any record
        if isinstance(record, TradingState):
            return changed(record, state=TradingStateCode.ACTIVE)
        if isinstance(record, Decision) and record.verdict is Verdict.DENIED and record.rule in rules:
            return approved(loop, record)
        return record

    bend(patch, change)
    patch.set(Gate, "closed_by_operator", lambda _self: None)


# --- Limits


def allow_one_share_more(patch: Patch) -> None:
    def change(loop: Crooked, record: Any) -> Any:  # noqa: ANN401 - any record
        is_denied = isinstance(record, Decision) and record.verdict is Verdict.DENIED
        if is_denied and record.rule is Reason.ORDER_QUANTITY and record.value_e9 == record.limit_e9 + E9:
            return approved(loop, record)
        return record

    bend(patch, change)


def release_reservations_at_once(patch: Patch) -> None:
    """Open orders are not counted: only what is held is."""
    ignore_rules(patch, Reason.POSITION_QUANTITY, Reason.POSITION_NOTIONAL, Reason.CONCENTRATION, Reason.SELF_TRADE)


def run_with_other_limits(patch: Patch) -> None:
    real = risk_manager._start

    async def start(frame: Frame, risk: Any) -> Any:  # noqa: ANN401 - settings in, loop out
        looser = risk.limits.as_dict() | {"order_quantity_max_e9": 19 * E9}
        kind = type(risk)
        values = {name: getattr(risk, name) for name in kind.__slots__}
        flags = {"is_short_allowed": False, "is_resumed_by_operator": True}
        loose = RiskLimits(**flags, **{name: value for name, value in looser.items() if name not in flags})
        return await real(frame, kind(**values | {"limits": loose}))

    patch.set(risk_manager, "_start", start)


def hear_no_limit_changes(patch: Patch) -> None:
    """The risk gate reads another journal than the one that the gateway writes."""
    real = journals.open_reader

    def open_reader(settings: Settings, name: str, **options: Any) -> JournalReader:  # noqa: ANN401 - passed on
        if name != "control":
            return real(settings, name, **options)
        directory = settings.state_dir / "unheard"
        if not directory.exists():
            directory.mkdir()
            kind = journals.WRITERS["control"]
            JournalWriter(str(directory), kind, now_ns=clock.now_ns(), segment_bytes=1 << 20).close()
        return JournalReader(str(directory))

    patch.set(risk_manager, "open_reader", open_reader)


def accept_bad_quotes(patch: Patch) -> None:
    rules = (Reason.QUOTE_CROSSED, Reason.QUOTE_MISSING, Reason.SYMBOL_HALTED, Reason.QUOTE_WIDE, Reason.QUOTE_JUMPED)
    ignore_rules(patch, *rules, Reason.PRICE_COLLAR, Reason.PRICE_DRIFT, Reason.GAP_UNREPAIRED)


# --- Cancels and reductions


def cancel_another_order(patch: Patch) -> None:
    real = Sender._cancel_once

    async def cancel_once(self: Sender, order: Any, ended: asyncio.Event, attempt: int) -> None:  # noqa: ANN401 - an order
        others = [other for other in self.ledger.orders.open_orders() if other.venue_order_id]
        await real(self, others[0] if others else order, ended, attempt)

    patch.set(Sender, "_cancel_once", cancel_once)


def hold_cancels_back_while_halted(patch: Patch) -> None:
    real = Sender.cancel

    def cancel(self: Sender, client_order_id: str) -> None:
        if not self.is_halted:
            real(self, client_order_id)

    patch.set(Sender, "cancel", cancel)


def flip_a_position(patch: Patch) -> None:
    ignore_rules(patch, Reason.FLIP_THROUGH_ZERO, Reason.SHORT_DISALLOWED, Reason.SELF_TRADE, is_reduction=1)
    patch.set(sender, "flips", lambda _decision, **_facts: None)


def forget_the_stop_after_an_exit(patch: Patch) -> None:
    """Once a stop of a symbol made way, none is placed there any more."""
    real = Sender.accept
    made_way: set[tuple[int, str]] = set()

    def accept(self: Sender, decision: Decision) -> None:
        if is_protective(decision.target_client_order_id):
            made_way.add((id(self), decision.symbol))
        elif is_protective(decision.client_order_id) and (id(self), decision.symbol) in made_way:
            return
        real(self, decision)

    patch.set(Sender, "accept", accept)


def protect_more_than_is_held(patch: Patch) -> None:
    real = flips

    def change(_loop: Crooked, record: Any) -> Any:  # noqa: ANN401 - any record
        if isinstance(record, Decision) and is_protective(record.client_order_id):
            return changed(record, quantity_e9=record.quantity_e9 + E9)
        return record

    def lenient(decision: Decision, **facts: int) -> Any:  # noqa: ANN401 - the real one's answer
        return None if is_protective(decision.client_order_id) else real(decision, **facts)

    bend(patch, change)
    patch.set(sender, "flips", lenient)


def mark_what_was_not_read(patch: Patch) -> None:
    """The bridge says that it had read one record less than it had: a replay walks another path."""
    real = SignalBridge._mark

    def mark(self: SignalBridge, market_data_seq: int, *, signals_seq: int = 0) -> None:
        real(self, max(market_data_seq - 1, 0), signals_seq=signals_seq)

    patch.set(SignalBridge, "_mark", mark)


def leave_breakers_set(patch: Patch) -> None:
    """The risk gate goes on saying that trading is halted."""

    def change(_loop: Crooked, record: Any) -> Any:  # noqa: ANN401 - any record
        if isinstance(record, TradingState) and record.state is TradingStateCode.ACTIVE:
            return changed(record, state=TradingStateCode.HALTED)
        return record

    bend(patch, change)


def trust_a_clock_that_stepped(patch: Patch) -> None:
    patch.set(ClockHealth, "look", lambda _self, **_times: None)


def take_strangers_for_ours(patch: Patch) -> None:
    for module in (sender, execution_engine):
        patch.set(module, "is_entry", lambda order: not (order.parent_order_id or order.is_reduction))


@dataclass(frozen=True)
class Bug:
    """A bug, the invariant it breaks, and how it is made."""

    make: Callable[[Patch], None]
    invariant: int

    @property
    def name(self) -> str:
        return self.make.__name__.replace("_", " ")


CATALOGUE = (
    Bug(post_again_with_a_new_id, 1),
    Bug(run_with_other_limits, 2),
    Bug(hear_no_limit_changes, 2),
    Bug(trade_while_reducing, 3),
    Bug(say_active_always, 3),
    Bug(ignore_the_latch, 3),
    Bug(ignore_the_age, 3),
    Bug(skip_the_reconciliation_of_a_new_stream, 3),
    Bug(trust_a_clock_that_stepped, 3),
    Bug(send_before_remembering, 4),
    Bug(reuse_ids, 4),
    Bug(post_again_unasked, 5),
    Bug(forget_what_was_sent, 5),
    Bug(free_the_unknown_by_a_timeout, 5),
    Bug(forget_to_dedupe_fills, 6),
    Bug(leave_lost_fills_lost, 6),
    Bug(misread_the_price, 6),
    Bug(ignore_fills_of_strangers, 6),
    Bug(allow_one_share_more, 8),
    Bug(release_reservations_at_once, 8),
    Bug(cancel_another_order, 10),
    Bug(hold_cancels_back_while_halted, 10),
    Bug(flip_a_position, 10),
    Bug(forget_the_stop_after_an_exit, 10),
    Bug(protect_more_than_is_held, 10),
    Bug(accept_bad_quotes, 12),
    Bug(skip_decisions, 16),
    Bug(ignore_the_expiry_of_reductions, 16),
    Bug(trade_after_the_close, 17),
    Bug(take_strangers_for_ours, 17),
    Bug(mark_what_was_not_read, 20),
    Bug(leave_breakers_set, 20),
)


@contextmanager
def present(bug: Bug) -> Iterator[None]:
    """Have a bug in the product while the block runs."""
    patch = Patch()
    try:
        bug.make(patch)
        yield
    finally:
        patch.undo()


def seeds_needed(bug: Bug, first_seed: int, seeds_max: int, directory: Path) -> tuple[int, str]:
    """Return after how many seeds a violation of the bug's invariant was seen, 0 if never; and by which checker."""
    with present(bug):
        for count in range(1, seeds_max + 1):
            for violation in run.run_seed(first_seed + count - 1, directory).violations:
                if violation.invariant == bug.invariant:
                    return count, violation.name
    return 0, ""


def main() -> None:
    """Look for every STEP-th bug from START on, in at most SEEDS seeds each; print a JSON line for each."""
    start, step, seeds_max = map(int, sys.argv[1:])
    run.be_quiet()
    with scratch() as directory:
        for bug in CATALOGUE[start::step]:
            seeds, checker = seeds_needed(bug, 1, seeds_max, directory)
            found = {"bug": bug.name, "invariant": bug.invariant, "seeds": seeds, "checker": checker}
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
