"""What a trader writes against.

A strategy is a class with handlers. It sees only records that were journaled before it was called and asks for orders
through its context; whether one is sent is the risk gate's decision. Handlers must be deterministic: time is
`self.now_ns`, the venue's clock is in the records, and nothing else may be asked for, so that a recorded day replays
to the same byte.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from holdfast._native import (
    Bar,
    Fill,
    Order,
    OrderClass,
    OrderEvent,
    OrderType,
    Quote,
    Side,
    TimeInForce,
    Trade,
)
from holdfast.symbols import is_crypto_pair

E9 = 10**9


class Parameters(BaseModel):
    """Parameters of a strategy, validated before anything starts; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionEvent(Enum):
    """What happened to the trading session."""

    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order as a strategy asks for it. Prices and quantities are scaled by 1e-9; 0 is absent."""

    symbol: str
    side: Side
    quantity_e9: int
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.DAY
    order_class: OrderClass = OrderClass.SIMPLE
    limit_price_e9: int = 0
    stop_price_e9: int = 0
    trail_price_e9: int = 0
    trail_percent_e9: int = 0
    take_profit_price_e9: int = 0
    stop_loss_price_e9: int = 0
    stop_loss_limit_price_e9: int = 0
    is_extended_hours: bool = False
    strength_e9: int = E9


class Context(Protocol):
    """What the host offers to one strategy."""

    @property
    def now_ns(self) -> int:
        """Receive time of the record being handled, ns UTC."""

    def quote(self, symbol: str) -> Quote | None:
        """Return the latest quote."""

    def position_e9(self, symbol: str) -> int:
        """Return this strategy's own signed quantity, from its fills."""

    def working_e9(self, symbol: str) -> int:
        """Return the signed quantity that is asked for or open and not filled yet."""

    def open_orders(self, symbol: str) -> list[Order]:
        """Return this strategy's open orders."""

    def submit(self, request: OrderRequest) -> None:
        """Ask for an order."""

    def cancel(self, client_order_id: str) -> None:
        """Ask to cancel an order."""

    def replace(self, client_order_id: str, *, quantity_e9: int, limit_price_e9: int) -> None:
        """Ask to replace quantity and limit price of an open order.

        Both may fill until the venue replaced the old one, so an order that closes is replaced only by what the
        position holds beside it: to move the exit of a whole position, cancel it and ask anew once it ended.
        """

    def log(self, event: str, **facts: object) -> None:
        """Write one line to the service's log."""


P_co = TypeVar("P_co", bound=Parameters, covariant=True)


class Strategy(Generic[P_co]):
    """Base of a trader's strategy: override the handlers it needs."""

    parameters_type: ClassVar[type[Parameters]] = Parameters

    def __init__(self, *, name: str, symbols: tuple[str, ...], parameters: P_co, context: Context) -> None:
        self.name = name
        self.symbols = symbols
        self.parameters = parameters
        self.context = context

    def prepare(self) -> None:
        """Set up the strategy's own state; called once, before the warm-up."""

    def on_start(self) -> None:
        """Handle the start, after the warm-up."""

    def on_quote(self, quote: Quote) -> None:
        """Handle a quote of one of the symbols."""

    def on_trade(self, trade: Trade) -> None:
        """Handle a public trade of one of the symbols."""

    def on_bar(self, bar: Bar) -> None:
        """Handle a bar of one of the symbols."""

    def on_fill(self, fill: Fill) -> None:
        """Handle a fill of an order of this strategy or of its protective stop; the position counts it already."""

    def on_order(self, event: OrderEvent) -> None:
        """Handle a step in the life of an order of this strategy."""

    def on_session(self, event: SessionEvent) -> None:
        """Handle the opening or the close of the session."""

    @property
    def now_ns(self) -> int:
        """Receive time of the record being handled, ns UTC."""
        return self.context.now_ns

    def position_e9(self, symbol: str) -> int:
        """Return this strategy's own signed quantity, scaled by 1e-9."""
        return self.context.position_e9(symbol)

    def order(self, request: OrderRequest) -> None:
        """Ask for an order."""
        self.context.submit(request)

    def cancel(self, client_order_id: str) -> None:
        """Ask to cancel one of this strategy's orders."""
        self.context.cancel(client_order_id)

    def target(self, symbol: str, quantity_e9: int, *, strength_e9: int = E9) -> None:
        """Ask for what is missing to a position of `quantity_e9`, as a limit order at the far side of the market.

        What is already working counts; a change of sign goes to zero first. Nothing is asked for without a quote.
        """
        quote = self.context.quote(symbol)
        position_e9 = self.context.position_e9(symbol)
        if position_e9 and (quantity_e9 > 0) != (position_e9 > 0):
            quantity_e9 = 0
        missing_e9 = quantity_e9 - position_e9 - self.context.working_e9(symbol)
        if quote is None or not missing_e9:
            return
        is_buy = missing_e9 > 0
        self.context.submit(
            OrderRequest(
                symbol=symbol,
                side=Side.BUY if is_buy else Side.SELL,
                quantity_e9=abs(missing_e9),
                limit_price_e9=quote.ask_price_e9 if is_buy else quote.bid_price_e9,
                time_in_force=TimeInForce.GTC if is_crypto_pair(symbol) else TimeInForce.DAY,
                strength_e9=strength_e9,
            ),
        )
