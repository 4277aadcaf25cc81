"""Recorded quotes through a Python strategy, as `holdfast replay` feeds them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from holdfast import clock
from holdfast._native import Consumed, JournalName, JournalReader, JournalWriter, OrderIntent, Quote, Signal
from holdfast.bench import BenchResult
from holdfast.services.signal_bridge import BATCH_RECORDS_MAX, SignalBridge
from holdfast.strategies.host import StrategyHost
from holdfast.strategies.imbalance import Imbalance, ImbalanceParameters

NAME = "replay"
BUDGET_PER_S = 1_000_000.0
E9 = 10**9


class _Counted:
    """Takes what the bridge writes and only counts it."""

    def __init__(self) -> None:
        self.next_seq = 1

    def append(
        self,
        _record: Consumed | Signal | OrderIntent,
        *,
        ts_ns: int,
        cause_journal: JournalName = JournalName.NONE,
        cause_seq: int = 0,
        origin_ns: int = 0,
    ) -> int:
        del ts_ns, cause_journal, cause_seq, origin_ns
        self.next_seq += 1
        return self.next_seq - 1


def _record(directory: Path, count: int) -> None:
    with JournalWriter(str(directory), JournalName.MARKET_DATA, now_ns=1) as writer:
        for index in range(count):
            quote = Quote(
                symbol="IBM",
                ts_event_ns=index * 1_000_000,
                bid_price_e9=182 * E9 + index % 50 * E9 // 100,
                ask_price_e9=182 * E9 + (index % 50 + 2) * E9 // 100,
                bid_size_e9=(1 + index % 9) * E9,
                ask_size_e9=(1 + index % 7) * E9,
            )
            writer.append(quote, ts_ns=index * 1_000_000, origin_ns=index * 1_000_000)


def _events_per_s(directory: Path, executions: Path, count: int) -> float:
    host = StrategyHost([(0, 2**62)], on_failure=lambda _name: None)
    host.add(
        lambda context: Imbalance(
            name="imbalance", symbols=("IBM",), parameters=ImbalanceParameters(entry_imbalance=0.95), context=context
        )
    )
    with JournalReader(str(directory)) as market, JournalReader(str(executions)) as fills:
        bridge = SignalBridge(host, _Counted(), market=market, executions=fills, read_clock=int)
        host.start()
        started_ns = clock.thread_ns()
        while bridge.read_market(BATCH_RECORDS_MAX):
            pass
        return count * 1e9 / (clock.thread_ns() - started_ns)


def run(*, quick: bool) -> list[BenchResult]:
    """Measure the imbalance example over recorded quotes."""
    count = 50_000 if quick else 300_000
    with tempfile.TemporaryDirectory() as state:
        market, executions = Path(state, "market_data"), Path(state, "executions")
        _record(market, count)
        JournalWriter(str(executions), JournalName.EXECUTIONS, now_ns=1).close()
        ours_per_s = max(_events_per_s(market, executions, count) for _ in range(3))
    return [
        BenchResult(
            bench=NAME,
            metric="quotes_through_python_strategy",
            unit="events/s",
            ours=ours_per_s,
            budget=BUDGET_PER_S,
            peer=None,
            peer_name="",
            met=ours_per_s >= BUDGET_PER_S,
        )
    ]
