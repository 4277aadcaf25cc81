"""alpaca-py's historical clients, unmodified, against the simulated venue over TLS."""

import datetime as dt
from typing import Any

import pytest
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.models import BarSet, QuoteSet
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestOrderbookRequest,
    StockBarsRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from fix_venue import RunningVenue


@pytest.fixture
def stocks(trust_venue: RunningVenue) -> Any:
    return StockHistoricalDataClient(trust_venue.key_id, trust_venue.secret_key, url_override=trust_venue.url)


def test_bars_of_the_morning_are_there_and_join_to_longer_ones(stocks: Any) -> None:
    minutes = stocks.get_stock_bars(StockBarsRequest(symbol_or_symbols=["AAPL", "IBM"], timeframe=TimeFrame.Minute))
    assert isinstance(minutes, BarSet)
    first = minutes["AAPL"][:30]
    assert len(minutes["IBM"]) >= 30
    assert [bar.timestamp.minute for bar in first] == [*range(30, 60)]
    five = TimeFrame(5, TimeFrameUnit.Minute)
    joined = stocks.get_stock_bars(StockBarsRequest(symbol_or_symbols="AAPL", timeframe=five))
    assert isinstance(joined, BarSet)
    assert joined["AAPL"][0].open == first[0].open
    assert joined["AAPL"][0].high == max(bar.high for bar in first[:5])
    assert joined["AAPL"][0].volume == pytest.approx(sum(bar.volume for bar in first[:5]))


def test_pages_join_to_every_quote_of_a_span(stocks: Any) -> None:
    latest = stocks.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]
    start = latest.timestamp.astimezone(dt.UTC).replace(hour=0, minute=0) + dt.timedelta(hours=14, minutes=31)
    span = {"symbol_or_symbols": ["AAPL", "MSFT"], "start": start, "end": latest.timestamp}
    quotes = stocks.get_stock_quotes(StockQuotesRequest(**span))
    assert isinstance(quotes, QuoteSet)
    times = [quote.timestamp for quote in quotes["AAPL"]]
    assert times == sorted(times)
    # The end is sent in microseconds, so that the latest quote itself may lie behind it.
    assert latest.timestamp - times[-1] < dt.timedelta(seconds=1)
    assert len(quotes["AAPL"]) + len(quotes["MSFT"]) > 10_000, "more than one page"
    few = stocks.get_stock_trades(StockTradesRequest(**span, limit=7))
    assert sum(len(trades) for trades in few.data.values()) == 7


def test_latest_and_snapshots_agree_with_the_market(stocks: Any) -> None:
    quote = stocks.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="SPY"))["SPY"]
    trade = stocks.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="SPY"))["SPY"]
    assert abs(trade.price - quote.bid_price) < 1
    shot = stocks.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="SPY"))["SPY"]
    assert shot.daily_bar.low <= shot.latest_trade.price <= shot.daily_bar.high + 1


def test_pairs_have_history_and_a_book(trust_venue: RunningVenue) -> None:
    client: Any = CryptoHistoricalDataClient(trust_venue.key_id, trust_venue.secret_key, url_override=trust_venue.url)
    bars = client.get_crypto_bars(CryptoBarsRequest(symbol_or_symbols="BTC/USD", timeframe=TimeFrame.Minute))
    assert isinstance(bars, BarSet)
    assert len(bars["BTC/USD"]) >= 30
    book = client.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert len(book.bids) == len(book.asks) == 10
