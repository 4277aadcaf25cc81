"""Frames: what the venue's direction writes, the feed's direction reads back, and no bytes break it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._native import (
    Bar,
    BarKind,
    BookAction,
    BookDelta,
    FrameDecoder,
    Quote,
    Side,
    Trade,
    TradeAction,
    encode_frame,
)

if TYPE_CHECKING:
    from holdfast._native import Record

E9 = 10**9
ENCODINGS = pytest.mark.parametrize("encoding", ["json", "msgpack"])
# A float tells such amounts apart: its steps are smaller than 1e-9 up to 2**22.
amounts = st.integers(1, 2**52) | st.integers(1, 10**8).map(lambda cents: cents * E9 // 100)
times = st.integers(0, 4 * 10**18)
symbols = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ.", min_size=1, max_size=8)
letters = st.sampled_from("ABNPQZ").map(ord)
conditions = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=4)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    bid_e9, ask_e9 = sorted(draw(st.lists(amounts, min_size=2, max_size=2, unique=True)))
    return Quote(
        symbol=draw(symbols),
        ts_event_ns=draw(times),
        bid_price_e9=bid_e9,
        ask_price_e9=ask_e9,
        bid_size_e9=draw(amounts),
        ask_size_e9=draw(amounts),
        conditions=draw(conditions),
        bid_exchange=draw(letters),
        ask_exchange=draw(letters),
        tape=draw(letters),
    )


trades = st.builds(
    Trade,
    symbol=symbols,
    ts_event_ns=times,
    price_e9=amounts,
    size_e9=amounts,
    trade_id=st.integers(0, 2**64 - 1),
    conditions=conditions,
    exchange=letters,
    tape=letters,
    action=st.sampled_from([TradeAction.PRINT, TradeAction.CORRECTION]),
)


@st.composite
def bars(draw: st.DrawFn) -> Bar:
    low_e9, open_e9, close_e9, high_e9 = sorted(draw(st.lists(amounts, min_size=4, max_size=4)))
    kind = draw(st.sampled_from([BarKind.MINUTE, BarKind.UPDATED, BarKind.DAILY]))
    return Bar(
        symbol=draw(symbols),
        ts_event_ns=draw(times),
        interval_ns=(86_400 if kind is BarKind.DAILY else 60) * E9,
        open_e9=open_e9,
        high_e9=high_e9,
        low_e9=low_e9,
        close_e9=close_e9,
        volume_e9=draw(amounts),
        vwap_e9=draw(amounts),
        trade_count=draw(st.integers(0, 2**63)),
        kind=kind,
    )


@st.composite
def books(draw: st.DrawFn) -> list[BookDelta]:
    """One book message: bids, then asks, the last delta marked."""
    levels = sorted(draw(st.lists(st.tuples(st.booleans(), amounts, amounts), min_size=1, max_size=6)), reverse=True)
    ts_event_ns = draw(times)
    return [
        BookDelta(
            symbol="BTC/USD",
            ts_event_ns=ts_event_ns,
            price_e9=price_e9,
            size_e9=size_e9,
            side=Side.BUY if is_bid else Side.SELL,
            action=BookAction.SET,
            is_last=int(index == len(levels) - 1),
        )
        for index, (is_bid, price_e9, size_e9) in enumerate(levels)
    ]


batches = st.lists((quotes() | trades | bars()).map(lambda record: [record]) | books(), max_size=12)


@ENCODINGS
@given(batches)
def test_what_is_written_is_read_back(encoding: str, batch: list[list[Record]]) -> None:
    records = [record for message in batch for record in message]
    assert FrameDecoder(encoding).decode(encode_frame(records, encoding)) == records


@ENCODINGS
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_left_out(encoding: str, frame: bytes) -> None:
    assert isinstance(FrameDecoder(encoding).decode(frame), list)


@given(st.decimals(min_value=Decimal("0.000000001"), max_value=Decimal(999_999_999), places=9))
def test_json_prices_are_read_exactly(price: Decimal) -> None:
    frame = f'[{{"T":"t","S":"A","i":1,"p":{price:f},"s":1,"t":"2024-01-02T15:04:05Z"}}]'.encode()
    (trade,) = FrameDecoder("json").decode(frame)
    assert isinstance(trade, Trade)
    assert trade.price_e9 == int(price * E9)


@given(st.floats(min_value=0.0001, max_value=4_000_000))
def test_msgpack_prices_are_read_by_their_shortest_decimal(price: float) -> None:
    message = {"T": "t", "S": "A", "i": 1, "p": price, "s": 1, "t": msgpack.Timestamp(1_704_207_845, 5)}
    (trade,) = FrameDecoder("msgpack").decode(msgpack.packb([message]))
    assert isinstance(trade, Trade)
    assert trade.ts_event_ns == 1_704_207_845 * E9 + 5
    assert abs(Decimal(trade.price_e9) - Decimal(repr(price)) * E9) <= 1
