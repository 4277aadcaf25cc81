"""What the journals say now. Built by reading them with the native books; never from PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from holdfast import clock
from holdfast._native import (
    AccountSnapshot,
    BreakerTripped,
    Decision,
    Fill,
    JournalMissing,
    JournalReader,
    OrderIntent,
    OrderTable,
    PositionBook,
    PositionSnapshot,
    Quote,
    Reconciled,
    ReconcileScope,
    Signal,
    StrategySwitch,
    TradingState,
    Verdict,
    wait_any,
)
from holdfast.journals import WRITERS, open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast._native import Order, Position, Record
    from holdfast.settings import Settings

SERVICE_OF_JOURNAL = {
    "market_data": "market-data",
    "signals": "signal-bridge",
    "orders": "risk-manager",
    "executions": "execution-engine",
    "control": "api-gateway",
}
# Quotes last: the book remembers marks only of what it holds.
READING_ORDER = ("signals", "orders", "executions", "control", "market_data")
READ_RECORDS_MAX = 1000
SEARCH_INTERVAL_S = 0.5
# Quotes are only marks: the latest of each symbol is enough, and it is near the end.
MARKET_DATA_RECORDS_MAX = 20_000
FILLS_MAX = 10_000
DENIALS_MAX = 1_000
BREAKERS_MAX = 100
HEARTBEAT_AGE_S_MAX = 2.0


@dataclass(slots=True)
class StrategyCounts:
    """What a strategy did since the journals began."""

    signals: int = 0
    intents: int = 0
    approved: int = 0
    denied: int = 0
    fills: int = 0
    is_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHead:
    """Where a journal ends and whether its writer lives."""

    name: str
    service: str
    last_seq: int
    lag_records: int
    epoch: int
    heartbeat_age_s: float
    build_hash: int
    config_hash: int

    @property
    def is_alive(self) -> bool:
        """Whether the writer said so within `HEARTBEAT_AGE_S_MAX`."""
        return self.heartbeat_age_s <= HEARTBEAT_AGE_S_MAX


@dataclass(slots=True)
class Totals:
    """Counts over the retained journals."""

    approved: int = 0
    denied_by_reason: Counter[str] = field(default_factory=Counter)
    fills: int = 0


class JournalView:
    """Follows the journals of a state directory. Methods may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._readers: dict[str, JournalReader] = {}
        self._next_search_s = 0.0
        self._orders = OrderTable()
        self._book = PositionBook()
        self._strategies = {
            strategy.name: StrategyCounts(is_enabled=strategy.is_enabled) for strategy in settings.strategies
        }
        self.totals = Totals()
        self.fills: deque[Fill] = deque(maxlen=FILLS_MAX)
        self.denials: deque[Decision] = deque(maxlen=DENIALS_MAX)
        self.breakers: deque[BreakerTripped] = deque(maxlen=BREAKERS_MAX)
        self.account: AccountSnapshot | None = None
        self.trading_state: TradingState | None = None
        self.reconciled: dict[str, Reconciled] = {}
        self._handlers: dict[type[Record], Callable[[Record], None]] = {
            Decision: self._on_decision,
            Fill: self._on_fill,
            Signal: self._on_wish,
            OrderIntent: self._on_wish,
            StrategySwitch: self._on_switch,
            TradingState: self._on_trading_state,
            BreakerTripped: self._on_breaker,
            AccountSnapshot: self._on_account,
            Reconciled: self._on_reconciled,
        }

    def close(self) -> None:
        """Let go of the journals."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()

    def catch_up(self) -> None:
        """Read everything that is there now."""
        while self.read():
            pass

    def wait(self, timeout_s: float) -> bool:
        """Wait until a journal has more, or for `timeout_s`."""
        with self._lock:
            readers = list(self._readers.values())
        return wait_any(readers, timeout_s)

    def read(self) -> int:
        """Read a bounded number of records and return how many."""
        with self._lock:
            self._search()
            count = 0
            for reader in self._readers.values():
                for record in reader.read(READ_RECORDS_MAX):
                    self._apply(record)
                    count += 1
            return count

    def _search(self) -> None:
        if len(self._readers) == len(WRITERS) or clock.monotonic_s() < self._next_search_s:
            return
        self._next_search_s = clock.monotonic_s() + SEARCH_INTERVAL_S
        for name in READING_ORDER:
            if name not in self._readers:
                with contextlib.suppress(JournalMissing):
                    self._readers[name] = self._open(name)
        self._readers = {name: self._readers[name] for name in READING_ORDER if name in self._readers}

    def _open(self, name: str) -> JournalReader:
        reader = open_reader(self._settings, name, from_seq=0, wait_s=0.0)
        if name == "market_data":
            reader.seek(max(reader.first_seq, reader.last_seq - MARKET_DATA_RECORDS_MAX))
        return reader

    def _apply(self, record: Record) -> None:
        if isinstance(record, (Quote, Fill, PositionSnapshot, Reconciled)):
            self._book.apply(record)
            if isinstance(record, Quote):
                return
        self._orders.apply(record)
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)

    def _strategy(self, name: str) -> StrategyCounts:
        return self._strategies.setdefault(name, StrategyCounts())

    def _on_decision(self, record: Record) -> None:
        assert isinstance(record, Decision)
        counts = self._strategy(record.strategy)
        if record.verdict is Verdict.APPROVED:
            counts.approved += 1
            self.totals.approved += 1
        else:
            counts.denied += 1
            self.totals.denied_by_reason[record.rule.label] += 1
            self.denials.append(record)

    def _on_fill(self, record: Record) -> None:
        assert isinstance(record, Fill)
        self.totals.fills += 1
        self.fills.append(record)
        if record.strategy:
            self._strategy(record.strategy).fills += 1

    def _on_wish(self, record: Record) -> None:
        counts = self._strategy(record.strategy) if isinstance(record, (Signal, OrderIntent)) else StrategyCounts()
        if isinstance(record, Signal):
            counts.signals += 1
        else:
            counts.intents += 1

    def _on_switch(self, record: Record) -> None:
        assert isinstance(record, StrategySwitch)
        self._strategy(record.strategy).is_enabled = bool(record.is_enabled)

    def _on_trading_state(self, record: Record) -> None:
        assert isinstance(record, TradingState)
        self.trading_state = record

    def _on_breaker(self, record: Record) -> None:
        assert isinstance(record, BreakerTripped)
        self.breakers.append(record)

    def _on_account(self, record: Record) -> None:
        assert isinstance(record, AccountSnapshot)
        self.account = record

    def _on_reconciled(self, record: Record) -> None:
        assert isinstance(record, Reconciled)
        self.reconciled[record.scope.label] = record

    def heads(self) -> list[JournalHead]:
        """Return every journal that exists, in the order of the pipeline."""
        now_ns = clock.now_ns()
        with self._lock:
            return [
                JournalHead(
                    name=name,
                    service=SERVICE_OF_JOURNAL[name],
                    last_seq=reader.last_seq,
                    lag_records=reader.last_seq + 1 - reader.next_seq,
                    epoch=reader.epoch,
                    # One from the future says as little as an old one.
                    heartbeat_age_s=abs(now_ns - reader.heartbeat_ns) / 1e9,
                    build_hash=reader.build_hash,
                    config_hash=reader.config_hash,
                )
                for name in WRITERS
                if (reader := self._readers.get(name)) is not None
            ]

    def unready(self) -> list[str]:
        """Return why the system cannot trade, one reason a line; empty when it can."""
        reasons = []
        heads = {head.name: head for head in self.heads()}
        for name, service in SERVICE_OF_JOURNAL.items():
            head = heads.get(name)
            if head is None:
                reasons.append(f"{service}: journal {name} does not exist")
            elif not head.is_alive:
                reasons.append(f"{service}: last heartbeat {head.heartbeat_age_s:.1f} s ago")
        reasons.extend(
            f"services differ in {key}: restart those of the old release or configuration"
            for key in ("build_hash", "config_hash")
            if len({getattr(head, key) for head in heads.values()}) > 1
        )
        start_up = self.reconciled.get(ReconcileScope.START_UP.label)
        engine = heads.get("executions")
        if start_up is None or not start_up.is_complete or (engine is not None and start_up.ts_ns < engine.epoch):
            reasons.append("execution-engine: not reconciled with the venue since its start")
        return reasons

    def strategies(self) -> dict[str, StrategyCounts]:
        """Return the strategies configured or seen, by name."""
        with self._lock:
            return dict(self._strategies)

    def orders(self, *, is_open_only: bool) -> list[Order]:
        """Return orders in the order of first mention."""
        with self._lock:
            return self._orders.open_orders() if is_open_only else self._orders.orders()

    def order(self, client_order_id: str) -> Order | None:
        """Return one order."""
        with self._lock:
            return self._orders.get(client_order_id)

    def positions(self) -> list[Position]:
        """Return every symbol ever held, flat ones included."""
        with self._lock:
            return self._book.positions()

    def pnl_e9(self) -> tuple[int, int]:
        """Return realized and unrealized profit and loss, USD scaled by 1e-9."""
        with self._lock:
            return self._book.realized_pnl_e9, self._book.unrealized_pnl_e9

    def recent_fills(self, *, symbol: str, count_max: int) -> list[Fill]:
        """Return the newest fills first; an empty symbol means all."""
        with self._lock:
            return list(islice(_matching(self.fills, symbol), count_max))

    def recent_denials(self, *, count_max: int) -> list[Decision]:
        """Return the newest denials first."""
        with self._lock:
            return list(islice(reversed(self.denials), count_max))


def _matching(fills: deque[Fill], symbol: str) -> Iterator[Fill]:
    return (fill for fill in reversed(fills) if not symbol or fill.symbol == symbol)
