"""Records in, rows out. Orders, positions and profit come from the native books; this file only lays them out."""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from holdfast import _native
from holdfast._native import (
    BreakerTripped,
    Decision,
    Fill,
    LimitChange,
    LimitProposal,
    LimitWithdrawal,
    OrderEvent,
    OrderStatus,
    OrderTable,
    PositionBook,
    PositionSnapshot,
    Quote,
    Reconciled,
    Reset,
    StrategySwitch,
    TradingState,
    Trip,
    Verdict,
)
from holdfast.store import statements
from holdfast.store.audit import FIRST_HASH, canonical, chain
from holdfast.store.batch import Batch, Offset, Row, numeric, numeric_or_null
from holdfast.store.tables import RAW_MARKET_DATA, TABLES, escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast._native import Order, Position, Record

NEW_YORK = ZoneInfo("America/New_York")
MARKS_INTERVAL_NS = 1_000_000_000
ALARMING_STATUSES = {OrderStatus.UNKNOWN: "critical", OrderStatus.WITHHELD: "warning", OrderStatus.REJECTED: "warning"}


def trading_date(ts_ns: int) -> dt.date:
    """Return the New York date of a stamp, ns UTC."""
    return dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, NEW_YORK).date()


@functools.lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M:%S}"


def _timestamptz(ts_ns: int) -> str:
    seconds, part_ns = divmod(ts_ns, 1_000_000_000)
    return f"{_second(seconds)}.{part_ns // 1000:06d}+00"


