"""Replay of a recorded day: the same code fed the same interleaving must write the same bytes.

Two records are the same when payload, number, cause, origin and stamp are: with the checksum derived from these, their
bytes in the journal are the same too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast._native import Consumed, JournalName, JournalReader, OrderIntent, RiskReplay, Signal
from holdfast.errors import OperatingError
from holdfast.journals import open_reader
from holdfast.services.signal_bridge import BATCH_RECORDS_MAX, SignalBridge
from holdfast.settings import Settings
from holdfast.settings.risk_limits import load_risk_limits
from holdfast.settings.sessions import load_sessions
from holdfast.strategies.host import StrategyHost
from holdfast.strategies.load import add_strategies

if TYPE_CHECKING:
    from holdfast._native import Record

READ_RECORDS = 4_096


@dataclass(slots=True, kw_only=True)
class ReplayResult:
    """How far a replay agreed; `difference` is empty when it agreed to the end."""

    journal: str
    records: int = 0
    inputs: int = 0
    difference: str = ""


class _Difference(Exception):
    """The replay wrote something else than was recorded."""


def _records_of(reader: JournalReader) -> Iterator[Record]:
    while batch := reader.read(READ_RECORDS):
        yield from batch


class _Comparison:
    """Takes what a bridge writes and compares it with what was recorded."""

    def __init__(self, recorded: Iterator[Record]) -> None:
        self._recorded = recorded
        self.expected: Record | None = next(recorded, None)
        self.compared = 0

    @property
    def next_seq(self) -> int:
        """Return the number of the next recorded record; past the end, the one that would follow."""
        return self.expected.seq if self.expected is not None else self.compared + 1

    def recorded_clock(self) -> int:
        """Return the stamp of the next recorded record: the clock is an input like any other."""
        return self.expected.ts_ns if self.expected is not None else 0

    def append(
        self,
        record: Consumed | Signal | OrderIntent,
        *,
        ts_ns: int,
        cause_journal: JournalName = JournalName.NONE,
        cause_seq: int = 0,
        origin_ns: int = 0,
    ) -> int:
        """Compare one record.

        A process that was killed between a mark and its outputs left the mark alone: outputs that would stand where
        the next start is marked, or past the end, are passed over.
        """
        expected = self.expected
        if expected is None or (_is_start(expected) and not _starts(record, expected.seq)):
            return self.next_seq
        found = (record, ts_ns, cause_journal, cause_seq, origin_ns)
        wanted = (expected, expected.ts_ns, expected.cause_journal, expected.cause_seq, expected.origin_ns)
        if found != wanted:
            raise _Difference(f"seq {expected.seq}: recorded {wanted}, replayed {found}")
        self.compared += 1
        self.expected = next(self._recorded, None)
        return expected.seq


def _is_start(record: Record) -> bool:
    return _starts(record, record.seq)


def _starts(record: Record, seq: int) -> bool:
    return isinstance(record, Consumed) and record.signals_seq == seq


def replay_signals(settings: Settings) -> ReplayResult:
    """Run the strategies over the recorded inputs and compare the journal `signals`.

    Raises: OperatingError when the journal does not begin with the start of a signal-bridge.
    """
    result = ReplayResult(journal="signals")
    with open_reader(settings, "signals", wait_s=0) as recorded:
        recorded.seek(recorded.first_seq)
        comparison = _Comparison(_records_of(recorded))
        if comparison.expected is None:
            return result
        if not _is_start(comparison.expected):
            raise OperatingError("the journal signals does not begin with a start: earlier segments were removed")
        try:
            while comparison.expected is not None:
                result.inputs += _replay_process(settings, comparison)
        except _Difference as difference:
            result.difference = str(difference)
        result.records = comparison.compared
    return result


def replay_decisions(settings: Settings) -> ReplayResult:
    """Judge the recorded intents again and compare the journal `orders`.

    Raises: ConfigError when risk_limits.toml cannot be used; with other limits than the recorded day's it differs.
    """
    risk = load_risk_limits(settings)
    names = ("orders", "market_data", "signals", "executions", "control")
    readers = {name: open_reader(settings, name, wait_s=0) for name in names}
    replayed = RiskReplay(
        risk.limits,
        list(settings.symbols),
        risk.calendar,
        is_venue_time=settings.clock.session_time == "venue",
        **readers,
    )
    difference = replayed.difference
    if replayed.difference_seq is not None:
        difference = f"seq {replayed.difference_seq}: {difference}"
    return ReplayResult(
        journal="orders",
        records=replayed.records,
        inputs=replayed.decisions,
        difference=difference,
    )


def _replay_process(settings: Settings, comparison: _Comparison) -> int:
    """Replay one life of a signal-bridge, from its start marker to the next one; return the inputs read."""
    host = StrategyHost(load_sessions(), on_failure=lambda _name: None)
    add_strategies(host, settings)
    inputs = 0
    with (
        open_reader(settings, "market_data", wait_s=0) as market,
        open_reader(settings, "executions", wait_s=0) as executions,
    ):
        start = comparison.expected
        assert isinstance(start, Consumed)
        bridge = SignalBridge(
            host,
            comparison,
            market=market,
            executions=executions,
            read_clock=comparison.recorded_clock,
        )
        bridge.start(market_head=start.market_data_seq, executions_head=start.executions_seq)
        while (mark := comparison.expected) is not None and not _is_start(mark):
            if not isinstance(mark, Consumed):
                raise _Difference(f"seq {mark.seq}: recorded {mark}, replayed nothing")
            compared = comparison.compared
            while (left := mark.market_data_seq + 1 - market.next_seq) > 0:
                inputs += bridge.read_market(min(BATCH_RECORDS_MAX, left))
            if (left := mark.executions_seq + 1 - executions.next_seq) > 0:
                inputs += bridge.read_executions(left)
            if comparison.compared == compared:
                raise _Difference(f"seq {mark.seq}: recorded {mark}, replayed nothing")
    return inputs
