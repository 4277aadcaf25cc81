"""Orders at the venue against the intents, decisions and submissions that must stand behind them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from holdfast.invariants.evidence import Evidence


def venue_orders(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Return the venue's orders that only we can have made, by venue order id: neither legs nor a stranger's."""
    found: dict[str, dict[str, Any]] = {}
    legs: set[str] = set()
    for line in evidence.ledger.of_kind("order"):
        order = line["data"]["order"]
        found[order["id"]] = order
        legs.update(leg["id"] for leg in order.get("legs") or ())
    return {
        venue_order_id: order
        for venue_order_id, order in found.items()
        if venue_order_id not in legs and order["client_order_id"] not in evidence.external_order_ids
    }


def one_order_per_intent(evidence: Evidence) -> Iterator[str]:
    """At most one order at the venue per intent and per client order id."""
    approved = evidence.account.approved
    ids = Counter(order["client_order_id"] for order in venue_orders(evidence).values())
    for client_order_id, count in ids.items():
        if count > 1:
            yield f"client_order_id {client_order_id}: {count} orders at the venue"
    intents = Counter(approved[client_order_id].intent_seq for client_order_id in ids if client_order_id in approved)
    for intent_seq, count in intents.items():
        if count > 1:
            yield f"intent {intent_seq}: {count} orders at the venue"


def no_order_beyond_the_approved(evidence: Evidence) -> Iterator[str]:
    """The same by economics: never more orders of one side and symbol at the venue than were approved."""
    approved = Counter((decision.symbol, decision.side.label) for decision in evidence.account.approved.values())
    made = Counter((order["symbol"], order["side"]) for order in venue_orders(evidence).values())
    for (symbol, side), count in made.items():
        if count > approved[symbol, side]:
            yield f"{symbol} {side}: {count} orders at the venue, {approved[symbol, side]} approved"


def no_order_without_approval(evidence: Evidence) -> Iterator[str]:
    """Every order stands on a decision that approved it before it reached the venue."""
    approved = evidence.account.approved
    for order in venue_orders(evidence).values():
        if order["client_order_id"] not in approved:
            yield f"client_order_id {order['client_order_id']}: no decision approved it"


def id_remembered_before_the_order(evidence: Evidence) -> Iterator[str]:
    """The id is journaled before the first byte of the request that carries it."""
    submissions = evidence.account.submissions
    for order in venue_orders(evidence).values():
        if order["client_order_id"] not in submissions:
            yield f"client_order_id {order['client_order_id']}: not in the journal executions"


def no_order_unknown(evidence: Evidence) -> Iterator[str]:
    """At the end the outcome of every order is proven."""
    account = evidence.account
    for order in account.orders.orders():
        if account.is_unproven(order):
            yield f"client_order_id {order.client_order_id}: {order.status.label}"


def no_order_queued_by_accident(evidence: Evidence) -> Iterator[str]:
    """After the session no order of ours that was meant for it waits for the next one."""
    if evidence.ledger.session_end() is None:
        return
    for order in venue_orders(evidence).values():
        is_for_one_session = order["time_in_force"] in {"day", "ioc", "fok"}
        if order["status"] == "accepted" and is_for_one_session and "/" not in order["symbol"]:
            yield f"client_order_id {order['client_order_id']}: {order['side']} waits for the next session"
