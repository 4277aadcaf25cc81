"""An order as a client asks for it, read into the engine's terms."""

from typing import Any

from holdfast._native import IntentAction, OrderClass, OrderIntent, OrderType, Side, TimeInForce
from holdfast.venues.simulated.answers import invalid, scaled_e9


def read_intent(body: dict[str, Any], symbol: str) -> OrderIntent:
    """Read the body of `POST /v2/orders`.

    Raises: Refused for what is no order.
    """
    profit = _member(body, "take_profit")
    loss = _member(body, "stop_loss")
    order_class = _word(body, "order_class")
    limit_price = body.get("limit_price")
    if order_class == "oco" and limit_price is None:
        limit_price = profit.get("limit_price")
    try:
        return OrderIntent(
            symbol=symbol,
            action=IntentAction.NEW,
            side=Side(_word(body, "side", is_needed=True)),
            order_type=OrderType(_word(body, "type", is_needed=True)),
            time_in_force=TimeInForce(_word(body, "time_in_force", is_needed=True)),
            order_class=OrderClass(order_class),
            quantity_e9=scaled_e9(body.get("qty"), "qty"),
            notional_e9=scaled_e9(body.get("notional"), "notional"),
            limit_price_e9=scaled_e9(limit_price, "limit_price"),
            stop_price_e9=scaled_e9(body.get("stop_price"), "stop_price"),
            trail_price_e9=scaled_e9(body.get("trail_price"), "trail_price"),
            trail_percent_e9=scaled_e9(body.get("trail_percent"), "trail_percent"),
            take_profit_price_e9=scaled_e9(profit.get("limit_price"), "take_profit.limit_price"),
            stop_loss_price_e9=scaled_e9(loss.get("stop_price"), "stop_loss.stop_price"),
            stop_loss_limit_price_e9=scaled_e9(loss.get("limit_price"), "stop_loss.limit_price"),
            is_extended_hours=int(body.get("extended_hours") is True),
        )
    except ValueError as error:
        raise invalid(str(error)) from None


def _member(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise invalid(f"{name}: expected an object")
    return value


def _word(body: dict[str, Any], name: str, *, is_needed: bool = False) -> str:
    value = body.get(name)
    if value is None or value == "":
        if is_needed:
            raise invalid(f"{name} is required")
        return ""
    if not isinstance(value, str):
        raise invalid(f"{name}: expected text")
    return value
