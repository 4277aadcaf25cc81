"""A strategy that asks for anything: it exercises the system, it does not trade."""

import random

from holdfast._native import Order, OrderClass, OrderEvent, OrderStatus, OrderType, Quote, Side, TimeInForce
from holdfast.strategies.api import E9, OrderRequest, Parameters, Strategy

CENT_E9 = E9 // 100
ENDED = frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED})
RESTING = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.ACCEPTED})


class RestlessParameters(Parameters):
    """Parameters of the strategy; chances are in percent of quotes."""

    seed: int
    quantity_max: int = 20
    act_percent: int = 25
    bracket_percent: int = 10


class Restless(Strategy[RestlessParameters]):
    """Enter, leave, rest, cancel, replace: whatever the seed says at a quote."""

    parameters_type = RestlessParameters

    def prepare(self) -> None:
        """Begin the sequence of decisions."""
        self._draw = random.Random(self.parameters.seed)  # noqa: S311 - repeatable on purpose

    def on_quote(self, quote: Quote) -> None:
        """Perhaps do something."""
        draw = self._draw
        if draw.randrange(100) >= self.parameters.act_percent:
            return
        symbol = quote.symbol
        resting = [order for order in self.context.open_orders(symbol) if order.status in RESTING]
        action = draw.randrange(12)
        if action < 2 and resting:
            self.cancel(draw.choice(resting).client_order_id)
        elif action < 4 and resting:
            self._replace(draw.choice(resting), quote)
        elif action < 7:
            is_flat = draw.randrange(3) == 0
            self.target(symbol, 0 if is_flat else draw.randint(1, self.parameters.quantity_max) * E9)
        elif action == 10:
            self._sell_twice(quote)
        else:
            self._enter(quote)

    def on_order(self, event: OrderEvent) -> None:
        """Perhaps ask again at once when an order ended: also when the session did."""
        quote = self.context.quote(event.symbol)
        if event.status in ENDED and quote is not None and self._draw.randrange(3) == 0:
            self._enter(quote)

    def _sell_twice(self, quote: Quote) -> None:
        """Ask for two sales of everything held: only one of them may leave."""
        held_e9 = self.position_e9(quote.symbol)
        if held_e9 <= 0:
            return
        for price_e9 in (quote.bid_price_e9, quote.bid_price_e9 - CENT_E9):
            self.order(
                OrderRequest(symbol=quote.symbol, side=Side.SELL, quantity_e9=held_e9, limit_price_e9=price_e9),
            )

    def _replace(self, order: Order, quote: Quote) -> None:
        if order.order_class not in (OrderClass.NONE, OrderClass.SIMPLE):
            return
        move_e9 = self._draw.randint(-10, 10) * CENT_E9
        price_e9 = (quote.bid_price_e9 if order.side is Side.BUY else quote.ask_price_e9) + move_e9
        quantity_e9 = order.filled_quantity_e9 + self._draw.randint(1, self.parameters.quantity_max) * E9
        if order.side is Side.SELL:
            quantity_e9 = order.quantity_e9
        self.context.replace(order.client_order_id, quantity_e9=quantity_e9, limit_price_e9=price_e9)

    def _enter(self, quote: Quote) -> None:
        """Ask for a purchase that rests below the market, or for a bracket."""
        draw = self._draw
        price_e9 = quote.bid_price_e9 - draw.randint(-3, 30) * CENT_E9
        is_bracket = draw.randrange(100) < self.parameters.bracket_percent
        price_e9 = quote.ask_price_e9 if is_bracket else price_e9
        self.order(
            OrderRequest(
                symbol=quote.symbol,
                side=Side.BUY,
                quantity_e9=draw.randint(1, self.parameters.quantity_max) * E9,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.DAY,
                order_class=OrderClass.BRACKET if is_bracket else OrderClass.SIMPLE,
                limit_price_e9=price_e9,
                take_profit_price_e9=price_e9 * 101 // 100 // CENT_E9 * CENT_E9 if is_bracket else 0,
                stop_loss_price_e9=price_e9 * 99 // 100 // CENT_E9 * CENT_E9 if is_bracket else 0,
            ),
        )
