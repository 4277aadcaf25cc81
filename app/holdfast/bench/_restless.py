"""A strategy that never rests: entries far from the market, and the oldest of them canceled, at every quote."""

from holdfast._native import OrderStatus, Quote, Side
from holdfast.strategies.api import E9, OrderRequest, Parameters, Strategy

CENT_E9 = 10_000_000
OPEN_ORDERS = 4
SHOWN = frozenset({OrderStatus.NEW, OrderStatus.ACCEPTED})


class Restless(Strategy[Parameters]):
    """Keeps a few entries of each symbol at the venue, each for a moment."""

    parameters_type = Parameters

    def prepare(self) -> None:
        """Begin without orders."""
        self._count = 0

    def on_quote(self, quote: Quote) -> None:
        """Add an entry, or cancel the oldest when there are enough."""
        orders = self.context.open_orders(quote.symbol)
        if len(orders) >= OPEN_ORDERS:
            oldest = next((order for order in orders if order.status in SHOWN), None)
            if oldest is not None:
                self.cancel(oldest.client_order_id)
            return
        self._count += 1
        price_e9 = quote.bid_price_e9 * 98 // 100 // CENT_E9 * CENT_E9 - self._count % 20 * CENT_E9
        quantity_e9 = (1 + self._count % 5) * E9
        self.order(OrderRequest(symbol=quote.symbol, side=Side.BUY, quantity_e9=quantity_e9, limit_price_e9=price_e9))
