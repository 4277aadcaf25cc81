"""Every metric, declared once: base units, closed label sets."""

from prometheus_client import Counter, Gauge

SERVICE_UP = Gauge("holdfast_service_up", "1 once the service said it is ready", ["service"])

# signal-bridge
SIGNALS_NEXT_SEQ = Gauge("holdfast_signals_next_seq", "Number of the next record of the journal signals")
SIGNAL_BRIDGE_LAG = Gauge("holdfast_signal_bridge_lag_records", "Market records not handed to the strategies yet")
STRATEGIES_STOPPED = Counter("holdfast_strategies_stopped_total", "Strategies stopped by their own error", ["strategy"])
