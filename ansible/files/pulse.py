"""The lab's strategy: buys a little, holds it for some seconds, sells it, all day long."""

from pydantic import Field

from holdfast.strategies.api import Parameters, Strategy
from holdfast._native import Quote

E9 = 10**9


class PulseParameters(Parameters):
    """How much and how long."""

    quantity_e9: int = Field(default=1_000_000, gt=0)
    hold_s: float = Field(default=2.0, gt=0)
    pause_s: float = Field(default=3.0, gt=0)


class Pulse(Strategy[PulseParameters]):
    """In, out, again."""

    parameters_type = PulseParameters

    def prepare(self) -> None:
        """Begin without positions."""
        self._due_ns = 0

    def on_quote(self, quote: Quote) -> None:
        """Change sides when it is time."""
        if quote.ts_ns < self._due_ns:
            return
        is_in = self.position_e9(quote.symbol) > 0
        self.target(quote.symbol, 0 if is_in else self.parameters.quantity_e9)
        self._due_ns = quote.ts_ns + int((self.parameters.pause_s if is_in else self.parameters.hold_s) * E9)
