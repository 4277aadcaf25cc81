"""Every metric, declared once: base units, closed label sets."""

from prometheus_client import Counter, Gauge, Histogram

SERVICE_UP = Gauge("holdfast_service_up", "1 once the service said it is ready", ["service"])
RELEASE = Gauge("holdfast_release", "1; the labels say which code and configuration run", ["build_hash", "config_hash"])

# signal-bridge
SIGNALS_NEXT_SEQ = Gauge("holdfast_signals_next_seq", "Number of the next record of the journal signals")
SIGNAL_BRIDGE_LAG = Gauge("holdfast_signal_bridge_lag_records", "Market records not handed to the strategies yet")
STRATEGIES_STOPPED = Counter("holdfast_strategies_stopped_total", "Strategies stopped by their own error", ["strategy"])

# risk-manager
RISK_DECISIONS = Counter("holdfast_risk_decisions_total", "Intents judged", ["verdict", "reason"])
RISK_CHECK_SECONDS = Gauge("holdfast_risk_check_seconds", "Time of one judgement since the start", ["quantile"])
RISK_CHECK_SECONDS_SUM = Gauge("holdfast_risk_check_seconds_sum", "Time spent judging since the start")
RISK_TRIPS = Counter("holdfast_risk_breaker_trips_total", "Circuit breakers tripped")
RISK_USAGE = Gauge("holdfast_risk_limit_used_ratio", "How full a limit is that fills up over time", ["rule"])
RISK_LIMIT = Gauge("holdfast_risk_limit", "A limit in force; amounts in USD, counts and shares as they are", ["limit"])
RISK_LAG = Gauge("holdfast_risk_lag_records", "Records that the risk-manager has not read yet", ["journal"])
RISK_TURNED = Gauge("holdfast_risk_turned_timestamp_seconds", "When the risk-manager's loop last reported")
POSITIONS_UNPROTECTED = Gauge("holdfast_positions_unprotected", "Symbols whose position has no protective stop")
UNPROTECTED_SECONDS = Gauge("holdfast_positions_unprotected_seconds", "For how long the first of them has had none")
TRADING_STATE = Gauge("holdfast_trading_state", "1 for the trading state in force", ["state"])

# recorder
RECORDER_DATABASE_UP = Gauge("holdfast_recorder_database_up", "1 while the last call to PostgreSQL succeeded")
RECORDER_ROWS = Counter("holdfast_recorder_rows_total", "Rows committed to PostgreSQL")
RECORDER_RECORDS = Counter("holdfast_recorder_records_total", "Journal records that committed offsets have passed")
RECORDER_REFUSED = Counter("holdfast_recorder_refused_rows_total", "Rows that PostgreSQL refused, kept in refused_rows")
RECORDER_AUDIT_DIFFERS = Gauge(
    "holdfast_recorder_audit_trail_differs", "1 while the audit trail is not the one that PostgreSQL remembers"
)
RECORDER_RETRIES = Counter("holdfast_recorder_retries_total", "Commits that had to be proven or repeated")
RECORDER_COMMIT_SECONDS = Histogram(
    "holdfast_recorder_commit_seconds",
    "Time of one batch from being sealed to being proven committed",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0),
)
RECORDER_LAG_SECONDS = Gauge("holdfast_recorder_lag_seconds", "Age of the oldest record of the last batch")
RECORDER_LAG_SECONDS_MAX = Gauge("holdfast_recorder_lag_seconds_max", "Largest lag since the recorder caught up")

# api-gateway
API_REQUESTS = Counter("holdfast_api_requests_total", "Requests answered", ["method", "route", "status"])
API_REQUEST_SECONDS = Histogram(
    "holdfast_api_request_seconds",
    "Time to answer a request",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0),
)
API_EVENT_CLIENTS = Gauge("holdfast_api_event_clients", "Clients that follow /events")
API_EVENT_CLIENTS_CLOSED = Counter("holdfast_api_event_clients_closed_total", "Clients that were closed", ["reason"])
API_DENIED = Counter("holdfast_api_denied_total", "Requests refused before they were looked at", ["reason"])

