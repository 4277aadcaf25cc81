"""The statements that keep the described tables; ns stamps become TIMESTAMPTZ in the server."""

ORDER = """
INSERT INTO orders (order_id, symbol, side, order_type, quantity, price, status, submitted_at, filled_at,
    filled_quantity, filled_avg_price, venue_order_id, replaces_order_id, parent_order_id, strategy, time_in_force,
    order_class, notional, stop_price, detail, is_external, decision_seq, updated_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1e9), to_timestamp(%s / 1e9),
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1e9))
ON CONFLICT (order_id) DO UPDATE SET symbol = EXCLUDED.symbol, side = EXCLUDED.side, order_type = EXCLUDED.order_type,
    quantity = EXCLUDED.quantity, price = EXCLUDED.price, status = EXCLUDED.status,
    filled_at = COALESCE(EXCLUDED.filled_at, orders.filled_at),
    filled_quantity = EXCLUDED.filled_quantity, filled_avg_price = EXCLUDED.filled_avg_price,
    venue_order_id = EXCLUDED.venue_order_id, replaces_order_id = EXCLUDED.replaces_order_id,
    parent_order_id = EXCLUDED.parent_order_id, strategy = EXCLUDED.strategy,
    time_in_force = EXCLUDED.time_in_force, order_class = EXCLUDED.order_class, notional = EXCLUDED.notional,
    stop_price = EXCLUDED.stop_price, detail = COALESCE(NULLIF(EXCLUDED.detail, ''), orders.detail),
    is_external = EXCLUDED.is_external, decision_seq = EXCLUDED.decision_seq, updated_at = EXCLUDED.updated_at
"""

TRADE = """
INSERT INTO trades (trade_id, order_id, symbol, side, quantity, price, commission, executed_at, strategy,
    realized_pnl, seq, origin_ns)
VALUES (%s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1e9), %s, %s, %s, %s)
ON CONFLICT (trade_id) DO NOTHING
"""

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

LAST_AUDIT_HASH = "SELECT hash FROM operator_actions ORDER BY seq DESC LIMIT 1"
