"""The journals themselves: nothing lost between them, every operator named, and the same bytes when replayed."""

from collections.abc import Iterator

from holdfast._native import (
    Consumed,
    Decision,
    IntentAction,
    LimitChange,
    LimitProposal,
    LimitWithdrawal,
    OrderIntent,
    Reset,
    StrategySwitch,
    Trip,
)
from holdfast.invariants.evidence import Evidence
from holdfast.journals import WRITERS

NEVER_SAID = 2**64


def no_record_missing(evidence: Evidence) -> Iterator[str]:
    """Numbers have no holes, in every journal."""
    for name in WRITERS:
        expected = None
        for record in evidence.journals[name]:
            if expected is not None and record.seq != expected:
                yield f"{name}: record {record.seq} follows {expected - 1}"
            expected = record.seq + 1


def every_intent_decided_once(evidence: Evidence) -> Iterator[str]:
    """Each intent has exactly one decision, once the risk gate was given time."""
    decisions: dict[int, int] = {}
    for record in evidence.decided:
        if isinstance(record, Decision) and record.intent_seq:
            decisions[record.intent_seq] = decisions.get(record.intent_seq, 0) + 1
    for record in evidence.journals["signals"]:
        if isinstance(record, OrderIntent) and decisions.get(record.seq, 0) != 1:
            yield f"signals {record.seq}: {decisions.get(record.seq, 0)} decisions"


def every_approval_acted_on(evidence: Evidence) -> Iterator[str]:
    """Each approved order was sent or withheld as far as execution-engine says that it read; a restart goes on there.

    A clean stop cancels open entries: a protective stop for what one of them filled finds nobody to send it.
    """
    account = evidence.account
    read = max((record.orders_seq for record in evidence.executed if isinstance(record, Consumed)), default=NEVER_SAID)
    known = {order.client_order_id for order in account.orders.orders()}
    for client_order_id, decision in account.approved.items():
        is_due = decision.action is not IntentAction.CANCEL and decision.seq <= read
        if is_due and client_order_id not in known:
            yield f"client_order_id {client_order_id}: approved as orders {decision.seq}, never heard of again"


OPERATORS = (Trip, Reset, LimitChange, LimitProposal, LimitWithdrawal, StrategySwitch)


def every_operator_named(evidence: Evidence) -> Iterator[str]:
    """Each command has an operator and a reason."""
    for record in evidence.journals["control"]:
        if isinstance(record, OPERATORS) and not (record.operator and record.reason):
            yield f"control {record.seq}: {type(record).__name__} by {record.operator!r} because {record.reason!r}"


def replay_gives_the_same_bytes(evidence: Evidence) -> Iterator[str]:
    """Feeding the recorded inputs again writes the recorded outputs; judged for the journals that were replayed."""
    for journal, difference in evidence.replays.items():
        if difference:
            yield f"{journal}: {difference}"
