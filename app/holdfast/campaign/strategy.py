"""The campaign's trader: enters, rests, replaces, cancels and leaves without a thought of profit.

Loaded by path as any trader's file is. What it does next depends on its parameters and on how often it acted alone.
"""

import random

from pydantic import Field

from holdfast._native import OrderClass, OrderStatus, Quote, Side
from holdfast.strategies.api import E9, OrderRequest, Parameters, Strategy

CENT_E9 = 10_000_000
RESTING = frozenset({OrderStatus.NEW, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
REPLACES_OR_CANCELS = 0.7
LEAVES = 0.6
BRACKETS = 0.15
RESTS = 0.5


class RestlessParameters(Parameters):
    """Parameters of the trader."""

    seed: int = Field(default=1, ge=0)
    pause_ms: int = Field(default=350, ge=10)
    quantity_max: int = Field(default=8, ge=2, le=100)


class Restless(Strategy[RestlessParameters]):
    """Act on a symbol each `pause_ms`: whatever an order can go through, soon and often."""

    parameters_type = RestlessParameters

    def prepare(self) -> None:
        """Begin without a past."""
        self._dice = {symbol: random.Random(f"{self.parameters.seed} {symbol}") for symbol in self.symbols}  # noqa: S311 - replayable
        self._next_ns: dict[str, int] = {}

    def on_quote(self, quote: Quote) -> None:
        """Act when the pause is over."""
        if self.now_ns < self._next_ns.get(quote.symbol, 0) or quote.bid_price_e9 <= 0:
            return
        self._next_ns[quote.symbol] = self.now_ns + self.parameters.pause_ms * 1_000_000
        dice = self._dice[quote.symbol]
        orders = [
            order
            for order in self.context.open_orders(quote.symbol)
            if order.status in RESTING and not order.parent_order_id
        ]
        if orders and dice.random() < REPLACES_OR_CANCELS:
            order = dice.choice(orders)
            if order.order_class is OrderClass.SIMPLE and order.side is Side.BUY and dice.random() < RESTS:
                price_e9 = _cents(quote.bid_price_e9 * dice.randint(980, 995) // 1000)
                quantity_e9 = order.filled_quantity_e9 + dice.randint(1, self.parameters.quantity_max) * E9
                self.context.replace(order.client_order_id, quantity_e9=quantity_e9, limit_price_e9=price_e9)
            else:
                self.cancel(order.client_order_id)
        elif self.position_e9(quote.symbol) > 0 and dice.random() < LEAVES:
            self.target(quote.symbol, 0)
        elif not self.context.working_e9(quote.symbol):
            self._enter(quote, dice)

    def _enter(self, quote: Quote, dice: random.Random) -> None:
        quantity_e9 = dice.randint(2, self.parameters.quantity_max) * E9
        is_resting = dice.random() < RESTS
        price_e9 = _cents(quote.bid_price_e9 * dice.randint(980, 995) // 1000) if is_resting else quote.ask_price_e9
        is_bracket = dice.random() < BRACKETS
        self.order(
            OrderRequest(
                symbol=quote.symbol,
                side=Side.BUY,
                quantity_e9=quantity_e9,
                limit_price_e9=price_e9,
                order_class=OrderClass.BRACKET if is_bracket else OrderClass.SIMPLE,
                take_profit_price_e9=_cents(quote.ask_price_e9 * 103 // 100) if is_bracket else 0,
                stop_loss_price_e9=_cents(price_e9 * 97 // 100) if is_bracket else 0,
            )
        )


def _cents(price_e9: int) -> int:
    return price_e9 - price_e9 % CENT_E9
