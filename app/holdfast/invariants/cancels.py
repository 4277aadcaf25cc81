"""Cancels and reductions pass always, hit what they are meant for, and strangers' orders are left alone."""

from collections.abc import Iterator

from holdfast._native import Decision, IntentAction, OrderEvent, OrderEventKind, Reason, Verdict
from holdfast.invariants.evidence import Evidence
from holdfast.invariants.orders import OPEN_STATUSES
from holdfast.invariants.senders import WATCHDOG

ORDERS_PATH = "/v2/orders/"
# What makes a cancel or a reduction no request at all, or one that comes too late.
ITS_OWN_FAULT = frozenset(
    {
        Reason.INTENT_INVALID,
        Reason.INTENT_EXPIRED,
        Reason.ORDER_UNKNOWN,
        Reason.NOTIONAL_MISMATCH,
        Reason.FLIP_THROUGH_ZERO,
        Reason.SESSION_CLOSED,
        Reason.REPLAYED,
        Reason.STALE_START,
    }
)


def no_cancel_or_reduction_blocked(evidence: Evidence) -> Iterator[str]:
    """A cancel or a reduction is denied for its own fault only, and a reduction withheld for no state of ours."""
    for record in evidence.decided:
        if not isinstance(record, Decision) or record.verdict is not Verdict.DENIED or record.rule in ITS_OWN_FAULT:
            continue
        if record.action is IntentAction.CANCEL or record.is_reduction:
            yield f"orders {record.seq}: {record.action.label} denied by {record.rule.label}"
    approved = evidence.account.approved
    blocking = (
        Reason.KILL_LATCH,
        Reason.STATE_HALTED,
        Reason.STATE_REDUCING,
        Reason.RISK_HEARTBEAT,
        Reason.QUOTE_STALE,
    )
    for record in evidence.executed:
        if isinstance(record, OrderEvent) and record.kind is OrderEventKind.WITHHELD and record.rule in blocking:
            decision = approved.get(record.client_order_id)
            if decision is not None and decision.is_reduction:
                yield f"client_order_id {record.client_order_id}: reduction withheld by {record.rule.label}"


def no_reduction_flips(evidence: Evidence) -> Iterator[str]:
    """No fill of a reduction takes a position through zero."""
    approved = evidence.account.approved
    for fill in evidence.ledger.fills().values():
        decision = approved.get(fill.client_order_id)
        before_e9 = fill.position_quantity_e9 - fill.signed_quantity_e9
        if decision is None or not decision.is_reduction:
            continue
        if before_e9 * fill.position_quantity_e9 < 0 or abs(fill.position_quantity_e9) > abs(before_e9):
            yield f"execution_id {fill.execution_id}: {fill.symbol} {before_e9} -> {fill.position_quantity_e9} e9"


def every_cancel_reaches_the_venue(evidence: Evidence) -> Iterator[str]:
    """What a strategy asked to cancel is not open at the end."""
    final = evidence.ledger.orders()
    for record in evidence.decided:
        if not (isinstance(record, Decision) and record.verdict is Verdict.APPROVED):
            continue
        if record.action is IntentAction.CANCEL:
            order = final.get(record.target_client_order_id)
            if order is not None and order["status"] in OPEN_STATUSES:
                yield f"client_order_id {record.target_client_order_id}: {order['status']} after orders {record.seq}"


def no_cancel_of_another_order(evidence: Evidence) -> Iterator[str]:
    """Each DELETE names an order that we announced to cancel before; the watchdog's, an order that enters."""
    approved = evidence.account.approved
    announced: dict[str, int] = {}
    for record in evidence.executed:
        if isinstance(record, OrderEvent) and record.kind is OrderEventKind.CANCEL_REQUESTED:
            announced.setdefault(record.client_order_id, evidence.true_ns(record.ts_ns))
    ids = {line["data"]["order"]["id"]: line["data"]["order"] for line in evidence.ledger.of_kind("order")}
    for line in evidence.ledger.of_kind("request"):
        if line["method"] != "DELETE" or not line["path"].startswith(ORDERS_PATH):
            continue
        order = ids.get(line["path"].removeprefix(ORDERS_PATH))
        if order is None:
            continue
        client_order_id = order["client_order_id"]
        if str(line.get("client", "")).startswith(WATCHDOG):
            decision = approved.get(client_order_id)
            if decision is None or decision.is_reduction:
                yield f"client_order_id {client_order_id}: canceled by the watchdog, though it enters nothing"
        elif announced.get(client_order_id, 2**63) > line["host_ns"]:
            yield f"client_order_id {client_order_id}: canceled, though nobody asked for it"


def strangers_are_left_alone(evidence: Evidence) -> Iterator[str]:
    """No order of others is changed or canceled, and none is asked for by a strategy."""
    external = evidence.external_order_ids
    ids = {
        line["data"]["order"]["id"]: line["data"]["order"]["client_order_id"]
        for line in evidence.ledger.of_kind("order")
    }
    for line in evidence.ledger.of_kind("request"):
        if line["method"] in {"DELETE", "PATCH"}:
            client_order_id = ids.get(line["path"].removeprefix(ORDERS_PATH), "")
            if client_order_id in external:
                yield f"client_order_id {client_order_id}: {line['method']} of a stranger's order"
    for record in evidence.executed:
        if isinstance(record, OrderEvent) and record.client_order_id in external and record.strategy:
            yield f"client_order_id {record.client_order_id}: taken for an order of {record.strategy}"


def strangers_are_reported(evidence: Evidence) -> Iterator[str]:
    """Every order of others that the venue took is in our journal, as external."""
    reported = {
        record.client_order_id for record in evidence.executed if isinstance(record, OrderEvent) and record.is_external
    }
    live = {fill.client_order_id for fill in evidence.ledger.fills().values()}
    for client_order_id, order in evidence.ledger.orders().items():
        is_worth_telling = client_order_id in live or order["status"] in OPEN_STATUSES
        if client_order_id in evidence.external_order_ids and is_worth_telling and client_order_id not in reported:
            yield f"client_order_id {client_order_id}: a stranger's order, not adopted"
