"""What must have held in the moment an exposure-increasing byte left."""

from bisect import bisect_right
from collections.abc import Iterator

from holdfast._native import (
    BreakerTripped,
    Decision,
    Reason,
    Reconciled,
    ReconcileScope,
    Reset,
    TimeInForce,
    TradingState,
    TradingStateCode,
    Trip,
    Verdict,
    is_protective,
)
from holdfast.invariants.evidence import Closure, Evidence
from holdfast.settings.sessions import load_sessions
from holdfast.symbols import is_crypto_pair

ORDER_STREAM = "trade_updates"
SECOND_NS = 1_000_000_000
FAR_NS = 2**63 - 1
APPROVAL_AGE_NS_MAX = SECOND_NS
QUOTE_AGE_NS_MAX = SECOND_NS
STATE_KNOWN_WITHIN_NS = SECOND_NS
# The contract's time from the latch to the last byte of an entry.
LATCH_BITES_WITHIN_NS = SECOND_NS // 4
# From our write to the venue's reading of it, on a host that is busy.
ARRIVES_WITHIN_NS = 2 * SECOND_NS
END_OF_TIME_NS = 2**62


def no_entry_while_closed(evidence: Evidence) -> Iterator[str]:
    """No entry leaves while the latch is set, a needed service is dead or the stream is silent for too long."""
    closures = (*evidence.closures, *_latched(evidence))
    for event, _ in evidence.entries:
        left_ns = evidence.true_ns(event.ts_ns)
        for closure in closures:
            if closure.from_ns <= left_ns < closure.to_ns:
                late_ms = (left_ns - closure.from_ns) / 1e6
                yield f"client_order_id {event.client_order_id}: left {late_ms:.3f} ms after {closure.reason}"


def _latched(evidence: Evidence) -> Iterator[Closure]:
    """Yield the times in which the kill latch was set, as api-gateway saw it, from when it must have bitten."""
    from_ns = 0
    for record in evidence.journals["control"]:
        if not isinstance(record, Trip | Reset):
            continue
        at_ns = evidence.true_ns(record.ts_event_ns)
        if from_ns and isinstance(record, Reset):
            yield Closure(from_ns, at_ns, "the kill latch was set")
        from_ns = at_ns + LATCH_BITES_WITHIN_NS if isinstance(record, Trip) and at_ns else 0
    if from_ns:
        yield Closure(from_ns, END_OF_TIME_NS, "the kill latch was set")


def no_entry_on_an_old_approval(evidence: Evidence) -> Iterator[str]:
    """Approval and market event are at most a second old when the bytes leave, and the intent has not expired."""
    for event, decision in evidence.entries:
        name, left_ns = f"client_order_id {event.client_order_id}", evidence.true_ns(event.ts_ns)
        age_ns = left_ns - evidence.true_ns(decision.ts_ns)
        if age_ns > APPROVAL_AGE_NS_MAX:
            yield f"{name}: left {age_ns / 1e6:.3f} ms after its approval"
        age_ns = left_ns - evidence.true_ns(decision.origin_ns)
        if age_ns > QUOTE_AGE_NS_MAX:
            yield f"{name}: left {age_ns / 1e6:.3f} ms after its market event"


def no_entry_arrives_late(evidence: Evidence) -> Iterator[str]:
    """No entry's bytes leave long after its approval, however long its process was frozen before it wrote them."""
    approved = evidence.account.approved
    age_ns_max = APPROVAL_AGE_NS_MAX + ARRIVES_WITHIN_NS + int(evidence.travel_s * SECOND_NS)
    for line in evidence.ledger.entry_requests():
        decision = approved.get((line["body"] or {}).get("client_order_id", ""))
        if decision is not None and not decision.is_reduction:
            age_ns = line["host_ns"] - evidence.true_ns(decision.ts_ns)
            if age_ns > age_ns_max:
                yield f"client_order_id {decision.client_order_id}: arrived {age_ns / 1e6:.0f} ms after its approval"


def no_order_after_it_expired(evidence: Evidence) -> Iterator[str]:
    """Nothing is sent on a request past its expiry, reductions included.

    A clock that stepped by seconds and came back while a service stood still left no trace: of what by the sender's own
    clock is neither late nor from the future, the sender cannot know that it is late.
    """
    for event in evidence.submissions:
        decision = evidence.account.approved.get(event.client_order_id)
        if decision is None or not decision.expires_ns:
            continue
        late_ns = evidence.true_ns(event.ts_ns) - evidence.true_ns(decision.expires_ns)
        is_fresh_by_clock = event.ts_ns < decision.expires_ns and decision.ts_ns <= event.ts_ns + APPROVAL_AGE_NS_MAX
        if late_ns >= 0 and not is_fresh_by_clock:
            yield f"client_order_id {event.client_order_id}: left {late_ns} ns too late"


