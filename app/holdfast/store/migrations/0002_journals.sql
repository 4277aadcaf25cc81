-- One table a record class, columns derived from its fields (a test compares them with the records); how far each
-- journal was read; what PostgreSQL refused; the hash-chained audit trail of operators.

CREATE TABLE journal_offsets (
    journal VARCHAR(20) PRIMARY KEY,
    created_ns BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    ts_ns BIGINT NOT NULL,
    committed_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE refused_rows (
    id BIGSERIAL PRIMARY KEY,
    table_name TEXT NOT NULL,
    content TEXT NOT NULL,
    error TEXT NOT NULL,
    refused_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE operator_actions (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    action VARCHAR(20) NOT NULL,
    operator VARCHAR(32) NOT NULL,
    reason TEXT NOT NULL,
    content TEXT NOT NULL,
    previous_hash CHAR(64) NOT NULL,
    hash CHAR(64) UNIQUE NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE quotes (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    bid_price NUMERIC(28, 9) NOT NULL,
    bid_size NUMERIC(28, 9) NOT NULL,
    ask_price NUMERIC(28, 9) NOT NULL,
    ask_size NUMERIC(28, 9) NOT NULL,
    conditions TEXT NOT NULL,
    bid_exchange BIGINT NOT NULL,
    ask_exchange BIGINT NOT NULL,
    tape BIGINT NOT NULL,
    flags BIGINT NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE prints (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    price NUMERIC(28, 9) NOT NULL,
    size NUMERIC(28, 9) NOT NULL,
    trade_id NUMERIC(20, 0) NOT NULL,
    conditions TEXT NOT NULL,
    exchange BIGINT NOT NULL,
    tape BIGINT NOT NULL,
    taker_side TEXT NOT NULL,
    action TEXT NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE bars (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    interval_ns BIGINT NOT NULL,
    open NUMERIC(28, 9) NOT NULL,
    high NUMERIC(28, 9) NOT NULL,
    low NUMERIC(28, 9) NOT NULL,
    close NUMERIC(28, 9) NOT NULL,
    volume NUMERIC(28, 9) NOT NULL,
    vwap NUMERIC(28, 9) NOT NULL,
    trade_count BIGINT NOT NULL,
    kind TEXT NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE trading_statuses (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    luld_up NUMERIC(28, 9) NOT NULL,
    luld_down NUMERIC(28, 9) NOT NULL,
    reason TEXT NOT NULL,
    status TEXT NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE market_gaps (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    from_ns BIGINT NOT NULL,
    to_ns BIGINT NOT NULL,
    missed_count BIGINT NOT NULL,
    channel TEXT NOT NULL,
    reason TEXT NOT NULL,
    is_repaired BOOLEAN NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE signals (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    strength NUMERIC(28, 9) NOT NULL,
    reference_price NUMERIC(28, 9) NOT NULL,
    quote_seq BIGINT NOT NULL,
    side TEXT NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE intents (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL,
    target_client_order_id TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    expires_ns BIGINT NOT NULL,
    signal_seq BIGINT NOT NULL,
    quote_seq BIGINT NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    notional NUMERIC(28, 9) NOT NULL,
    limit_price NUMERIC(28, 9) NOT NULL,
    stop_price NUMERIC(28, 9) NOT NULL,
    trail_price NUMERIC(28, 9) NOT NULL,
    trail_percent NUMERIC(28, 9) NOT NULL,
    take_profit_price NUMERIC(28, 9) NOT NULL,
    stop_loss_price NUMERIC(28, 9) NOT NULL,
    stop_loss_limit_price NUMERIC(28, 9) NOT NULL,
    reference_price NUMERIC(28, 9) NOT NULL,
    action TEXT NOT NULL,
    side TEXT NOT NULL,
    order_type TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    order_class TEXT NOT NULL,
    is_extended_hours BOOLEAN NOT NULL,
    is_reduce_only BOOLEAN NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE decisions (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    target_client_order_id TEXT NOT NULL,
    intent_seq BIGINT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    expires_ns BIGINT NOT NULL,
    quote_seq BIGINT NOT NULL,
    limits_hash NUMERIC(20, 0) NOT NULL,
    risk_limit NUMERIC(28, 9) NOT NULL,
    value NUMERIC(28, 9) NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    notional NUMERIC(28, 9) NOT NULL,
    limit_price NUMERIC(28, 9) NOT NULL,
    stop_price NUMERIC(28, 9) NOT NULL,
    trail_price NUMERIC(28, 9) NOT NULL,
    trail_percent NUMERIC(28, 9) NOT NULL,
    take_profit_price NUMERIC(28, 9) NOT NULL,
    stop_loss_price NUMERIC(28, 9) NOT NULL,
    stop_loss_limit_price NUMERIC(28, 9) NOT NULL,
    reference_price NUMERIC(28, 9) NOT NULL,
    rule TEXT NOT NULL,
    verdict TEXT NOT NULL,
    action TEXT NOT NULL,
    side TEXT NOT NULL,
    order_type TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    order_class TEXT NOT NULL,
    is_extended_hours BOOLEAN NOT NULL,
    is_reduction BOOLEAN NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE trading_states (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    detail TEXT NOT NULL,
    limits_hash NUMERIC(20, 0) NOT NULL,
    rule TEXT NOT NULL,
    state TEXT NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE breaker_trips (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL,
    risk_limit NUMERIC(28, 9) NOT NULL,
    value NUMERIC(28, 9) NOT NULL,
    clears_ns BIGINT NOT NULL,
    rule TEXT NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE order_events (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    client_order_id TEXT NOT NULL,
    venue_order_id TEXT NOT NULL,
    replaces_order_id TEXT NOT NULL,
    parent_order_id TEXT NOT NULL,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL,
    detail TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    decision_seq BIGINT NOT NULL,
    quote_seq BIGINT NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    notional NUMERIC(28, 9) NOT NULL,
    filled_quantity NUMERIC(28, 9) NOT NULL,
    average_price NUMERIC(28, 9) NOT NULL,
    limit_price NUMERIC(28, 9) NOT NULL,
    stop_price NUMERIC(28, 9) NOT NULL,
    venue_code BIGINT NOT NULL,
    rule TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    side TEXT NOT NULL,
    order_type TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    order_class TEXT NOT NULL,
    is_external BOOLEAN NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE fills (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    execution_id TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    venue_order_id TEXT NOT NULL,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    price NUMERIC(28, 9) NOT NULL,
    fee NUMERIC(28, 9) NOT NULL,
    position_quantity NUMERIC(28, 9) NOT NULL,
    side TEXT NOT NULL,
    is_recovered BOOLEAN NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE account_snapshots (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    account_number TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    equity NUMERIC(28, 9) NOT NULL,
    last_equity NUMERIC(28, 9) NOT NULL,
    cash NUMERIC(28, 9) NOT NULL,
    buying_power NUMERIC(28, 9) NOT NULL,
    long_market_value NUMERIC(28, 9) NOT NULL,
    short_market_value NUMERIC(28, 9) NOT NULL,
    is_trading_blocked BOOLEAN NOT NULL,
    is_shorting_enabled BOOLEAN NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE position_snapshots (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    quantity NUMERIC(28, 9) NOT NULL,
    available NUMERIC(28, 9) NOT NULL,
    average_price NUMERIC(28, 9) NOT NULL,
    market_price NUMERIC(28, 9) NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE TABLE reconciliations (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    cause_journal TEXT NOT NULL,
    cause_seq BIGINT NOT NULL,
    origin_ns BIGINT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    orders_open BIGINT NOT NULL,
    orders_adopted BIGINT NOT NULL,
    orders_resolved BIGINT NOT NULL,
    fills_recovered BIGINT NOT NULL,
    positions_mismatched BIGINT NOT NULL,
    orders_unknown BIGINT NOT NULL,
    scope TEXT NOT NULL,
    is_complete BOOLEAN NOT NULL,
    recorded_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp(ts_ns::float8 / 1e9::float8)) STORED
);

CREATE INDEX idx_bars_symbol ON bars (symbol, ts_event_ns);
CREATE INDEX idx_decisions_client_order_id ON decisions (client_order_id) WHERE client_order_id <> '';
CREATE INDEX idx_order_events_client_order_id ON order_events (client_order_id);
