"""Every metric, declared once: base units, closed label sets."""

from prometheus_client import Counter, Gauge

SERVICE_UP = Gauge("holdfast_service_up", "1 once the service said it is ready", ["service"])

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
RISK_LAG = Gauge("holdfast_risk_lag_records", "Records that the risk-manager has not read yet", ["journal"])
RISK_TURNED = Gauge("holdfast_risk_turned_timestamp_seconds", "When the risk-manager's loop last reported")
TRADING_STATE = Gauge("holdfast_trading_state", "1 for the trading state in force", ["state"])
