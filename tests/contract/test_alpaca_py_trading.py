"""alpaca-py's TradingClient, unmodified, against the simulated venue over TLS."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AssetClass,
    OrderClass,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.models import AccountConfiguration, Order
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

from fix_venue import RunningVenue, StartVenue

SYMBOL = "AAPL"


@pytest.fixture
def client(trust_venue: RunningVenue) -> Any:
    return TradingClient(trust_venue.key_id, trust_venue.secret_key, url_override=trust_venue.url)


def until(found: Callable[[], bool]) -> None:
    """Poll as a client of REST alone must; the test's own timeout ends it."""
    while not found():
        time.sleep(0.02)


def order_of(client: Any, order: Any) -> Order:
    found = client.get_order_by_id(order.id)
    assert isinstance(found, Order)
    return found


def wait_filled(client: Any, order: Any) -> Order:
    until(lambda: order_of(client, order).status is OrderStatus.FILLED)
    return order_of(client, order)


def buy(client: Any, qty: float, symbol: str = SYMBOL) -> Order:
    request = MarketOrderRequest(symbol=symbol, qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    return wait_filled(client, client.submit_order(request))


def error_of(error: pytest.ExceptionInfo[APIError]) -> tuple[int, int, str]:
    body = json.loads(str(error.value))
    return error.value.status_code, body["code"], body["message"]


def test_account_assets_clock_and_calendar_have_every_field_that_is_required(client: Any) -> None:
    account = client.get_account()
    assert (account.cash, account.equity, account.buying_power) == ("100000", "100000", "200000")
    assert account.status == "ACTIVE"
    assert not account.trading_blocked
    shares = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.US_EQUITY))
    assert {asset.symbol for asset in shares} == {"AAPL", "BAC", "IBM", "MSFT", "SPY"}
    pair = client.get_asset("BTC/USD")
    assert pair == client.get_asset("BTCUSD")
    assert pair.asset_class is AssetClass.CRYPTO
    clock = client.get_clock()
    assert clock.is_open
    assert (clock.timestamp.hour, clock.timestamp.minute) == (10, 0)
    assert clock.timestamp < clock.next_close < clock.next_open
    day = clock.timestamp.date()
    days = client.get_calendar(GetCalendarRequest(start=day, end=day))
    assert [(found.date, found.open.hour, found.open.minute) for found in days] == [(day, 9, 30)]


def test_a_round_trip_leaves_the_cash_that_the_ledger_says(client: Any, venue: RunningVenue) -> None:
    bought = buy(client, 50)
    assert bought.filled_avg_price is not None
    position = client.get_open_position(SYMBOL)
    assert (position.qty, position.side, position.avg_entry_price) == ("50", PositionSide.LONG, bought.filled_avg_price)
    sold = wait_filled(client, client.close_position(SYMBOL))
    assert sold.side is OrderSide.SELL
    with pytest.raises(APIError) as error:
        client.get_open_position(SYMBOL)
    assert error_of(error) == (404, 40410000, "position does not exist")
    ledger = venue.ledger()
    assert ledger.positions_e9() == {}
    assert float(client.get_account().cash) * 1e9 == pytest.approx(ledger.cash_e9(), abs=1)
    assert set(ledger.orders()) == {bought.client_order_id, sold.client_order_id}
    assert len(ledger.entry_requests()) == 1
    activities = client.get("/account/activities/FILL")
    assert isinstance(activities, list)
    assert [activity["order_id"] for activity in activities] == [str(sold.id), str(bought.id)]


def test_a_limit_order_rests_is_listed_changed_and_canceled(client: Any) -> None:
    request = LimitOrderRequest(
        symbol=SYMBOL, qty=10, side="buy", time_in_force="gtc", limit_price=100.25, client_order_id="mine-1"
    )
    order = client.submit_order(request)
    assert isinstance(order, Order)
    assert (order.status, order.qty, order.limit_price) == (OrderStatus.PENDING_NEW, "10", "100.25")
    assert client.get_order_by_client_id("mine-1").id == order.id
    changed = client.replace_order_by_id(
        order.id, ReplaceOrderRequest(qty=7, limit_price=101.5, client_order_id="mine-2")
    )
    assert isinstance(changed, Order)
    assert (changed.replaces, changed.qty, changed.limit_price) == (order.id, "7", "101.5")
    assert order_of(client, order).status is OrderStatus.REPLACED
    assert order_of(client, order).replaced_by == changed.id
    listed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, symbols=[SYMBOL]))
    assert [found.id for found in listed if isinstance(found, Order)] == [changed.id]
    client.cancel_order_by_id(changed.id)
    assert order_of(client, changed).status is OrderStatus.CANCELED
    with pytest.raises(APIError) as error:
        client.cancel_order_by_id(changed.id)
    assert error_of(error) == (422, 42210000, 'order is already in "canceled" state')
    assert client.get_orders() == []
    closed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED, limit=1))
    assert [found.id for found in closed if isinstance(found, Order)] == [changed.id]


