"""Example: follow the heavier side of the book for a few seconds."""

from pydantic import Field

from holdfast._native import Quote
from holdfast.strategies.api import E9, Parameters, SessionEvent, Strategy


class ImbalanceParameters(Parameters):
    """Parameters of the example."""

    quantity: int = Field(default=10, ge=1, le=1000)
    entry_imbalance: float = Field(default=0.6, gt=0, lt=1)
    hold_s: float = Field(default=3.0, gt=0)
    pause_s: float = Field(default=5.0, gt=0)
    spread_bps_max: float = Field(default=10.0, gt=0)


class Imbalance(Strategy[ImbalanceParameters]):
    """Buy when far more is bid than offered, sell after a few seconds.

    Assumed edge: displayed size predicts the next small move. In real markets that edge is smaller than the spread this
    strategy pays twice, so it loses slowly: it is an example of the API, not advice. It uses nothing but the quote that
    it is handed.
    """

    parameters_type = ImbalanceParameters

    def prepare(self) -> None:
        """Begin without positions."""
        self._entered_ns: dict[str, int] = {}
        self._allowed_ns: dict[str, int] = {}
        self._is_closing = False
        # A handler that runs a million times a second reads each parameter and each field once.
        self._entry_imbalance = self.parameters.entry_imbalance
        self._spread_share_max = self.parameters.spread_bps_max / 10_000

    def on_quote(self, quote: Quote) -> None:
        """Enter, hold, leave."""
        symbol = quote.symbol
        if self.position_e9(symbol):
            self._hold(symbol, quote.ts_ns)
            return
        if symbol in self._entered_ns:
            del self._entered_ns[symbol]
            self._allowed_ns[symbol] = quote.ts_ns + int(self.parameters.pause_s * E9)
        if self._is_closing or quote.ts_ns < self._allowed_ns.get(symbol, 0):
            return
        bid_size_e9, ask_size_e9 = quote.bid_size_e9, quote.ask_size_e9
        size_e9 = bid_size_e9 + ask_size_e9
        if not size_e9 or (bid_size_e9 - ask_size_e9) / size_e9 < self._entry_imbalance:
            return
        bid_price_e9, ask_price_e9 = quote.bid_price_e9, quote.ask_price_e9
        middle_e9 = (bid_price_e9 + ask_price_e9) / 2
        if 0 < ask_price_e9 - bid_price_e9 <= self._spread_share_max * middle_e9:
            self._enter(quote, (bid_size_e9 - ask_size_e9) / size_e9)

    def _enter(self, quote: Quote, imbalance: float) -> None:
        self.target(quote.symbol, self.parameters.quantity * E9, strength_e9=int(imbalance * E9))
        self._allowed_ns[quote.symbol] = quote.ts_ns + int(self.parameters.pause_s * E9)

    def _hold(self, symbol: str, now_ns: int) -> None:
        entered_ns = self._entered_ns.setdefault(symbol, now_ns)
        if now_ns - entered_ns >= self.parameters.hold_s * E9 or self._is_closing:
            self.target(symbol, 0)

    def on_session(self, event: SessionEvent) -> None:
        """Enter only while the session is open."""
        self._is_closing = event is SessionEvent.CLOSED
