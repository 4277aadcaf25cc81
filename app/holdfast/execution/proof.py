"""Finding out what became of an order whose outcome is not proven: ask, never send again."""

import asyncio
from dataclasses import dataclass, field

from holdfast import clock
from holdfast._native import OrderEventKind, OrderStatus, Reason
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
                if is_unproven(ledger, client_order_id):
                    record_absence(ledger, client_order_id, absent_answers)
                return
        await asyncio.sleep(PAUSES_S[attempt] if attempt < len(PAUSES_S) else PAUSE_S_MAX)
        attempt += 1


def is_unproven(ledger: Ledger, client_order_id: str) -> bool:
    """Whether the order left, or was about to, and nothing proves what came of it."""
    order = ledger.orders.get(client_order_id)
    return order is not None and order.status in UNPROVEN


@dataclass(slots=True)
class Absences:
    """Orders that the venue confirmed and then did not know: an answer can be wrong, and a query too early."""

    _since: dict[str, tuple[float, int]] = field(default_factory=dict)

    def note(self, client_order_id: str, now_s: float) -> int:
        """Count an answer that denies the order; return how many there were once they prove its absence, else 0."""
        first_s, count = self._since.get(client_order_id, (now_s, 0))
        self._since[client_order_id] = (first_s, count + 1)
        return count + 1 if count + 1 >= ABSENT_ANSWERS_MIN and now_s - first_s >= ABSENT_S_MIN else 0

    def forget(self, client_order_id: str) -> None:
        """The venue knows it, or it ended."""
        self._since.pop(client_order_id, None)


def record_absence(ledger: Ledger, client_order_id: str, answers: int) -> None:
    """Journal that the venue does not have the order."""
    order = ledger.orders.get(client_order_id)
    assert order is not None, client_order_id
    detail = f"the venue does not know it: {answers} answers in {ABSENT_S_MIN:g} s"
    # The rule tells it from a rejection: the venue judged nothing, so it counts in no rule on rejections.
    ledger.order_event(order, OrderEventKind.RESOLVED, OrderStatus.REJECTED, rule=Reason.ORDER_UNKNOWN, detail=detail)
    log.info("order_resolved", client_order_id=client_order_id, status="absent")
