"""A strategy that never rests: at every quote an entry far from the market, or the oldest of them canceled."""

from holdfast._native import OrderStatus, Quote, Side
from holdfast.strategies.api import E9, OrderRequest, Parameters, Strategy

CENT_E9 = 10_000_000
OPEN_ORDERS = 4
# A cancel that does not come true does not keep it from wanting more.
PATIENCE_NS = 100_000_000
SHOWN = frozenset({OrderStatus.NEW, OrderStatus.ACCEPTED})


class Restless(Strategy[Parameters]):
    """Keeps a few entries of each symbol at the venue, each for a moment."""

    parameters_type = Parameters

    def prepare(self) -> None:
        """Begin without orders."""
        self._count = 0
        self._canceled: dict[str, tuple[str, int]] = {}

    def on_quote(self, quote: Quote) -> None:
        """Add an entry, or cancel the oldest when there are enough."""
        orders = self.context.open_orders(quote.symbol)
        if len(orders) >= OPEN_ORDERS:
            oldest = next((order.client_order_id for order in orders if order.status in SHOWN), "")
            canceled, canceled_ns = self._canceled.get(quote.symbol, ("", 0))
            if oldest and oldest != canceled:
                self._canceled[quote.symbol] = oldest, self.now_ns
                self.cancel(oldest)
                return
            if self.now_ns - canceled_ns < PATIENCE_NS:
                return
        self._count += 1
        price_e9 = quote.bid_price_e9 * 98 // 100 // CENT_E9 * CENT_E9 - self._count % 20 * CENT_E9
        quantity_e9 = (1 + self._count % 5) * E9
        self.order(OrderRequest(symbol=quote.symbol, side=Side.BUY, quantity_e9=quantity_e9, limit_price_e9=price_e9))