class Projection:
    """Follows all journals and collects what the next transaction must write.

    `recall` takes records that are in the database already: they only rebuild the books. `add` takes new ones.
    """

    def __init__(self, *, offsets: dict[str, Offset], audit_hash: str = FIRST_HASH, records_quotes: bool) -> None:
        self._orders = OrderTable()
        self._book = PositionBook()
        self._skipped = frozenset() if records_quotes else RAW_MARKET_DATA
        self._offsets = offsets
        self._audit_hash = audit_hash
        self._opened_ns: dict[str, int] = {}
        self._marks_written_ns = 0
        self._handlers: dict[type[Record], Callable[[str, Record], None]] = {
            Quote: self._mark,
            Decision: self._on_decision,
            TradingState: self._on_risk_event,
            BreakerTripped: self._on_risk_event,
            OrderEvent: self._on_order_event,
            Fill: self._on_fill,
            PositionSnapshot: self._on_venue_position,
            Reconciled: self._on_reconciled,
            Trip: self._on_operator,
            Reset: self._on_operator,
            LimitChange: self._on_operator,
            LimitProposal: self._on_operator,
            LimitWithdrawal: self._on_operator,
            StrategySwitch: self._on_operator,
        }
        self._begin()

    def _begin(self) -> None:
        self._copies: dict[type[Record], list[str]] = {}
        self._risk_events: list[str] = []
        self._changed_orders: dict[str, Row] = {}
        self._rows: dict[str, list[Row]] = {}
        self._changed_symbols: set[str] = set()
        self._days: dict[dt.date, list[int]] = {}
        self._after: dict[str, Offset] = {}
        self._latest_ns = 0
        self.records = 0
        """Records added since the last batch."""
        self.oldest_ts_ns = 0
        """Stamp of the first of them, ns UTC."""

    def recall(self, record: Record) -> None:
        """Take a record that the database has, to know orders and positions."""
        if isinstance(record, Fill):
            self._apply_fill(record)
        elif isinstance(record, (PositionSnapshot, Reconciled)):
            self._book.apply(record)
        self._orders.apply(record)

    def add(self, journal: str, record: Record, created_ns: int, epoch: int) -> None:
        """Take the next record of a journal: its rows join the batch, the offset moves past it."""
        kind = type(record)
        if kind in TABLES and kind not in self._skipped:
            self._copies.setdefault(kind, []).append(record.as_copy())
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(journal, record)
        ts_ns = record.ts_ns
        self._after[journal] = Offset(created_ns, epoch, record.seq, ts_ns)
        self.records += 1
        if not self.oldest_ts_ns or ts_ns < self.oldest_ts_ns:
            self.oldest_ts_ns = ts_ns
        self._latest_ns = max(self._latest_ns, ts_ns)

    def seal(self) -> Batch:
        """Return what was collected since the last call, and begin anew."""
        self._rows[statements.ORDER] = list(self._changed_orders.values())
        self._seal_positions()
        self._seal_days()
        copies = {TABLES[kind].copy_sql: lines for kind, lines in self._copies.items()}
        if self._risk_events:
            copies[statements.RISK_EVENT] = self._risk_events
        batch = Batch(
            before=dict(self._offsets),
            after=self._after,
            copies=copies,
            changes={key: self._rows[key] for key in statements.ORDER_OF_STATEMENTS if self._rows.get(key)},
            records=self.records,
            oldest_ts_ns=self.oldest_ts_ns,
        )
        self._offsets = self._offsets | self._after
        self._begin()
        return batch

    def _put(self, statement: str, *row: object) -> None:
        self._rows.setdefault(statement, []).append(row)

    def _mark(self, _journal: str, record: Record) -> None:
        self._book.apply(record)

    def _on_decision(self, journal: str, record: Record) -> None:
        assert isinstance(record, Decision)
        if record.verdict is Verdict.DENIED:
            message = f"{record.strategy} {record.side.label} {record.symbol} denied: {record.rule.label}"
            # The whole decision is in its own table: here stands what explains the denial.
            facts: dict[str, int | str] = {
                "strategy": record.strategy,
                "symbol": record.symbol,
                "side": record.side.label,
                "rule": record.rule.label,
                "risk_limit": f"{record.limit_e9}e-9",
                "value": f"{record.value_e9}e-9",
                "intent_seq": record.intent_seq,
            }
            self._put_risk_event(journal, record, "order_denied", "warning", message, facts=facts)

    def _on_risk_event(self, journal: str, record: Record) -> None:
        if isinstance(record, TradingState):
            severity = "info" if record.state is _native.TradingStateCode.ACTIVE else "critical"
            message = f"trading state {record.state.label}: {record.rule.label} {record.detail}".rstrip()
            self._put_risk_event(journal, record, "trading_state", severity, message)
        elif isinstance(record, BreakerTripped):
            message = f"circuit breaker tripped: {record.rule.label} {record.strategy} {record.symbol}".rstrip()
            self._put_risk_event(journal, record, "breaker_tripped", "critical", message)

    def _on_order_event(self, journal: str, record: Record) -> None:
        assert isinstance(record, OrderEvent)
        self._change_order(record, record.detail, record.ts_event_ns or record.ts_ns)
        severity = ALARMING_STATUSES.get(record.status)
        if severity is not None:
            message = f"order {record.client_order_id} {record.status.label}: {record.rule.label} {record.detail}"
            self._put_risk_event(journal, record, f"order_{record.status.label}", severity, message.rstrip())

    def _on_fill(self, _journal: str, record: Record) -> None:
        assert isinstance(record, Fill)
        order_id = self._change_order(record, "", record.ts_event_ns)
        effect = self._apply_fill(record)
        if effect is None:
            return
        realized_e9, is_closing = effect
        self._changed_symbols.add(record.symbol)
        day = self._days.setdefault(trading_date(record.ts_event_ns), [0, 0, 0, 0])
        day[0] += realized_e9
        day[1] += 1
        day[2] += is_closing and realized_e9 > 0
        day[3] += is_closing and realized_e9 < 0
        self._put(
            statements.TRADE,
            record.execution_id,
            order_id,
            record.symbol,
            record.side.label,
            numeric(record.quantity_e9),
            numeric(record.price_e9),
            numeric(record.fee_e9),
            record.ts_event_ns,
            record.strategy,
            numeric(realized_e9),
            record.seq,
            record.origin_ns,
        )

    def _apply_fill(self, fill: Fill) -> tuple[int, bool] | None:
        """Return the change of the realized result and whether the fill closed; None for a known fill."""
        before = self._book.get(fill.symbol)
        if not self._book.apply(fill):
            return None
        after = self._book.get(fill.symbol)
        assert after is not None, fill.symbol
        quantity_e9 = before.quantity_e9 if before else 0
        realized_e9 = after.realized_pnl_e9 - (before.realized_pnl_e9 if before else 0)
        has_turned = quantity_e9 * after.quantity_e9 <= 0
        if has_turned:
            self._opened_ns[fill.symbol] = fill.ts_event_ns
        return realized_e9, quantity_e9 != 0 and (has_turned or abs(after.quantity_e9) < abs(quantity_e9))

    def _on_venue_position(self, _journal: str, record: Record) -> None:
        assert isinstance(record, PositionSnapshot)
        self._book.apply(record)
        self._changed_symbols.add(record.symbol)

    def _on_reconciled(self, journal: str, record: Record) -> None:
        assert isinstance(record, Reconciled)
        self._book.apply(record)
        self._changed_symbols.update(position.symbol for position in self._book.positions())
        if record.positions_mismatched or not record.is_complete:
            message = f"{record.scope.label}: {record.positions_mismatched} positions differ from the venue's"
            self._put_risk_event(journal, record, "reconciliation_mismatch", "critical", message)

    def _on_operator(self, journal: str, record: Record) -> None:
        assert isinstance(record, (Trip, Reset, LimitChange, LimitProposal, LimitWithdrawal, StrategySwitch))
        action = type(record).__name__
        content = canonical(record.as_dict() | {"seq": record.seq, "ts_ns": record.ts_ns, "action": action})
        previous, self._audit_hash = self._audit_hash, chain(self._audit_hash, content)
        row = (record.seq, record.ts_ns, action, record.operator, record.reason, content, previous, self._audit_hash)
        self._put(statements.OPERATOR_ACTION, *row)
        severity = "critical" if action == "Trip" else "warning"
        message = f"{action} by {record.operator}: {record.reason}"
        self._put_risk_event(journal, record, f"operator_{action.lower()}", severity, message)

    def _put_risk_event(
        self,
        journal: str,
        record: Record,
        event: str,
        severity: str,
        message: str,
        *,
        facts: dict[str, int | str] | None = None,
    ) -> None:
        metadata = escaped(msgspec.json.encode(record.as_dict() if facts is None else facts).decode())
        line = (event, severity, escaped(message), metadata, _timestamptz(record.ts_ns), journal, str(record.seq))
        self._risk_events.append("\t".join(line) + "\n")

    def _change_order(self, record: OrderEvent | Fill, detail: str, ts_ns: int) -> str:
        order = self._orders.apply(record)
        assert order is not None, record
        order_id = order.client_order_id or order.venue_order_id
        known = self._changed_orders.get(order_id)
        self._changed_orders[order_id] = _order_row(order_id, order, detail, ts_ns, known)
        return order_id

    def _seal_positions(self) -> None:
        # Marks move all the time: between fills a position is written once a second.
        if self._latest_ns - self._marks_written_ns >= MARKS_INTERVAL_NS:
            self._marks_written_ns = self._latest_ns
            self._changed_symbols.update(entry.symbol for entry in self._book.positions() if entry.quantity_e9)
        for symbol in sorted(self._changed_symbols):
            position = self._book.get(symbol)
            if position is None:
                continue
            side = {1: "long", -1: "short"}.get((position.quantity_e9 > 0) - (position.quantity_e9 < 0), "")
            self._put(statements.POSITION_GONE, symbol, side)
            if side:
                opened_ns = self._opened_ns.setdefault(symbol, self._latest_ns)
                self._put(statements.POSITION, *_position_row(position, side, opened_ns, self._latest_ns))

    def _seal_days(self) -> None:
        for date, (realized_e9, count, winning, losing) in sorted(self._days.items()):
            realized = numeric(realized_e9)
            self._put(statements.DAY_REALIZED, date, realized, realized, count, winning, losing)
        if self._changed_symbols:
            date = max(self._days, default=None) or trading_date(self._latest_ns)
            unrealized = numeric(self._book.unrealized_pnl_e9)
            self._put(statements.DAY_UNREALIZED, date, unrealized, unrealized)