# execution-engine
ORDERS = Counter(
    "holdfast_orders_total",
    "Approved orders by what became of their request: accepted, rejected, withheld, unknown, repeated, not_journaled",
    ["outcome"],
)
CANCELS = Counter(
    "holdfast_cancels_total",
    "Cancel requests by outcome: done, refusal, notsent, unproven, too_late",
    ["outcome"],
)
ORDER_LATENCY = Histogram(
    "holdfast_order_latency_seconds",
    "From writing an order's request to the venue's acceptance",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
TICK_TO_WIRE = Histogram(
    "holdfast_tick_to_wire_seconds",
    "From receiving the market event to writing the order it caused",
    buckets=(30e-6, 60e-6, 100e-6, 150e-6, 250e-6, 500e-6, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1),
)
FILLS = Counter("holdfast_fills_total", "Executions journaled, by where they came from: stream, recovered", ["source"])
ORDERS_UNPROVEN = Gauge("holdfast_orders_unproven", "Orders whose outcome at the venue is not proven")
ORDER_STREAM_LIVE = Gauge("holdfast_order_stream_live", "1 while order updates would arrive")
ORDER_STREAM_DROPPED = Gauge("holdfast_order_stream_inputs_dropped", "Stream messages that could not be read")
GATE_OPEN = Gauge("holdfast_gate_open", "1 while neither latch, trading state nor stream stops entries")
RATE_BUDGET_LEFT = Gauge("holdfast_rate_budget_left_requests", "Requests left in the current minute")
RECONCILIATIONS = Counter(
    "holdfast_reconciliations_total",
    "Reconciliations by scope and outcome: matched, differed, failed",
    ["scope", "outcome"],
)
VENUE_ANSWERS = Counter(
    "holdfast_venue_answers_total",
    "Requests to the venue by what came of them: 2xx, 3xx, 4xx, 429, 5xx, not_sent, unproven",
    ["answer"],
)
ORDERS_ENDED = Counter(
    "holdfast_orders_ended_total",
    "Own orders but protective stops by how they ended: fill, canceled, expired, rejected, done_for_day",
    ["how"],
)
SLIPPAGE_BPS = Histogram(
    "holdfast_slippage_bps",
    "How much worse than the price it was decided at an execution was, 1/100 %; 0 where it was better",
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500),
)
KILL_LATCH_SET = Gauge("holdfast_kill_latch_set", "1 while the kill latch stops entries or its file is not ours")
VENUE_OPEN = Gauge("holdfast_venue_open", "1 while the venue's own clock says that it trades")
OPEN_ORDERS = Gauge("holdfast_open_orders", "Orders that are open at the venue or may be")
EXTERNAL_ORDERS = Gauge("holdfast_external_orders", "Open orders of the account that are not ours")
OPEN_POSITIONS = Gauge("holdfast_open_positions", "Symbols held")
POSITION_QUANTITY = Gauge("holdfast_position_quantity", "Signed quantity held", ["symbol"])
POSITION_COST = Gauge("holdfast_position_cost_usd", "Signed quantity times average price", ["symbol"])
PROFIT = Gauge("holdfast_profit_usd", "Our own books since the journal began, net of fees: realized", ["kind"])
EQUITY = Gauge("holdfast_equity_usd", "Equity of the account by the venue")
LAST_EQUITY = Gauge("holdfast_last_equity_usd", "Equity of the account at the previous close by the venue")
CASH = Gauge("holdfast_cash_usd", "Cash of the account by the venue")
BUYING_POWER = Gauge("holdfast_buying_power_usd", "Buying power of the account by the venue")
ACCOUNT_BLOCKED = Gauge("holdfast_account_blocked", "1 while the venue blocks trading")
RECORDS_LOST = Gauge("holdfast_execution_records_lost", "Records that a full disk kept out of the executions journal")

