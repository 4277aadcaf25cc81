"""A strategy that never rests: buys one share, sells it, and again. For the tick-to-wire benchmark only."""

from pydantic import Field

from holdfast._native import OrderEvent, OrderStatus, Quote, Side, TimeInForce
from holdfast.strategies.api import E9, OrderRequest, Parameters, Strategy

ASK_AGAIN_NS = 1_100_000_000
ENDED = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.WITHHELD})


class RoundTripParameters(Parameters):
    """How long to wait between two orders of a symbol, by the time of the records."""

    pause_ms: int = Field(default=20, ge=1, le=10_000)


class RoundTrip(Strategy[RoundTripParameters]):
    """Answer a quote with an order whenever the one before it is filled."""

    parameters_type = RoundTripParameters

    def prepare(self) -> None:
        """Begin without an order."""
        self._allowed_ns: dict[str, int] = {}

    def on_quote(self, quote: Quote) -> None:
        """Buy without a position, sell with one; what is denied or withheld is asked for again a little later."""
        symbol = quote.symbol
        if self.now_ns < self._allowed_ns.get(symbol, 0):
            return
        self._allowed_ns[symbol] = self.now_ns + ASK_AGAIN_NS
        is_sale = self.position_e9(symbol) > 0
        side, price_e9 = (Side.SELL, quote.bid_price_e9) if is_sale else (Side.BUY, quote.ask_price_e9)
        self.order(
            OrderRequest(
                symbol=symbol, side=side, quantity_e9=E9, limit_price_e9=price_e9, time_in_force=TimeInForce.IOC
            )
        )

    def on_order(self, event: OrderEvent) -> None:
        """Allow the next order once this one ended, filled or not."""
        if event.status in ENDED:
            self._allowed_ns[event.symbol] = self.now_ns + self.parameters.pause_ms * 1_000_000