def test_every_type_and_time_in_force_is_taken(client: Any) -> None:
    buy(client, 100)
    sale = {"symbol": SYMBOL, "qty": 10, "side": "sell"}
    taken = [
        client.submit_order(StopOrderRequest(**sale, time_in_force="gtc", stop_price=100)),
        client.submit_order(StopLimitOrderRequest(**sale, time_in_force="day", stop_price=100, limit_price=99)),
        client.submit_order(TrailingStopOrderRequest(**sale, time_in_force="gtc", trail_percent=5)),
        client.submit_order(TrailingStopOrderRequest(**sale, time_in_force="day", trail_price=9.5)),
        client.submit_order(LimitOrderRequest(**sale, time_in_force="cls", limit_price=400)),
    ]
    kinds = [order_of(client, order).type for order in taken]
    assert kinds == [OrderType.STOP, OrderType.STOP_LIMIT, *[OrderType.TRAILING_STOP] * 2, OrderType.LIMIT]
    for time_in_force in ("ioc", "fok"):
        order = client.submit_order(LimitOrderRequest(**sale, time_in_force=time_in_force, limit_price=900))
        assert order_of(client, order).status is OrderStatus.CANCELED
    fraction = MarketOrderRequest(symbol="SPY", notional=250.5, side="buy", time_in_force="day")
    filled = wait_filled(client, client.submit_order(fraction))
    assert (filled.notional, filled.qty) == ("250.5", None)
    answers = client.cancel_orders()
    assert isinstance(answers, list)
    assert [getattr(answer, "status", None) for answer in answers] == [200] * 5
    assert client.get_orders() == []


def test_a_bracket_holds_its_exits_until_the_entry_fills(client: Any) -> None:
    request = MarketOrderRequest(
        symbol=SYMBOL,
        qty=20,
        side="buy",
        time_in_force="gtc",
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfitRequest(limit_price=400),
        stop_loss=StopLossRequest(stop_price=100, limit_price=99.5),
    )
    entry = client.submit_order(request)
    assert isinstance(entry, Order)
    assert entry.legs is not None
    profit, loss = entry.legs
    assert (profit.status, loss.status) == (OrderStatus.HELD, OrderStatus.HELD)
    wait_filled(client, entry)
    assert order_of(client, profit).status is OrderStatus.NEW
    assert order_of(client, loss).status is OrderStatus.HELD
    assert client.get_open_position(SYMBOL).qty_available == "0"
    with pytest.raises(APIError) as error:
        client.close_position(SYMBOL)
    assert error_of(error)[:2] == (403, 40310000)
    client.cancel_order_by_id(profit.id)
    assert order_of(client, loss).status is OrderStatus.CANCELED


def test_refusals_carry_the_venues_codes(client: Any) -> None:
    request = LimitOrderRequest(
        symbol=SYMBOL, qty=1, side="buy", time_in_force="day", limit_price=50, client_order_id="once"
    )
    client.submit_order(request)
    with pytest.raises(APIError) as error:
        client.submit_order(request)
    assert error_of(error) == (422, 40010001, "client_order_id must be unique")
    with pytest.raises(APIError) as error:
        client.submit_order(
            LimitOrderRequest(symbol=SYMBOL, qty=5_000, side="buy", time_in_force="day", limit_price=50)
        )
    assert error_of(error) == (403, 40310000, "insufficient buying power")
    with pytest.raises(APIError) as error:
        client.submit_order(MarketOrderRequest(symbol=SYMBOL, qty=1, side="sell", time_in_force="day"))
    assert error_of(error)[2].startswith("potential wash trade")
    with pytest.raises(APIError) as error:
        client.submit_order(MarketOrderRequest(symbol="NOPE", qty=1, side="buy", time_in_force="day"))
    assert error_of(error)[0] == 422
    with pytest.raises(APIError) as error:
        client.get_order_by_id(uuid.uuid4())
    assert error_of(error)[0] == 404


def test_a_short_and_a_pair_are_closed_together(client: Any) -> None:
    short = MarketOrderRequest(symbol=SYMBOL, qty=10, side="sell", time_in_force="day")
    wait_filled(client, client.submit_order(short))
    pair = MarketOrderRequest(symbol="BTC/USD", qty=0.005, side="buy", time_in_force="gtc")
    wait_filled(client, client.submit_order(pair))
    held = {position.symbol: (position.qty, position.side) for position in client.get_all_positions()}
    assert held == {"AAPL": ("-10", PositionSide.SHORT), "BTCUSD": ("0.005", PositionSide.LONG)}
    half = client.close_position(SYMBOL, ClosePositionRequest(percentage="50"))
    assert wait_filled(client, half).filled_qty == "5"
    answers = client.close_all_positions(cancel_orders=True)
    assert isinstance(answers, list)
    assert len(answers) == 2
    until(lambda: client.get_all_positions() == [])


def test_a_suspended_account_refuses_orders_until_it_is_released(client: Any) -> None:
    configuration = client.get_account_configurations()
    assert isinstance(configuration, AccountConfiguration)
    configuration.suspend_trade = True
    client.set_account_configurations(configuration)
    assert client.get_account().trade_suspended_by_user
    with pytest.raises(APIError) as error:
        buy(client, 1)
    assert error_of(error)[0] == 403
    configuration.suspend_trade = False
    client.set_account_configurations(configuration)
    buy(client, 1)


def test_wrong_keys_and_too_many_requests_are_turned_away(
    start_venue: StartVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = start_venue(rate_limit=3)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(venue.ca_file))
    stranger = TradingClient(venue.key_id, "wrong", url_override=venue.url)
    with pytest.raises(APIError) as error:
        stranger.get_account()
    assert error.value.status_code == 401
    client: Any = TradingClient(venue.key_id, venue.secret_key, url_override=venue.url)
    # The limit counts by minutes of the clock; one of them may end while this runs.
    client._retry = 0
    statuses = []
    for _ in range(8):
        try:
            client.get_clock()
            statuses.append(200)
        except APIError as refused:
            statuses.append(refused.status_code)
    assert statuses[:3] == [200] * 3
    assert 429 in statuses[3:]
