"""The statements that keep the described tables; ns stamps become TIMESTAMPTZ in the server."""

from dataclasses import dataclass

NS = "ns"


@dataclass(frozen=True, slots=True)
class Upsert:
    """Rows of one table, written one by one with parameters, or all at once through a staging table and COPY.

    A column of the type `ns` is a stamp in nanoseconds that becomes TIMESTAMPTZ in the server.
    """

    table: str
    columns: dict[str, str]
    on_conflict: str

    @property
    def one(self) -> str:
        """The statement for one row."""
        values = ("to_timestamp(%s / 1e9)" if kind == NS else "%s" for kind in self.columns.values())
        return f"{self._head} VALUES ({', '.join(values)}) {self.on_conflict}"

    @property
    def stage(self) -> str:
        """The statement that makes the staging table: the connection's own, empty after each commit."""
        columns = (f"{name} {'bigint' if kind == NS else kind}" for name, kind in self.columns.items())
        return f"CREATE TEMPORARY TABLE staged_{self.table} ({', '.join(columns)}) ON COMMIT DELETE ROWS"

    @property
    def copy(self) -> str:
        """The COPY statement into the staging table."""
        return f"COPY staged_{self.table} ({', '.join(self.columns)}) FROM STDIN"

    @property
    def take(self) -> str:
        """The statement that moves what is staged to its table."""
        values = (f"to_timestamp({name} / 1e9)" if kind == NS else name for name, kind in self.columns.items())
        source = f"SELECT {', '.join(values)} FROM staged_{self.table}"  # noqa: S608 - names of this file only
        return f"{self._head} {source} {self.on_conflict}"

    @property
    def _head(self) -> str:
        return f"INSERT INTO {self.table} ({', '.join(self.columns)})"


_AMOUNT = "numeric(28,9)"
ORDERS = Upsert(
    "orders",
    {
        "order_id": "text",
        "symbol": "text",
        "side": "text",
        "order_type": "text",
        "quantity": _AMOUNT,
        "price": _AMOUNT,
        "status": "text",
        "submitted_at": NS,
        "filled_at": NS,
        "filled_quantity": _AMOUNT,
        "filled_avg_price": _AMOUNT,
        "venue_order_id": "text",
        "replaces_order_id": "text",
        "parent_order_id": "text",
        "strategy": "text",
        "time_in_force": "text",
        "order_class": "text",
        "notional": _AMOUNT,
        "stop_price": _AMOUNT,
        "detail": "text",
        "is_external": "boolean",
        "decision_seq": "bigint",
        "updated_at": NS,
    },
    """
ON CONFLICT (order_id) DO UPDATE SET symbol = EXCLUDED.symbol, side = EXCLUDED.side, order_type = EXCLUDED.order_type,
    quantity = EXCLUDED.quantity, price = EXCLUDED.price, status = EXCLUDED.status,
    filled_at = COALESCE(EXCLUDED.filled_at, orders.filled_at),
    filled_quantity = EXCLUDED.filled_quantity, filled_avg_price = EXCLUDED.filled_avg_price,
    venue_order_id = EXCLUDED.venue_order_id, replaces_order_id = EXCLUDED.replaces_order_id,
    parent_order_id = EXCLUDED.parent_order_id, strategy = EXCLUDED.strategy,
    time_in_force = EXCLUDED.time_in_force, order_class = EXCLUDED.order_class, notional = EXCLUDED.notional,
    stop_price = EXCLUDED.stop_price, detail = COALESCE(NULLIF(EXCLUDED.detail, ''), orders.detail),
    is_external = EXCLUDED.is_external, decision_seq = EXCLUDED.decision_seq, updated_at = EXCLUDED.updated_at
""",
)

TRADES = Upsert(
    "trades",
    {
        "trade_id": "text",
        "order_id": "text",
        "symbol": "text",
        "side": "text",
        "quantity": _AMOUNT,
        "price": _AMOUNT,
        "commission": _AMOUNT,
        "executed_at": NS,
        "strategy": "text",
        "realized_pnl": _AMOUNT,
        "seq": "bigint",
        "origin_ns": "bigint",
    },
    "ON CONFLICT (trade_id) DO NOTHING",
)