def _order_row(order_id: str, order: Order, detail: str, ts_ns: int, known: Row | None) -> Row:
    is_filled = order.status is OrderStatus.FILLED
    return (
        order_id,
        order.symbol,
        order.side.label,
        order.order_type.label,
        numeric(order.quantity_e9),
        numeric_or_null(order.limit_price_e9),
        order.status.label,
        known[7] if known else ts_ns,
        ts_ns if is_filled else None,
        numeric(order.filled_quantity_e9),
        numeric_or_null(order.average_price_e9),
        order.venue_order_id,
        order.replaces_order_id,
        order.parent_order_id,
        order.strategy,
        order.time_in_force.label,
        order.order_class.label,
        numeric_or_null(order.notional_e9),
        numeric_or_null(order.stop_price_e9),
        detail or (known[19] if known else ""),
        order.is_external,
        order.decision_seq,
        ts_ns,
    )


def _position_row(position: Position, side: str, opened_ns: int, updated_ns: int) -> Row:
    return (
        position.symbol,
        numeric(position.quantity_e9),
        numeric(position.average_price_e9),
        numeric(position.mark_price_e9),
        numeric(position.unrealized_pnl_e9),
        side,
        opened_ns,
        updated_ns,
        numeric(position.realized_pnl_e9),
    )