LEASE_HELD = Gauge("holdfast_lease_held", "1 while this execution-engine may send for the account")
LEASE_LEFT_SECONDS = Gauge("holdfast_lease_left_seconds", "How long the right to send lasts if it is not renewed")
LEASE_RENEWALS = Counter("holdfast_lease_renewals_total", "Renewals by outcome: renewed, failed, lost", ["outcome"])
RECONCILED_TIME = Gauge("holdfast_reconciled_timestamp_seconds", "When orders and venue were last compared in full")

# watchdog. `cause` is executions_heartbeat, orders_heartbeat, order_stream or reconciliation.
WATCHDOG_AGE_SECONDS = Gauge("holdfast_watchdog_age_seconds", "Age of what the watchdog looks at", ["cause"])
WATCHDOG_ALARM = Gauge("holdfast_watchdog_alarm", "1 while older than its limit: entry orders are canceled", ["cause"])
WATCHDOG_CANCELS = Counter(
    "holdfast_watchdog_cancels_total",
    "Cancels of entry orders by outcome: done, refusal, notsent, unproven",
    ["outcome"],
)
WATCHDOG_LOOKS = Counter("holdfast_watchdog_looks_total", "Looks at the venue's open orders by outcome", ["outcome"])

# relay
RELAY_CLIENTS = Gauge("holdfast_relay_clients", "Clients that read a journal through the relay", ["journal"])
RELAY_SENT_BYTES = Counter("holdfast_relay_sent_bytes_total", "Bytes of records sent by the relay", ["journal"])
RELAY_MIRROR_LAG = Gauge("holdfast_relay_mirror_lag_records", "Records that a mirror has yet to get", ["journal"])

# market-data. `stream` is equities or crypto; `channel` and `reason` are labels of record codes.
SESSION_OPEN = Gauge("holdfast_session_open", "1 while the calendar says that the stream's market trades", ["stream"])
FEED_MESSAGES = Counter("holdfast_feed_messages_total", "Messages journaled", ["stream", "channel"])
FEED_DROPPED = Counter("holdfast_feed_dropped_total", "Messages that could not be used", ["stream", "reason"])
FEED_ERRORS = Counter("holdfast_feed_errors_total", "Error messages of the venue", ["stream", "code"])
FEED_RECONNECTS = Counter("holdfast_feed_reconnects_total", "Connections that ended or could not be made", ["stream"])
FEED_STATE = Gauge("holdfast_feed_state", "1 for the state the stream is in", ["stream", "state"])
FEED_QUIET_SECONDS = Gauge("holdfast_feed_quiet_seconds", "Session time since the last message", ["stream", "channel"])
FEED_STALE = Gauge("holdfast_feed_stale", "1 while a channel is stale", ["stream", "channel"])
FEED_LATENCY = Histogram(
    "holdfast_feed_latency_seconds",
    "Receive time minus the venue's time, sampled; only with the host's clock as session time",
    ["stream"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
FEED_GAPS = Counter("holdfast_feed_gaps_total", "Gaps opened", ["stream", "reason"])
FEED_GAPS_UNREPAIRED = Gauge("holdfast_feed_gaps_unrepaired", "Gaps not yet repaired", ["stream"])
FEED_RECOVERED = Counter("holdfast_feed_recovered_total", "Records that history gave back", ["stream"])
AVERAGE_VOLUMES_MISSING = Gauge("holdfast_average_volumes_missing", "Shares without an average volume: not traded")
SESSION_DISAGREEMENT = Gauge(
    "holdfast_session_disagreement", "1 while calendar and venue differ on the session: no entries leave"
)
FEED_SYMBOLS_REFUSED = Gauge("holdfast_feed_symbols_refused", "Symbols beyond the account's limit", ["stream"])
