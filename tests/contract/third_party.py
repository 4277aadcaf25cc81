"""A trader's script, written from Alpaca's documentation only: watch quotes, buy, sell, until the stream tells so.

Usage: third_party.py URL KEY_ID SECRET_KEY SYMBOL
"""

import json
import sys
import threading
import time
from typing import Any

from alpaca.data.enums import DataFeed
from alpaca.data.live import StockDataStream
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from alpaca.trading.stream import TradingStream

ROUNDS_MAX = 50


def main(url: str, key_id: str, secret_key: str, symbol: str) -> None:
    client = TradingClient(key_id, secret_key, paper=True, url_override=url)
    host = url.replace("https://", "wss://")
    updates = TradingStream(key_id, secret_key, paper=True, url_override=f"{host}/stream")
    market = StockDataStream(key_id, secret_key, feed=DataFeed.IEX, url_override=f"{host}/v2/iex")
    bids: list[float] = []
    events: list[str] = []
    quoted, sold = threading.Event(), threading.Event()

    async def on_quote(quote: Any) -> None:
        bids.append(quote.bid_price)
        quoted.set()

    async def on_update(update: Any) -> None:
        events.append(f"{getattr(update.event, 'value', update.event)} {update.order.side.value}")
        if events[-1] == "fill sell":
            sold.set()

    def trade(side: OrderSide) -> float:
        request = MarketOrderRequest(symbol=symbol, qty=10, side=side, time_in_force=TimeInForce.DAY)
        order: Any = client.submit_order(request)
        while order.status != OrderStatus.FILLED:
            time.sleep(0.02)
            order = client.get_order_by_id(order.id)
        return float(order.filled_avg_price)

    updates.subscribe_trade_updates(on_update)
    market.subscribe_quotes(on_quote, symbol)
    for stream in (updates, market):
        threading.Thread(target=stream.run, daemon=True).start()
    quoted.wait(20)
    profit = 0.0
    rounds = 0
    while not sold.wait(0.2) and rounds < ROUNDS_MAX:
        profit -= trade(OrderSide.BUY) * 10
        profit += trade(OrderSide.SELL) * 10
        rounds += 1
    account: Any = client.get_account()
    report = {"rounds": rounds, "events": events, "quotes": len(bids), "profit": profit, "cash": account.cash}
    print(json.dumps(report))  # noqa: T201 - the script's result


if __name__ == "__main__":
    main(*sys.argv[1:])
