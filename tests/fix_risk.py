"""A risk-manager loop on real journals in a temporary state directory, and the writers of its inputs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast._native import (
    AccountSnapshot,
    AverageVolume,
    Calendar,
    Decision,
    IntentAction,
    JournalName,
    JournalReader,
    JournalWriter,
    KillLatch,
    OrderIntent,
    OrderType,
    Quote,
    Reconciled,
    ReconcileScope,
    RiskLimits,
    RiskLoop,
    RiskReplay,
    Side,
    TimeInForce,
    wait_any,
)
from holdfast.settings.margin_rules import load_margin_rules
from patience import PATIENCE_S

if TYPE_CHECKING:
    from holdfast._native import Record

E9 = 1_000_000_000
DAY_NS = 86_400 * E9
INPUTS = {
    "market_data": JournalName.MARKET_DATA,
    "signals": JournalName.SIGNALS,
    "executions": JournalName.EXECUTIONS,
    "control": JournalName.CONTROL,
}


def limits(**changes: int) -> RiskLimits:
    """Return loose limits, changed as asked."""
    loose = RiskLimits.loosest()
    return RiskLimits(is_short_allowed=True, is_resumed_by_operator=True, **(loose | changes))


def quote(price: int = 100, *, symbol: str = "IBM", ts_event_ns: int = 0) -> Quote:
    """Return a quote one cent wide."""
    bid = price * E9
    return Quote(
        symbol=symbol,
        ts_event_ns=ts_event_ns,
        bid_price_e9=bid,
        ask_price_e9=bid + E9 // 100,
        bid_size_e9=E9,
        ask_size_e9=E9,
    )


def intent(
    quantity: int = 1, *, symbol: str = "IBM", side: Side = Side.BUY, limit: int = 100, expires_ns: int = 0
) -> OrderIntent:
    """Return a day limit order."""
    return OrderIntent(
        strategy="test",
        symbol=symbol,
        action=IntentAction.NEW,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        quantity_e9=quantity * E9,
        limit_price_e9=limit * E9,
        expires_ns=expires_ns,
    )


def open_input(state: Path, name: str) -> JournalWriter:
    """Open an input journal for writing."""
    return JournalWriter(str(state / name), INPUTS[name], now_ns=time.time_ns(), segment_bytes=1 << 20)


@dataclass(slots=True)
class RiskBench:
    """The journals around one risk-manager."""

    state: Path
    writers: dict[str, JournalWriter]
    limits: RiskLimits = field(default_factory=limits)
    symbols: tuple[str, ...] = ("IBM", "SPY", "BTC/USD")
    step_ns: int = 0
    """How far the clock is off by which records are written."""

    def write(self, name: str, record: Record, *, origin_ns: int | None = None) -> int:
        """Append to an input journal now; the origin of market data is their receipt unless another is given."""
        ts_ns = time.time_ns() + self.step_ns
        if origin_ns is None:
            origin_ns = ts_ns if name == "market_data" else 0
        return self.writers[name].append(record, ts_ns=ts_ns, origin_ns=origin_ns)

    def reconcile(self) -> None:
        """Say what an execution-engine says once it knows the account."""
        for symbol in self.symbols:
            day_ns = time.time_ns() - DAY_NS
            self.write(
                "market_data",
                AverageVolume(symbol=symbol, volume_e9=10**7 * E9, session_count=20, ts_event_ns=day_ns),
            )
        account = AccountSnapshot(equity_e9=10**6 * E9, buying_power_e9=10**6 * E9, is_shorting_enabled=1)
        self.write("executions", account)
        self.write("executions", Reconciled(scope=ReconcileScope.START_UP, is_complete=1))

    def calendar(self) -> Calendar:
        """Return one session from yesterday to tomorrow."""
        now_ns = time.time_ns()
        return Calendar([(now_ns - DAY_NS, now_ns + DAY_NS)], [], load_margin_rules())

    def reader(self, name: str) -> JournalReader:
        """Open a journal at its first record."""
        return JournalReader(str(self.state / name), from_seq=1, spin_us=0, wait_s=PATIENCE_S)

    def loop(self) -> RiskLoop:
        """Start a loop for a caller that turns it."""
        directory = self.state / "orders"
        directory.mkdir(exist_ok=True)
        writer = JournalWriter(str(directory), JournalName.ORDERS, now_ns=time.time_ns(), segment_bytes=1 << 20)
        inputs: dict[str, Any] = {name: self.reader(name) for name in INPUTS}
        return RiskLoop(
            self.limits,
            self.symbols,
            self.calendar(),
            writer=writer,
            own=self.reader("orders"),
            latch=self.state / "latch",
            now_ns=time.time_ns(),
            **inputs,
        )

    @contextmanager
    def running(self) -> Iterator[RiskLoop]:
        """Run a loop in a thread until the block ends; its error is the block's."""
        loop = self.loop()
        thread = threading.Thread(target=loop.run, name="risk-loop")
        thread.start()
        try:
            yield loop
        finally:
            loop.stop()
            thread.join(PATIENCE_S)

    def replay(self) -> RiskReplay:
        """Judge again everything that was recorded."""
        readers: dict[str, Any] = {name: self.reader(name) for name in ("orders", *INPUTS)}
        return RiskReplay(self.limits, self.symbols, self.calendar(), **readers)

    def restart_writer(self, name: str) -> None:
        """End the writer of an input and open it again: a new epoch."""
        self.writers[name].close()
        self.writers[name] = open_input(self.state, name)

    def latch(self) -> KillLatch:
        """Map the kill latch."""
        return KillLatch(str(self.state / "latch"))


@dataclass(slots=True)
class Follower:
    """Reads the orders journal as it grows."""

    reader: JournalReader
    seen: list[Record] = field(default_factory=list)

    def until(self, is_found: Callable[[Record], bool]) -> Record:
        """Return the first record from here on that fits; TimeoutError when none comes."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            for record in self.reader.read(1):
                self.seen.append(record)
                if is_found(record):
                    return record
            wait_any([self.reader], 0.05)
        message = f"not among {self.seen}"
        raise TimeoutError(message)

    def decision(self, intent_seq: int) -> Decision:
        """Return the decision on an intent."""
        found = self.until(lambda record: isinstance(record, Decision) and record.intent_seq == intent_seq)
        assert isinstance(found, Decision)
        return found


@pytest.fixture
def risk_bench(tmp_path: Path) -> Iterator[RiskBench]:
    """Journals of a state directory, empty."""
    writers = {}
    for name in INPUTS:
        (tmp_path / name).mkdir()
        writers[name] = open_input(tmp_path, name)
    yield RiskBench(tmp_path, writers)
    for writer in writers.values():
        writer.close()