def no_approval_unless_active(evidence: Evidence) -> Iterator[str]:
    """The risk gate approves entries only while the trading state it wrote last is ACTIVE."""
    state = TradingStateCode.NONE
    for record in evidence.decided:
        if isinstance(record, TradingState):
            state = record.state
        elif isinstance(record, Decision) and _is_approved_entry(record) and state is not TradingStateCode.ACTIVE:
            yield f"orders {record.seq}: approved while {state.label or 'no state is known'}"


def no_entry_unless_active(evidence: Evidence) -> Iterator[str]:
    """Entries stop within a second of the risk gate's word that trading is not ACTIVE."""
    states = [record for record in evidence.decided if isinstance(record, TradingState)]
    times = [evidence.true_ns(record.ts_ns) for record in states]
    for event, _ in evidence.entries:
        left_ns = evidence.true_ns(event.ts_ns)
        known = bisect_right(times, left_ns - STATE_KNOWN_WITHIN_NS)
        current = bisect_right(times, left_ns)
        recent = {record.state for record in states[max(known - 1, 0) : current]}
        if TradingStateCode.ACTIVE not in recent:
            state = states[current - 1].state.label if current else "no state is known"
            yield f"client_order_id {event.client_order_id}: left while {state}"


def no_entry_before_reconciled(evidence: Evidence) -> Iterator[str]:
    """After each start of the order stream a comparison with the venue comes before the next entry.

    A session that was over by then is none: one that its client had given up may begin late and ends at once.
    """
    sessions = _sessions(evidence)
    compared = [
        evidence.true_ns(record.ts_ns)
        for record in evidence.executed
        if isinstance(record, Reconciled)
        and record.is_complete
        and record.scope in (ReconcileScope.START_UP, ReconcileScope.OPEN_ORDERS)
    ]
    for event, _ in evidence.entries:
        left_ns = evidence.true_ns(event.ts_ns)
        latest = max((begun for begun, over in sessions if begun <= left_ns < over), default=0)
        done = compared[place - 1] if (place := bisect_right(compared, left_ns)) else 0
        if done < latest or not done:
            yield f"client_order_id {event.client_order_id}: left before the stream's new session was compared"


def _sessions(evidence: Evidence) -> list[tuple[int, int]]:
    """Return when each session of the order stream began to listen and when it was over."""
    begun: dict[int, int] = {}
    over: dict[int, int] = {}
    for kind, times in (("stream_listening", begun), ("stream_closed", over)):
        for line in evidence.ledger.of_kind(kind):
            if line["stream"] == ORDER_STREAM:
                times[int(line["session"])] = int(line["host_ns"])
    return [(at_ns, over.get(session, FAR_NS)) for session, at_ns in begun.items()]


def is_killed_by_loss(evidence: Evidence) -> bool:
    """Say whether at the end the kill latch is set and a day's loss made risk-manager set it."""
    states = [record for record in evidence.decided if isinstance(record, TradingState)]
    is_latched = bool(states) and states[-1].rule is Reason.KILL_LATCH
    return is_latched and any(
        isinstance(record, BreakerTripped) and record.rule is Reason.DAILY_LOSS_KILL for record in evidence.decided
    )


def active_after_healing(evidence: Evidence) -> Iterator[str]:
    """Once every fault has ended, trading is ACTIVE within a minute, unless a breaker has tripped since.

    What was refused meanwhile may be proven only then: the breaker that counts it asks for an operator again.
    """
    if not evidence.ending.is_healed:
        return
    states = [record for record in evidence.decided if isinstance(record, TradingState)]
    tripped = {record.rule for record in evidence.decided if isinstance(record, BreakerTripped)}
    if is_killed_by_loss(evidence):
        tripped.add(Reason.KILL_LATCH)
    if not states or (states[-1].state is not TradingStateCode.ACTIVE and states[-1].rule not in tripped):
        found = f"{states[-1].state.label} by {states[-1].rule.label}" if states else "no state"
        yield f"at the end {found}"


def nothing_waits_for_the_next_session(evidence: Evidence) -> Iterator[str]:
    """Outside the regular session only what asks for it leaves: extended hours, the auctions, crypto."""
    if not evidence.is_venue_of_today:
        return
    sessions = load_sessions()
    for event in evidence.submissions:
        decision = evidence.account.approved.get(event.client_order_id)
        if decision is None or is_crypto_pair(decision.symbol) or decision.is_extended_hours:
            continue
        if decision.time_in_force in (TimeInForce.OPG, TimeInForce.CLS):
            continue
        if is_protective(decision.client_order_id):
            # A protective stop is meant for every session to come.
            continue
        left_ns = evidence.true_ns(event.ts_ns)
        place = bisect_right(sessions, (left_ns, 2**63)) - 1
        if place < 0 or left_ns >= sessions[place][1]:
            yield f"client_order_id {event.client_order_id}: left outside the session"


def _is_approved_entry(decision: Decision) -> bool:
    return (
        decision.verdict is Verdict.APPROVED
        and not decision.is_reduction
        and decision.action.label in {"new", "replace"}
    )
