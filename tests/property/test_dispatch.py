"""Market data on its way to the strategies: what is handed over never depends on how it is read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._native import (
    Bar,
    BookDelta,
    Consumed,
    JournalName,
    JournalReader,
    JournalWriter,
    MarketDispatch,
    OrderIntent,
    Quote,
    Signal,
    Trade,
)
from holdfast.services.signal_bridge import SignalBridge
from holdfast.strategies import Parameters, SessionEvent, Strategy
from holdfast.strategies.host import SlotContext, StrategyHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast._native import Record

E9 = 10**9
SESSIONS = [(50, 60), (70, 80)]
SYMBOLS = ("IBM", "MSFT", "BTC/USD", "ABCDEFGHIJKLMNOP")


class Answering(Strategy[Parameters]):
    """Answers some records, remembers the sessions, fails at one size."""

    def prepare(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def on_quote(self, quote: Quote) -> None:
        self.seen.append((quote.symbol, quote.seq, self.now_ns))
        if quote.bid_size_e9 == 7:
            raise ZeroDivisionError(quote.symbol)
        if quote.bid_size_e9 % 3 == 0:
            self.target(quote.symbol, quote.ask_size_e9 * E9)

    def on_trade(self, trade: Trade) -> None:
        self.seen.append((trade.symbol, trade.seq, self.now_ns))
        other = self.context.quote("MSFT")
        if other is not None and trade.price_e9 % 2:
            self.target("MSFT", trade.price_e9)

    def on_session(self, event: SessionEvent) -> None:
        self.seen.append((event.value, 0, self.now_ns))
        self.target("IBM", E9)


class Watching(Strategy[Parameters]):
    """Handles bars only."""

    def prepare(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def on_bar(self, bar: Bar) -> None:
        self.seen.append((bar.symbol, bar.seq, self.now_ns))
        self.target(bar.symbol, bar.open_e9)


class Kept:
    """Keeps what a bridge writes."""

    def __init__(self) -> None:
        self.next_seq = 1
        self.written: list[tuple[object, ...]] = []

    def append(
        self,
        record: Consumed | Signal | OrderIntent,
        *,
        ts_ns: int,
        cause_journal: JournalName = JournalName.NONE,
        cause_seq: int = 0,
        origin_ns: int = 0,
    ) -> int:
        self.written.append((record, ts_ns, cause_journal, cause_seq, origin_ns))
        self.next_seq += 1
        return self.next_seq - 1


def market() -> st.SearchStrategy[list[Record]]:
    small = st.integers(min_value=0, max_value=12)
    times = st.integers(min_value=40, max_value=90)
    symbols = st.sampled_from((*SYMBOLS, "OTHER"))
    quotes = st.builds(
        Quote, symbol=symbols, ts_event_ns=times, bid_size_e9=small, ask_size_e9=small, bid_price_e9=small,
        ask_price_e9=small,
    )  # fmt: skip
    trades = st.builds(Trade, symbol=symbols, ts_event_ns=times, price_e9=small)
    bars = st.builds(Bar, symbol=symbols, ts_event_ns=times, open_e9=small)
    return st.lists(st.one_of(quotes, trades, bars, st.builds(BookDelta, symbol=symbols)), max_size=40)


def host_of(failed: list[str]) -> tuple[StrategyHost, list[Answering | Watching]]:
    host = StrategyHost(SESSIONS, on_failure=failed.append)
    made: list[Answering | Watching] = []
    kinds: tuple[type[Answering | Watching], ...] = (Answering, Watching, Answering)
    for index, kind in enumerate(kinds):

        def make(
            context: SlotContext, index: int = index, kind: type[Answering | Watching] = kind
        ) -> Strategy[Parameters]:
            made.append(kind(name=f"s{index}", symbols=SYMBOLS[index:], parameters=Parameters(), context=context))
            return made[-1]

        host.add(make)
    return host, made


def by_record(records: Sequence[Record]) -> tuple[object, ...]:
    """Hand over record by record: nothing is read ahead."""
    failed: list[str] = []
    host, made = host_of(failed)
    sink = Kept()
    host.next_output_seq = lambda: sink.next_seq + 1 + len(host.outputs)
    for record in records:
        host.on_market(record)
        if host.outputs:
            sink.append(Consumed(market_data_seq=record.seq), ts_ns=0)
            for output in host.outputs:
                sink.append(
                    output, ts_ns=0, cause_journal=JournalName.MARKET_DATA, cause_seq=record.seq,
                    origin_ns=record.origin_ns,
                )  # fmt: skip
            host.outputs.clear()
    return sink.written, failed, host.failures, [strategy.seen for strategy in made]


def by_batch(directory: Path, sizes: Sequence[int]) -> tuple[object, ...]:
    failed: list[str] = []
    host, made = host_of(failed)
    sink = Kept()
    executions = directory / "executions"
    JournalWriter(str(executions), JournalName.EXECUTIONS, now_ns=1).close()
    with JournalReader(str(directory / "market")) as reader, JournalReader(str(executions)) as fills:
        bridge = SignalBridge(host, sink, market=reader, executions=fills, read_clock=int)
        turn = 0
        while bridge.read_market(sizes[turn % len(sizes)]):
            turn += 1
        assert reader.next_seq == reader.last_seq + 1
    return sink.written, failed, host.failures, [strategy.seen for strategy in made]


@given(market(), st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=4))
def test_outputs_do_not_depend_on_batches(records: list[Record], sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with JournalWriter(str(directory / "market"), JournalName.MARKET_DATA, now_ns=1) as writer:
            for number, record in enumerate(records):
                writer.append(record, ts_ns=100 + number, origin_ns=200 + number)
        with JournalReader(str(directory / "market")) as reader:
            journaled = reader.read(len(records) + 1)
        assert by_batch(directory, sizes) == by_record(journaled)


def test_a_request_to_end_the_process_is_not_taken_for_a_failure() -> None:
    def end(_quote: Quote) -> None:
        raise KeyboardInterrupt

    failed: list[object] = []
    dispatch = MarketDispatch(on_session=lambda _ns: None, on_failure=lambda slot, _error: failed.append(slot))
    dispatch.listen(Quote, "IBM", end, slot="slot")
    with pytest.raises(KeyboardInterrupt):
        dispatch.give(Quote(symbol="IBM"))
    assert failed == []


def test_the_latest_quote_is_known_also_of_a_symbol_without_listeners(tmp_path: Path) -> None:
    dispatch = MarketDispatch(on_session=lambda _ns: None, on_failure=lambda _slot, _error: None)
    with JournalWriter(str(tmp_path), JournalName.MARKET_DATA, now_ns=1) as writer:
        for size in (1, 2):
            writer.append(Quote(symbol="IBM", bid_size_e9=size), ts_ns=size)
    with JournalReader(str(tmp_path)) as reader:
        assert dispatch.read(reader, 10, []) == 2
    found = dispatch.quote("IBM")
    assert found is not None
    assert (found.bid_size_e9, found.seq, dispatch.now_ns) == (2, 2, 2)
    assert dispatch.quote("MSFT") is None
