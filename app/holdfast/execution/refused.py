"""Orders that the venue refused and may have made all the same: it has answered errors for orders that it made."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast._native import Decision, OrderEventKind
from holdfast.errors import BadInput, RetryLater
from holdfast.execution.ledger import Ledger
from holdfast.logs import get_logger
from holdfast.venues.alpaca.trading import TradingGateway

VERIFY_AFTER_S = 5.0
DOUBT_PAUSE_S = 0.25
COUNT_MAX = 20

log = get_logger()


@dataclass(slots=True)
class Refused:
    """What is open about one refused order.

    `is_doubtful`: it reduces, and nobody was told yet whether it exists. `is_cancel_wanted`: it is to be canceled if it
    does.
    """

    is_doubtful: bool
    is_cancel_wanted: bool = False


@dataclass(slots=True)
class RefusedOrders:
    """The refused orders of the last seconds, each asked for once more before it is forgotten."""

    ledger: Ledger
    gateway: TradingGateway
    cancel: Callable[[str], None]
    _orders: dict[str, Refused] = field(default_factory=dict)

    def note(self, decision: Decision, *, is_cancel_wanted: bool) -> bool:
        """Remember a refused order; the caller has it verified then. False when there are too many already.

        `is_cancel_wanted`: a cancel was asked for while its answer was awaited.
        """
        if len(self._orders) >= COUNT_MAX:
            return False
        is_doubtful = bool(decision.is_reduction)
        self._orders[decision.client_order_id] = Refused(is_doubtful=is_doubtful, is_cancel_wanted=is_cancel_wanted)
        return True

    def want_canceled(self, client_order_id: str) -> None:
        """Have an order canceled should it exist; nothing for one that was not refused."""
        refused = self._orders.get(client_order_id)
        if refused is not None:
            refused.is_cancel_wanted = True

    def doubts(self, decision: Decision) -> list[str]:
        """Return the refused reductions that, if they exist after all, close what this reduction would close again."""
        if not decision.is_reduction:
            return []
        doubtful = sorted(client_order_id for client_order_id, refused in self._orders.items() if refused.is_doubtful)
        orders = (self.ledger.orders.get(client_order_id) for client_order_id in doubtful)
        mine = (decision.symbol, decision.side)
        return [order.client_order_id for order in orders if order is not None and (order.symbol, order.side) == mine]

    async def settle(self, decision: Decision) -> None:
        """Ask for each refused reduction once before another one leaves; its verification ends what has no answer."""
        while doubts := self.doubts(decision):
            for client_order_id in doubts:
                await self._ask(client_order_id)
            if self.doubts(decision):
                await asyncio.sleep(DOUBT_PAUSE_S)

    async def verify(self, client_order_id: str) -> None:
        """Ask late, too, whether a refused order exists after all."""
        try:
            await asyncio.sleep(VERIFY_AFTER_S)
            await self._ask(client_order_id)
        finally:
            self._orders.pop(client_order_id, None)

    async def _ask(self, client_order_id: str) -> None:
        try:
            found = await self.gateway.order_by_client_id(client_order_id)
        except (RetryLater, BadInput) as error:
            log.warning("order_query_failed", client_order_id=client_order_id, detail=str(error))
            return
        refused = self._orders.get(client_order_id)
        if found is not None:
            log.error("order_exists_though_refused", client_order_id=client_order_id)
            self.ledger.venue_order(found, OrderEventKind.RESOLVED)
            if refused is not None and refused.is_cancel_wanted:
                self.cancel(client_order_id)
        if refused is not None:
            refused.is_doubtful = False
