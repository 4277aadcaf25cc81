"""alpaca-py's streams, unmodified, against the simulated venue over TLS."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.models import Bar, Orderbook, Quote, Trade
from alpaca.trading.client import TradingClient
from alpaca.trading.models import TradeUpdate
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest
from alpaca.trading.stream import TradingStream

from fix_venue import RunningVenue
from patience import PATIENCE_S


@contextmanager
def running(stream: Any) -> Iterator[None]:
    """Run a stream in its thread as its documentation says."""
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stream.stop()
        thread.join(PATIENCE_S)


def collector() -> tuple[Callable[[Any], Any], "queue.Queue[Any]"]:
    found: queue.Queue[Any] = queue.Queue()

    async def collect(item: Any) -> None:
        found.put(item)

    return collect, found


def take(found: "queue.Queue[Any]", kind: type, *, where: Callable[[Any], bool] = lambda _: True) -> Any:
    while True:
        item = found.get(timeout=PATIENCE_S)
        if isinstance(item, kind) and where(item):
            return item


def test_shares_stream_quotes_trades_and_bars(trust_venue: RunningVenue) -> None:
    stream = StockDataStream(
        trust_venue.key_id, trust_venue.secret_key, url_override=f"{trust_venue.stream_url}/v2/iex"
    )
    collect, found = collector()
    stream.subscribe_quotes(collect, "AAPL", "IBM")
    stream.subscribe_trades(collect, "AAPL")
    stream.subscribe_bars(collect, "*")
    with running(stream):
        quote = take(found, Quote)
        assert 0 < quote.bid_price < quote.ask_price < quote.bid_price + 0.03
        assert quote.symbol in {"AAPL", "IBM"}
        trade = take(found, Trade)
        assert (trade.symbol, trade.exchange) == ("AAPL", "V")
        bar = take(found, Bar)
        assert bar.low <= bar.vwap <= bar.high
        assert bar.timestamp.second == 0


def test_pairs_stream_a_whole_book_and_then_its_changes(trust_venue: RunningVenue) -> None:
    stream = CryptoDataStream(
        trust_venue.key_id, trust_venue.secret_key, url_override=f"{trust_venue.stream_url}/v1beta3/crypto/us"
    )
    collect, found = collector()
    stream.subscribe_orderbooks(collect, "BTC/USD")
    stream.subscribe_quotes(collect, "BTC/USD")
    with running(stream):
        whole = take(found, Orderbook)
        assert whole.reset
        assert (len(whole.bids), len(whole.asks)) == (10, 10)
        assert max(level.price for level in whole.bids) < min(level.price for level in whole.asks)
        change = take(found, Orderbook)
        assert not change.reset
        assert take(found, Quote).symbol == "BTC/USD"


def test_order_updates_tell_an_order_from_new_to_its_end(trust_venue: RunningVenue) -> None:
    venue = trust_venue
    client = TradingClient(venue.key_id, venue.secret_key, url_override=venue.url)
    stream = TradingStream(venue.key_id, venue.secret_key, url_override=f"{venue.stream_url}/stream")
    collect, found = collector()
    stream.subscribe_trade_updates(collect)
    with running(stream):
        # Orders from before the stream listens are not told; a first one that is told shows that it does.
        number = 0
        while found.empty():
            number += 1
            resting = LimitOrderRequest(
                symbol="IBM", qty=1, side="buy", time_in_force="day", limit_price=100, client_order_id=f"probe-{number}"
            )
            client.submit_order(resting)
            threading.Event().wait(0.05)
        client.cancel_orders()
        request = MarketOrderRequest(symbol="AAPL", qty=25, side="buy", time_in_force="day", client_order_id="told")
        client.submit_order(request)
        is_told = lambda update: update.order.client_order_id == "told"  # noqa: E731
        assert take(found, TradeUpdate, where=is_told).event == "new"
        filled_qty = 0.0
        while filled_qty < 25:
            update = take(found, TradeUpdate, where=is_told)
            assert update.event in {"fill", "partial_fill"}
            filled_qty += update.qty
            assert float(update.order.filled_qty) == filled_qty == update.position_qty
            assert str(update.execution_id) in venue.ledger().fills()
        assert update.event == "fill"
    sent = venue.ledger().fills_sent()
    assert set(sent.values()) == {1}


def test_a_second_client_of_one_endpoint_is_turned_away(
    trust_venue: RunningVenue, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{trust_venue.stream_url}/v2/iex"
    first = StockDataStream(trust_venue.key_id, trust_venue.secret_key, url_override=url)
    collect, found = collector()
    first.subscribe_quotes(collect, "AAPL")
    with running(first):
        take(found, Quote)
        second = StockDataStream(trust_venue.key_id, trust_venue.secret_key, url_override=url)
        second.subscribe_quotes(collect, "AAPL")
        with running(second):
            while "connection limit exceeded" not in caplog.text:
                threading.Event().wait(0.02)
        take(found, Quote)
