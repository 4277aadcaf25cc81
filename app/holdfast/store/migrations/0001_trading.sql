-- The described tables and indexes. Numbers are NUMERIC(28, 9) instead of DECIMAL(18, 8), because prices and quantities
-- are integers scaled by 1e-9; order_id is as wide as a client order id. Columns below the blank line of a table are ours.

CREATE TABLE positions (
    id SERIAL PRIMARY KEY,
    symbol VARCHAR(20) NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    entry_price NUMERIC(28, 9) NOT NULL,
    current_price NUMERIC(28, 9) NOT NULL,
    unrealized_pnl NUMERIC(28, 9) NOT NULL,
    side VARCHAR(10) NOT NULL CHECK (side IN ('long', 'short')),
    opened_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),

    realized_pnl NUMERIC(28, 9) NOT NULL DEFAULT 0,
    UNIQUE (symbol, side)
);

CREATE TABLE orders (
    id SERIAL PRIMARY KEY,
    order_id VARCHAR(128) UNIQUE NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    side VARCHAR(10) NOT NULL CHECK (side IN ('buy', 'sell')),
    order_type VARCHAR(20) NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    price NUMERIC(28, 9),
    status VARCHAR(20) NOT NULL,
    submitted_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    filled_at TIMESTAMPTZ,
    filled_quantity NUMERIC(28, 9) DEFAULT 0,
    filled_avg_price NUMERIC(28, 9),

    venue_order_id VARCHAR(36) NOT NULL DEFAULT '',
    replaces_order_id VARCHAR(36) NOT NULL DEFAULT '',
    parent_order_id VARCHAR(36) NOT NULL DEFAULT '',
    strategy VARCHAR(32) NOT NULL DEFAULT '',
    time_in_force VARCHAR(10) NOT NULL DEFAULT '',
    order_class VARCHAR(10) NOT NULL DEFAULT '',
    notional NUMERIC(28, 9),
    stop_price NUMERIC(28, 9),
    detail TEXT NOT NULL DEFAULT '',
    is_external BOOLEAN NOT NULL DEFAULT FALSE,
    decision_seq BIGINT NOT NULL DEFAULT 0,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE trades (
    id SERIAL PRIMARY KEY,
    trade_id VARCHAR(100) UNIQUE NOT NULL,
    order_id VARCHAR(128) NOT NULL REFERENCES orders (order_id),
    symbol VARCHAR(20) NOT NULL,
    side VARCHAR(10) NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    price NUMERIC(28, 9) NOT NULL,
    commission NUMERIC(28, 9) DEFAULT 0,
    executed_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),

    strategy VARCHAR(32) NOT NULL DEFAULT '',
    realized_pnl NUMERIC(28, 9) NOT NULL DEFAULT 0,
    seq BIGINT UNIQUE NOT NULL,
    origin_ns BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE risk_events (
    id SERIAL PRIMARY KEY,
    event_type VARCHAR(50) NOT NULL,
    severity VARCHAR(20) NOT NULL,
    message TEXT NOT NULL,
    metadata JSONB,
    occurred_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),

    journal VARCHAR(20) NOT NULL,
    seq BIGINT NOT NULL,
    UNIQUE (journal, seq)
);

CREATE TABLE daily_pnl (
    id SERIAL PRIMARY KEY,
    trading_date DATE NOT NULL UNIQUE,
    realized_pnl NUMERIC(28, 9) NOT NULL DEFAULT 0,
    unrealized_pnl NUMERIC(28, 9) NOT NULL DEFAULT 0,
    total_pnl NUMERIC(28, 9) NOT NULL DEFAULT 0,
    trade_count INTEGER NOT NULL DEFAULT 0,
    winning_trades INTEGER NOT NULL DEFAULT 0,
    losing_trades INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX idx_orders_symbol ON orders (symbol);
CREATE INDEX idx_orders_status ON orders (status);
CREATE INDEX idx_orders_submitted_at ON orders (submitted_at);
CREATE INDEX idx_trades_order_id ON trades (order_id);
CREATE INDEX idx_trades_executed_at ON trades (executed_at);
CREATE INDEX idx_positions_symbol ON positions (symbol);
CREATE INDEX idx_risk_events_occurred_at ON risk_events (occurred_at);

-- Row-level security without a policy hides every row from everyone but the owner: whoever may select sees all rows.
ALTER TABLE positions ENABLE ROW LEVEL SECURITY;
CREATE POLICY positions_are_read ON positions FOR SELECT USING (TRUE);
