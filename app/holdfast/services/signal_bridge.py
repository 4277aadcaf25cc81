"""signal-bridge: runs the strategies and writes what they ask for into the journal `signals`.

The loop runs in a thread of its own and sleeps in the kernel until one of its inputs grows; the event loop of the
frame only answers signals and metrics meanwhile. Before each batch of outputs, and before each batch of executions, a
Consumed record says how far the inputs were read: replay walks the same path (ARCHITECTURE, decision 4).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from holdfast import clock, crash_points, metrics
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
from holdfast.service import Frame
from holdfast.settings.sessions import load_sessions
from holdfast.strategies.host import StrategyHost
from holdfast.strategies.load import add_strategies

BATCH_RECORDS_MAX = 256
EXECUTIONS_MAX = 1_000
WARM_UP_RECORDS_MAX = 50_000
HEARTBEAT_INTERVAL_NS = 100_000_000
WAIT_S = 0.1


class Sink(Protocol):
    """Where the outputs go: the journal, or the comparison with a recorded one."""

    @property
    def next_seq(self) -> int:
        """Return the number of the next record."""

    def append(
        self,
        record: Consumed | Signal | OrderIntent,
        *,
        ts_ns: int,
        cause_journal: JournalName = ...,
        cause_seq: int = 0,
        origin_ns: int = 0,
    ) -> int:
        """Take one record and return its number."""


class SignalBridge:
    """Feeds the host from the journals and writes its outputs; the same code live and in replay."""

    def __init__(
        self,
        host: StrategyHost,
        sink: Sink,
        *,
        market: JournalReader,
        executions: JournalReader,
        read_clock: Callable[[], int] | None = None,
    ) -> None:
        self._host = host
        self._sink = sink
        self._market = market
        self._executions = executions
        self._read_clock = read_clock or clock.now_ns
        self._marks_ahead = 0
        host.next_output_seq = self._next_output_seq

    def start(self, *, market_head: int, executions_head: int) -> None:
        """Rebuild positions from every fill, warm up on the latest market data, mark the start.

        The start marker is a Consumed record whose `signals_seq` is its own number.
        """
        while (left := executions_head + 1 - self._executions.next_seq) > 0:
            for record in self._executions.read(min(EXECUTIONS_MAX, left)):
                self._host.on_execution(record, is_rebuilding=True)
        self._market.seek(max(self._market.first_seq, market_head + 1 - WARM_UP_RECORDS_MAX))
        while (left := market_head + 1 - self._market.next_seq) > 0:
            self._host.warm_up(self._market.read(min(BATCH_RECORDS_MAX, left)))
        self._mark(self._market.next_seq - 1, signals_seq=self._sink.next_seq)
        self._host.start()
        self._flush(JournalName.NONE, 0, 0)

    def read_market(self, count_max: int) -> int:
        """Hand over at most `count_max` market records; return how many there were."""
        host = self._host
        self._marks_ahead = 1
        count = 0
        while count < count_max and (taken := host.read_market(self._market, count_max - count)):
            count += taken
            if host.outputs:
                self._mark(host.market_seq)
                self._flush(JournalName.MARKET_DATA, host.market_seq, host.market_origin_ns)
        self._marks_ahead = 0
        return count

    def read_executions(self, count_max: int) -> int:
        """Hand over at most `count_max` executions; return how many there were."""
        records = self._executions.read(count_max)
        if records:
            self._mark(self._market.next_seq - 1)
        for record in records:
            self._host.on_execution(record)
            self._flush(JournalName.EXECUTIONS, record.seq, record.origin_ns)
        return len(records)

    def _next_output_seq(self) -> int:
        """Return the number of the next output: market data is marked only once there are outputs."""
        return self._sink.next_seq + self._marks_ahead + len(self._host.outputs)

    def _mark(self, market_data_seq: int, *, signals_seq: int = 0) -> None:
        consumed = Consumed(
            market_data_seq=market_data_seq,
            executions_seq=self._executions.next_seq - 1,
            signals_seq=signals_seq,
        )
        self._sink.append(consumed, ts_ns=self._read_clock())

    def _flush(self, cause: JournalName, cause_seq: int, origin_ns: int) -> None:
        outputs = self._host.outputs
        if not outputs:
            return
        for output in outputs:
            crash_points.before("intent")
            self._sink.append(
                output,
                ts_ns=self._read_clock(),
                cause_journal=cause,
                cause_seq=cause_seq,
                origin_ns=origin_ns,
            )
            crash_points.after("intent")
        outputs.clear()


class Loop:
    """Turns a bridge until it is asked to stop."""

    def __init__(
        self,
        bridge: SignalBridge,
        writer: JournalWriter,
        *,
        market: JournalReader,
        executions: JournalReader,
    ) -> None:
        self._bridge = bridge
        self._writer = writer
        self._market = market
        self._executions = executions
        self._heartbeat_ns = 0
        self._is_stopping = False

    def run(self) -> None:
        """Turn, and sleep in the kernel until there is more."""
        inputs = [self._market, self._executions]
        while not self._is_stopping:
            if not self.turn(clock.now_ns()):
                wait_any(inputs, WAIT_S)

    def stop(self) -> None:
        """End `run` within its longest sleep; from any thread."""
        self._is_stopping = True

    def turn(self, now_ns: int) -> bool:
        """Read a batch of each input and decide; say whether there was anything. After `stop` nothing is done."""
        if self._is_stopping:
            return False
        count = self._bridge.read_executions(EXECUTIONS_MAX) + self._bridge.read_market(BATCH_RECORDS_MAX)
        if abs(now_ns - self._heartbeat_ns) > HEARTBEAT_INTERVAL_NS:
            self._heartbeat_ns = now_ns
            self._writer.heartbeat(now_ns)
            metrics.SIGNALS_NEXT_SEQ.set(self._writer.next_seq)
            metrics.SIGNAL_BRIDGE_LAG.set(self._market.last_seq + 1 - self._market.next_seq)
        return bool(count)


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
        bridge.start(market_head=market.last_seq, executions_head=executions.last_seq)
        loop = Loop(bridge, writer, market=market, executions=executions)
        frame.ready()
        turning = asyncio.ensure_future(frame.host.run_loop(loop, settings, ("market_data", "executions")))
        stopping = asyncio.ensure_future(frame.stopping.wait())
        await asyncio.wait({turning, stopping}, return_when=asyncio.FIRST_COMPLETED)
        loop.stop()
        stopping.cancel()
        await turning
