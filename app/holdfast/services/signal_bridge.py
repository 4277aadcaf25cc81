"""signal-bridge: runs the strategies and writes what they ask for into the journal `signals`.

The loop runs in a thread of its own and sleeps in the kernel until one of its inputs grows; the event loop of the
frame only answers signals and metrics meanwhile. Before each batch of outputs, and before each batch of executions, a
Consumed record says how far the inputs were read: `holdfast replay` walks the same path (ARCHITECTURE, decision 4).
"""

import asyncio
from collections.abc import Sequence

from holdfast import clock, metrics
from holdfast._native import (
    Consumed,
    JournalName,
    JournalReader,
    JournalWriter,
    OrderIntent,
    Signal,
    wait_any,
)
from holdfast.journals import open_reader, open_writer
from holdfast.logs import get_logger
from holdfast.service import Frame
from holdfast.settings.sessions import load_sessions
from holdfast.strategies.host import StrategyHost
from holdfast.strategies.load import add_strategies

BATCH_RECORDS_MAX = 256
EXECUTIONS_MAX = 1_000
WARM_UP_RECORDS_MAX = 50_000
HEARTBEAT_INTERVAL_NS = 100_000_000
WAIT_S = 0.1

log = get_logger()


class SignalBridge:
    """The only writer of `signals`."""

    def __init__(
        self,
        host: StrategyHost,
        writer: JournalWriter,
        *,
        market: JournalReader,
        executions: JournalReader,
    ) -> None:
        self._host = host
        self._writer = writer
        self._market = market
        self._executions = executions
        self._heartbeat_ns = 0
        self._marks_ahead = 0
        host.next_output_seq = self._next_output_seq
        self.is_stopping = False

    def start(self) -> None:
        """Rebuild positions from every fill, warm up on the latest market data, mark the start.

        The start marker is a Consumed record whose `signals_seq` is its own number.
        """
        while records := self._executions.read(EXECUTIONS_MAX):
            for record in records:
                self._host.on_execution(record, is_rebuilding=True)
        head = self._market.last_seq
        self._market.seek(max(self._market.first_seq, head + 1 - WARM_UP_RECORDS_MAX))
        while self._market.next_seq <= head:
            self._host.warm_up(self._market.read(min(BATCH_RECORDS_MAX, head + 1 - self._market.next_seq)))
        self._mark(signals_seq=self._writer.next_seq, ts_ns=clock.now_ns())
        self._host.start()
        self._flush(JournalName.NONE, 0, 0)

    def run(self) -> None:
        """Turn until `is_stopping`."""
        inputs = [self._market, self._executions]
        while not self.is_stopping:
            is_idle = not self._read_executions()
            is_idle &= not self._read_market()
            now_ns = clock.now_ns()
            if now_ns - self._heartbeat_ns > HEARTBEAT_INTERVAL_NS:
                self._writer.heartbeat(now_ns)
                self._heartbeat_ns = now_ns
                metrics.SIGNAL_BRIDGE_LAG.set(self._market.last_seq + 1 - self._market.next_seq)
            if is_idle:
                wait_any(inputs, WAIT_S)

    def _read_market(self) -> bool:
        records = self._market.read(BATCH_RECORDS_MAX)
        host = self._host
        self._marks_ahead = 1
        for record in records:
            host.on_market(record)
            if host.outputs:
                self._mark(market_data_seq=record.seq, ts_ns=host.now_ns)
                self._flush(JournalName.MARKET_DATA, record.seq, record.origin_ns)
        return bool(records)

    def _read_executions(self) -> bool:
        records = self._executions.read(EXECUTIONS_MAX)
        if records:
            self._mark(ts_ns=clock.now_ns())
        self._marks_ahead = 0
        for record in records:
            self._host.on_execution(record)
            self._flush(JournalName.EXECUTIONS, record.seq, 0)
        return bool(records)

    def _next_output_seq(self) -> int:
        """Return the number of the next output: market data is marked only once there are outputs."""
        return self._writer.next_seq + self._marks_ahead + len(self._host.outputs)

    def _mark(self, *, ts_ns: int, market_data_seq: int | None = None, signals_seq: int = 0) -> None:
        read_to = self._market.next_seq - 1 if market_data_seq is None else market_data_seq
        consumed = Consumed(
            market_data_seq=read_to,
            executions_seq=self._executions.next_seq - 1,
            signals_seq=signals_seq,
        )
        self._writer.append(consumed, ts_ns=ts_ns)

    def _flush(self, cause: JournalName, cause_seq: int, origin_ns: int) -> None:
        outputs: Sequence[Signal | OrderIntent] = self._host.outputs
        if not outputs:
            return
        for output in outputs:
            self._writer.append(
                output,
                ts_ns=clock.now_ns(),
                cause_journal=cause,
                cause_seq=cause_seq,
                origin_ns=origin_ns,
            )
        metrics.SIGNALS.inc(len(outputs))
        self._host.outputs.clear()


async def run(frame: Frame) -> None:
    """Run the service until the frame asks it to stop."""
    settings = frame.settings
    host = StrategyHost(load_sessions(), on_failure=lambda name: metrics.STRATEGIES_STOPPED.labels(name).inc())
    add_strategies(host, settings)
    with (
        open_writer(settings, "signals") as writer,
        await asyncio.to_thread(open_reader, settings, "market_data") as market,
        await asyncio.to_thread(open_reader, settings, "executions") as executions,
    ):
        bridge = SignalBridge(host, writer, market=market, executions=executions)
        bridge.start()
        frame.ready()
        loop = asyncio.ensure_future(asyncio.to_thread(bridge.run))
        stopping = asyncio.ensure_future(frame.stopping.wait())
        await asyncio.wait({loop, stopping}, return_when=asyncio.FIRST_COMPLETED)
        bridge.is_stopping = True
        stopping.cancel()
        await loop
