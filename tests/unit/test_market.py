"""Market data in Python: frames into a journal, books, bars and recorded sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast._native import (
    BarBuilder,
    BookAction,
    BookDelta,
    FrameDecoder,
    JournalName,
    JournalReader,
    JournalWriter,
    OrderBook,
    Quote,
    RecordedSession,
    Side,
    Trade,
    TradeAction,
    Trip,
    encode_frame,
)

E9 = 10**9
RECEIVED_NS = 1_704_207_846 * E9
QUOTE = '{"T":"q","S":"IBM","bx":"N","bp":%s,"bs":3,"ax":"Q","ap":%s,"as":4,"c":["R"],"z":"A","t":"%s"}'
AT = "2024-01-02T15:04:05.000000007Z"
TRADE = '{"T":"t","S":"IBM","i":7,"x":"N","p":182.06,"s":100,"c":["@"],"z":"A","t":"2024-01-02T15:04:05Z"}'
AT_NS = 1_704_207_845 * E9 + 7


def test_a_frame_goes_into_the_journal_in_one_call(tmp_path: Path) -> None:
    messages = [
        QUOTE % ("182.05", "182.07", AT),
        '{"T":"success","msg":"authenticated"}',
        QUOTE % ("-1", "2", AT),
        QUOTE % ("3", "2", AT),
        QUOTE % ("1", "2", "2024-01-02T15:05:05Z"),
        TRADE,
    ]
    frame = f"[{','.join(messages)}]".encode()
    with JournalWriter(str(tmp_path), JournalName.MARKET_DATA, now_ns=1) as writer:
        found = FrameDecoder("json").decode_into(frame, writer, ts_ns=RECEIVED_NS)
    assert (found.quotes, found.trades, found.records) == (3, 1, 4)
    assert found.dropped == {"negative": 1}
    assert found.flagged == {"crossed": 1, "from_future": 1}
    assert found.control == [messages[1].encode()]
    assert found.last_ts_event_ns == 1_704_207_905 * E9
    with JournalReader(str(tmp_path)) as reader:
        records = reader.read(10)
    assert [type(record) for record in records] == [Quote, Quote, Quote, Trade]
    assert {(record.ts_ns, record.origin_ns) for record in records} == {(RECEIVED_NS, RECEIVED_NS)}
    first = records[0]
    assert isinstance(first, Quote)
    assert (first.bid_price_e9, first.ask_size_e9, first.ts_event_ns) == (
        182_050_000_000,
        4 * E9,
        1_704_207_845 * E9 + 7,
    )


def test_only_market_data_can_be_sent() -> None:
    with pytest.raises(ValueError, match="market data"):
        encode_frame([Trip()], "json")
    with pytest.raises(ValueError, match="json or msgpack"):
        encode_frame([], "xml")


def delta(side: Side, price: int, size: int, action: BookAction = BookAction.SET) -> BookDelta:
    return BookDelta(symbol="BTC/USD", side=side, price_e9=price * E9, size_e9=size * E9, action=action)


def test_a_book_keeps_the_levels_of_both_sides() -> None:
    book = OrderBook("BTC/USD")
    book.apply_batch([delta(Side.BUY, 100, 1), delta(Side.BUY, 101, 2), delta(Side.SELL, 103, 3)])
    book.apply(delta(Side.BUY, 100, 0, BookAction.REMOVE))
    book.apply(delta(Side.SELL, 102, 4))
    assert (book.best_bid, book.best_ask) == ((101 * E9, 2 * E9), (102 * E9, 4 * E9))
    assert book.depth(Side.SELL, 5) == [(102 * E9, 4 * E9), (103 * E9, 3 * E9)]
    other = OrderBook("BTC/USD")
    other.apply_batch([delta(Side.SELL, 102, 4), delta(Side.SELL, 103, 3), delta(Side.BUY, 101, 2)])
    assert other.checksum() == book.checksum()
    other.apply(delta(Side.BUY, 101, 1))
    assert other.checksum() != book.checksum()
    book.apply(BookDelta(symbol="ETH/USD", side=Side.BUY, price_e9=1, size_e9=1, action=BookAction.SET))
    assert (book.updates, book.refused) == (5, 1)


def test_a_bar_has_the_exact_volume_weighted_price() -> None:
    builder = BarBuilder("IBM", interval_ns=60 * E9)
    prices = [(0, 100, 1), (59, 103, 2), (60, 90, 1)]
    made = [
        builder.on_trade(
            Trade(symbol="IBM", ts_event_ns=at * E9, price_e9=price * E9, size_e9=size * E9, action=TradeAction.PRINT)
        )
        for at, price, size in prices
    ]
    assert made[:2] == [None, None]
    bar = made[2]
    assert bar is not None
    assert (bar.open_e9, bar.high_e9, bar.low_e9, bar.close_e9) == (100 * E9, 103 * E9, 100 * E9, 103 * E9)
    assert (bar.vwap_e9, bar.volume_e9, bar.trade_count) == (102 * E9, 3 * E9, 2)


def test_a_recorded_session_yields_what_changes_the_best() -> None:
    quotes = b"1,1000000,5,0,0,P,1,0\n2,0,0,1010000,6,N,1,0\n2,0,0,1010000,6,Q,1,0\n4,1,1,0,0,Q,1,1"
    trades = b"2,1005000,100,N,0,0\n"
    session = RecordedSession([("IBM", "quote", "2013-10-08", quotes), ("IBM", "trade", "2013-10-08", trades)])
    first, second, trade = [*session.next_records(2), *session.next_records(10)]
    assert isinstance(first, Quote)
    assert isinstance(second, Quote)
    assert isinstance(trade, Trade)
    assert (first.ts_event_ns, first.ask_price_e9) == (1_381_204_800 * E9 + 1_000_000, 0)
    assert (second.bid_price_e9, second.ask_price_e9, second.ask_exchange) == (100 * E9, 101 * E9, ord("N"))
    assert (trade.price_e9, trade.size_e9) == (100_500_000_000, 100 * E9)
    assert session.is_done
    counts = (session.lines_read, session.lines_suspicious, session.quotes_emitted, session.trades_emitted)
    assert counts == (5, 1, 2, 1)
    with pytest.raises(ValueError, match="IBM, line 1: expected ms,price"):
        RecordedSession([("IBM", "trade", "2013-10-08", b"1,2,3")])
