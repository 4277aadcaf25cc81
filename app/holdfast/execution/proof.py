"""Finding out what became of an order whose outcome is not proven: ask, never send again."""

import asyncio

from holdfast import clock
from holdfast._native import OrderEventKind, OrderStatus
from holdfast.errors import BadInput, RetryLater
from holdfast.execution.ledger import Ledger
from holdfast.logs import get_logger
from holdfast.venues.alpaca.trading import TradingGateway

# An order may become visible in GET only up to 30 s after it was accepted: sooner, absence proves nothing.
ABSENT_S_MIN = 35.0
ABSENT_ANSWERS_MIN = 3
PAUSES_S = (0.1, 0.25, 0.5, 1.0, 2.0)
PAUSE_S_MAX = 5.0
UNPROVEN = (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN)

log = get_logger()


async def prove(ledger: Ledger, gateway: TradingGateway, client_order_id: str) -> None:
    """Query an order until the venue's answers, or its stream, prove what became of it.

    Absence is proven by several answers, the last of them later than the venue's own delay of visibility.
    """
    started_s = clock.monotonic_s()
    absent_answers = 0
    attempt = 0
    while is_unproven(ledger, client_order_id):
        try:
            found = await gateway.order_by_client_id(client_order_id)
        except (RetryLater, BadInput) as error:
            log.warning("order_query_failed", client_order_id=client_order_id, detail=str(error))
        else:
            if found is not None:
                ledger.venue_order(found, OrderEventKind.RESOLVED)
                log.info("order_resolved", client_order_id=client_order_id, status=found.status.label)
                return
            absent_answers += 1
            waited_s = clock.monotonic_s() - started_s
            if absent_answers >= ABSENT_ANSWERS_MIN and waited_s >= ABSENT_S_MIN:
                _record_absence(ledger, client_order_id, absent_answers)
                return
        await asyncio.sleep(PAUSES_S[attempt] if attempt < len(PAUSES_S) else PAUSE_S_MAX)
        attempt += 1


def is_unproven(ledger: Ledger, client_order_id: str) -> bool:
    """Whether the order left, or was about to, and nothing proves what came of it."""
    order = ledger.orders.get(client_order_id)
    return order is not None and order.status in UNPROVEN


def _record_absence(ledger: Ledger, client_order_id: str, answers: int) -> None:
    order = ledger.orders.get(client_order_id)
    if order is None or order.status not in UNPROVEN:
        return
    detail = f"the venue does not know it: {answers} answers in {ABSENT_S_MIN:g} s"
    ledger.order_event(order, OrderEventKind.RESOLVED, OrderStatus.REJECTED, detail=detail)
    log.info("order_resolved", client_order_id=client_order_id, status="absent")
