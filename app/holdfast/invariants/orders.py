"""Orders at the venue against the intents, decisions and submissions that must stand behind them."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from holdfast.invariants.evidence import Evidence

E9 = 1_000_000_000
BY_CLIENT_ID = "/v2/orders:by_client_order_id"
OPEN_STATUSES = frozenset({
    "new", "accepted", "partially_filled", "pending_new", "pending_cancel", "pending_replace", "held", "stopped",
    "accepted_for_bidding", "calculated", "suspended", "done_for_day",
})  # fmt: skip


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
        # A protective stop is decided without an intent.
        if count > 1 and intent_seq:
            yield f"intent {intent_seq}: {count} orders at the venue"


def no_order_beyond_the_submitted(evidence: Evidence) -> Iterator[str]:
    """The same by economics: never more orders of one symbol, side and quantity at the venue than were submitted."""
    submitted = Counter((event.symbol, event.side.label, event.quantity_e9) for event in evidence.submissions)
    made = Counter(
        (order["symbol"], order["side"], int(Decimal(order.get("qty") or 0) * E9))
        for order in venue_orders(evidence).values()
    )
    for economics, count in made.items():
        if count > submitted[economics]:
            yield f"{economics}: {count} orders at the venue, {submitted[economics]} submitted"


def no_order_without_approval(evidence: Evidence) -> Iterator[str]:
    """Every request for an order stands on a decision that approved it before it reached the venue."""
    approved = evidence.account.approved
    for client_order_id, arrived_ns in _requested(evidence):
        decision = approved.get(client_order_id)
        if decision is None:
            yield f"client_order_id {client_order_id}: no decision approved it"
        elif (late_ns := evidence.true_ns(decision.ts_ns) - arrived_ns) > 0:
            yield f"client_order_id {client_order_id}: approved {late_ns} ns after it arrived"
    for order in venue_orders(evidence).values():
        if order["client_order_id"] not in approved:
            yield f"client_order_id {order['client_order_id']}: at the venue, and no decision approved it"


def orders_are_as_approved(evidence: Evidence) -> Iterator[str]:
    """Symbol, side and quantity of each request are the decision's."""
    approved = evidence.account.approved
    for line in evidence.ledger.entry_requests():
        body = line["body"] or {}
        decision = approved.get(body.get("client_order_id", ""))
        if decision is None:
            continue
        quantity_e9 = int(Decimal(body.get("qty") or 0) * E9)
        asked = (body.get("symbol", decision.symbol), body.get("side", decision.side.label), quantity_e9)
        if quantity_e9 and asked != (decision.symbol, decision.side.label, decision.quantity_e9):
            yield f"client_order_id {decision.client_order_id}: asked for {asked}, approved orders {decision.seq}"


def id_remembered_before_the_order(evidence: Evidence) -> Iterator[str]:
    """The id is journaled before the first byte of the request that carries it."""
    submissions = reversed(evidence.submissions)
    remembered = {event.client_order_id: evidence.true_ns(event.ts_ns) for event in submissions}
    for client_order_id, arrived_ns in _requested(evidence):
        if remembered.get(client_order_id, 2**63) > arrived_ns:
            yield f"client_order_id {client_order_id}: arrived before it was in the journal executions"
    for order in venue_orders(evidence).values():
        if order["client_order_id"] not in remembered:
            yield f"client_order_id {order['client_order_id']}: not in the journal executions"


def no_id_used_twice(evidence: Evidence) -> Iterator[str]:
    """No two decisions and no two submissions share an id."""
    for what, ids in (
        ("approved", evidence.account.approved_ids),
        ("submitted", [event.client_order_id for event in evidence.submissions]),
    ):
        for client_order_id, count in Counter(ids).items():
            if count > 1:
                yield f"client_order_id {client_order_id}: {what} {count} times"


def nothing_sent_again_unasked(evidence: Evidence) -> Iterator[str]:
    """A request whose outcome is not proven is sent again only after a question, and with the same id."""
    sent: set[str] = set()
    for line in evidence.ledger.of_kind("request"):
        body = line["body"] or {}
        client_order_id = body.get("client_order_id", "")
        if line["method"] in {"POST", "PATCH"} and client_order_id:
            if client_order_id in sent:
                yield f"client_order_id {client_order_id}: sent again without a question"
            sent.add(client_order_id)
        elif line["method"] == "GET" and line["path"] == BY_CLIENT_ID:
            sent.discard(line["query"].removeprefix("client_order_id="))


def every_order_ends_as_at_the_venue(evidence: Evidence) -> Iterator[str]:
    """What we hold of each order at the end is what the venue holds: unknown outcomes are proven, never assumed."""
    final = _with_legs(evidence.ledger.orders())
    for order in evidence.account.orders.orders():
        theirs = final.get(order.client_order_id)
        if theirs is None:
            if order.is_at_venue and order.is_open:
                yield f"client_order_id {order.client_order_id}: {order.status.label}, unknown to the venue"
            continue
        is_open = theirs["status"] in OPEN_STATUSES
        filled_e9 = int(Decimal(theirs["filled_qty"]) * E9)
        if is_open != order.is_open or filled_e9 != order.filled_quantity_e9:
            ours = f"{order.status.label}, filled {order.filled_quantity_e9}"
            yield f"client_order_id {order.client_order_id}: {ours}; venue {theirs['status']}, filled {filled_e9} e9"


def _with_legs(final: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add the legs that had no event of their own yet: they stand in the events of their order."""
    legs = (leg for order in final.values() for leg in order.get("legs") or ())
    return {leg["client_order_id"]: leg for leg in legs} | final


def _requested(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """Yield the id of each request for an order that is not a stranger's, and when it arrived."""
    for line in evidence.ledger.entry_requests():
        client_order_id = (line["body"] or {}).get("client_order_id", "")
        if client_order_id not in evidence.external_order_ids:
            yield client_order_id, line["host_ns"]


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
