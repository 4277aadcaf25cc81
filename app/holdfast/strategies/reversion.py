"""Example: buy weakness at the lower Bollinger band, leave at the middle."""

from collections import deque

import numpy as np
from pydantic import Field

from holdfast._native import Quote
from holdfast.strategies.api import E9, Parameters, Strategy
from holdfast.strategies.indicators import bollinger_bands, relative_strength_index


class ReversionParameters(Parameters):
    """Parameters of the example."""

    quantity: int = Field(default=10, ge=1, le=1000)
    bar_s: float = Field(default=0.5, gt=0)
    period: int = Field(default=12, ge=2, le=500)
    deviations: float = Field(default=1.5, gt=0)
    rsi_entry_max: float = Field(default=45.0, gt=0, lt=100)


class Reversion(Strategy[ReversionParameters]):
    """Buy below the lower Bollinger band when the RSI is low, sell at the middle band.

    Assumed edge: short moves of a quiet market revert. Trends break it, and the spread is paid twice: it is an example
    of indicators in a strategy, not advice. A bar closes with the first quote after its interval: none looks ahead.
    """

    parameters_type = ReversionParameters

    def prepare(self) -> None:
        """Begin without bars."""
        self._closes: dict[str, deque[float]] = {}
        self._ends_ns: dict[str, int] = {}

    def on_quote(self, quote: Quote) -> None:
        """Close a bar when its interval is over, then decide."""
        symbol = quote.symbol
        if quote.ts_event_ns < self._ends_ns.get(symbol, 0):
            return
        middle = (quote.bid_price_e9 + quote.ask_price_e9) / 2 / E9
        closes = self._closes.setdefault(symbol, deque(maxlen=3 * self.parameters.period))
        closes.append(middle)
        self._ends_ns[symbol] = quote.ts_event_ns + int(self.parameters.bar_s * E9)
        if len(closes) <= self.parameters.period:
            return
        series = np.fromiter(closes, dtype=np.float64)
        _, average, lower = bollinger_bands(series, self.parameters.period, self.parameters.deviations)
        if self.position_e9(symbol):
            if middle >= average:
                self.target(symbol, 0)
        elif (
            middle < lower and relative_strength_index(series, self.parameters.period) <= self.parameters.rsi_entry_max
        ):
            self.target(symbol, self.parameters.quantity * E9)