ORDER, TRADE = ORDERS.one, TRADES.one
STAGED = {upsert.one: upsert for upsert in (ORDERS, TRADES)}
"""What many rows of a statement are written with instead."""

RISK_EVENT = "COPY risk_events (event_type, severity, message, metadata, occurred_at, journal, seq) FROM STDIN"

OPERATOR_ACTION = """
INSERT INTO operator_actions (seq, ts_ns, action, operator, reason, content, previous_hash, hash)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""

POSITION = """
INSERT INTO positions (symbol, quantity, entry_price, current_price, unrealized_pnl, side, opened_at, updated_at,
    realized_pnl)
VALUES (%s, %s, %s, %s, %s, %s, to_timestamp(%s / 1e9), to_timestamp(%s / 1e9), %s)
ON CONFLICT (symbol, side) DO UPDATE SET quantity = EXCLUDED.quantity, entry_price = EXCLUDED.entry_price,
    current_price = EXCLUDED.current_price, unrealized_pnl = EXCLUDED.unrealized_pnl,
    opened_at = EXCLUDED.opened_at, updated_at = EXCLUDED.updated_at, realized_pnl = EXCLUDED.realized_pnl
"""

# A position that is flat, or on the other side now.
POSITION_GONE = "DELETE FROM positions WHERE symbol = %s AND side <> %s"

# Realized results add up fill by fill: exactly once, because the offset moves in the same transaction.
DAY_REALIZED = """
INSERT INTO daily_pnl (trading_date, realized_pnl, total_pnl, trade_count, winning_trades, losing_trades)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (trading_date) DO UPDATE SET realized_pnl = daily_pnl.realized_pnl + EXCLUDED.realized_pnl,
    total_pnl = daily_pnl.total_pnl + EXCLUDED.realized_pnl,
    trade_count = daily_pnl.trade_count + EXCLUDED.trade_count,
    winning_trades = daily_pnl.winning_trades + EXCLUDED.winning_trades,
    losing_trades = daily_pnl.losing_trades + EXCLUDED.losing_trades
"""

DAY_UNREALIZED = """
INSERT INTO daily_pnl (trading_date, unrealized_pnl, total_pnl) VALUES (%s, %s, %s)
ON CONFLICT (trading_date) DO UPDATE SET unrealized_pnl = EXCLUDED.unrealized_pnl,
    total_pnl = daily_pnl.realized_pnl + EXCLUDED.unrealized_pnl
"""

# Orders before the trades that refer to them; the old side of a position before the new one.
ORDER_OF_STATEMENTS = (
    ORDER,
    TRADE,
    OPERATOR_ACTION,
    POSITION_GONE,
    POSITION,
    DAY_REALIZED,
    DAY_UNREALIZED,
)

LOAD_OFFSETS = "SELECT journal, created_ns, epoch, seq, ts_ns FROM journal_offsets"

# The condition makes a second recorder, or a database restored meanwhile, an error instead of doubled rows.
ADVANCE = """
INSERT INTO journal_offsets AS known (journal, created_ns, epoch, seq, ts_ns) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (journal) DO UPDATE SET created_ns = EXCLUDED.created_ns, epoch = EXCLUDED.epoch, seq = EXCLUDED.seq,
    ts_ns = EXCLUDED.ts_ns, committed_at = NOW()
WHERE known.seq = %s
"""

REFUSE = "INSERT INTO refused_rows (table_name, content, error) VALUES (%s, %s, %s)"

AUDIT_LINES = "SELECT seq, hash FROM audit_lines"

AUDIT_LINE = "INSERT INTO audit_lines (seq, ts_ns, hash) VALUES (%s, %s, %s)"

LAST_AUDIT_HASH = "SELECT hash FROM operator_actions ORDER BY seq DESC LIMIT 1"
