"""A strategy that never rests: buys one share, sells it, and again. For the tick-to-wire benchmark only."""

from pydantic import Field

from holdfast._native import Quote
from holdfast.strategies.api import E9, Parameters, Strategy


class RoundTripParameters(Parameters):
    """How long to wait between two orders, by the time of the records."""

    pause_ms: int = Field(default=20, ge=1, le=10_000)


class RoundTrip(Strategy[RoundTripParameters]):
    """Answer a quote with an order as often as `pause_ms` allows."""

    parameters_type = RoundTripParameters

    def prepare(self) -> None:
        """Begin without an order."""
        self._allowed_ns = 0

    def on_quote(self, quote: Quote) -> None:
        """Buy without a position, sell with one."""
        if self.now_ns >= self._allowed_ns:
            self._allowed_ns = self.now_ns + self.parameters.pause_ms * 1_000_000
            self.target(quote.symbol, 0 if self.position_e9(quote.symbol) else E9)
