"""Write the Grafana dashboards from what is said here; `make dashboards` runs it, a test compares.

Each service has a row; a panel's queries say whose metric they mean, since each service tells every metric of ours.
"""

from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).resolve().parents[2] / "monitoring/grafana/dashboards"
DATASOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
GRID_WIDTH = 24


@dataclass(frozen=True)
class Graph:
    """A panel: `queries` maps the legend to PromQL; a figure shows only the last value."""

    title: str
    unit: str
    queries: dict[str, str]
    is_figure: bool = False
    width: int = 8


def figure(title: str, unit: str, query: str) -> Graph:
    """Return a small panel with one number."""
    return Graph(title, unit, {"": query}, is_figure=True, width=4)


def rates(metric: str, job: str, *, by: str) -> str:
    """Return the PromQL of a counter's rate, summed by labels."""
    return f"sum by ({by}) (rate({metric}{{{job}}}[$__rate_interval]))"


EE = 'job="execution-engine"'
RM = 'job="risk-manager"'
MD = 'job="market-data"'
RECORDER = 'job="recorder"'
API = 'job="api-gateway"'
RELAY = 'job="relay"'
WATCHDOG = 'job="watchdog"'
BRIDGE = 'job="signal-bridge"'

COMMITS = rates("holdfast_recorder_commit_seconds_bucket", RECORDER, by="le")

TRADING = {
    "Account": [
        figure("Equity", "currencyUSD", f"holdfast_equity_usd{{{EE}}}"),
        figure("Profit of the day", "currencyUSD", "holdfast:profit_day_usd"),
        figure("Cash", "currencyUSD", f"holdfast_cash_usd{{{EE}}}"),
        figure("Open positions", "none", f"holdfast_open_positions{{{EE}}}"),
        figure("Open orders", "none", f"holdfast_open_orders{{{EE}}}"),
        figure("Kill latch", "bool_on_off", f"holdfast_kill_latch_set{{{EE}}}"),
        Graph("Profit of the day", "currencyUSD", {"profit": "holdfast:profit_day_usd"}, width=12),
        Graph("Positions at cost", "currencyUSD", {"{{symbol}}": f"holdfast_position_cost_usd{{{EE}}}"}, width=12),
    ],
    "market-data": [
        Graph("Messages", "cps", {"{{stream}}": "holdfast:feed_messages:rate_5m"}),
        Graph("Latency, p99", "s", {"{{stream}}": "holdfast:feed_latency_seconds:p99_5m"}),
        Graph("Silence", "s", {"{{stream}} {{channel}}": f"holdfast_feed_quiet_seconds{{{MD}}}"}),
        Graph("Streaming", "bool", {"{{stream}}": f'holdfast_feed_state{{{MD},state="streaming"}}'}),
        Graph("Gaps not repaired", "none", {"{{stream}}": f"holdfast_feed_gaps_unrepaired{{{MD}}}"}),
        Graph(
            "Dropped",
            "cps",
            {"{{reason}}": rates("holdfast_feed_dropped_total", MD, by="reason")},
        ),
    ],
    "signal-bridge": [
        Graph("Records not handed on", "none", {"lag": f"holdfast_signal_bridge_lag_records{{{BRIDGE}}}"}, width=12),
        Graph("Signals", "cps", {"signals": f"deriv(holdfast_signals_next_seq{{{BRIDGE}}}[1m])"}, width=12),
    ],
    "risk-manager": [
        Graph("Trading state", "bool", {"{{state}}": f"holdfast_trading_state{{{RM}}}"}),
        Graph("Limits used", "percentunit", {"{{rule}}": f"holdfast_risk_limit_used_ratio{{{RM}}}"}),
        Graph(
            "Decisions",
            "cps",
            {"{{verdict}} {{reason}}": rates("holdfast_risk_decisions_total", RM, by="verdict, reason")},
        ),
        Graph("Check, p50 and p99", "s", {"{{quantile}}": f"holdfast_risk_check_seconds{{{RM}}}"}),
        Graph("Records not read", "none", {"{{journal}}": f"holdfast_risk_lag_records{{{RM}}}"}),
        Graph("Breakers tripped", "none", {"trips": f"holdfast_risk_breaker_trips_total{{{RM}}}"}),
    ],
    "api-gateway": [
        Graph(
            "Requests",
            "reqps",
            {"{{route}} {{status}}": rates("holdfast_api_requests_total", API, by="route, status")},
        ),
        Graph(
            "Refused",
            "reqps",
            {"{{reason}}": rates("holdfast_api_denied_total", API, by="reason")},
        ),
        Graph("Clients of events", "none", {"clients": f"holdfast_api_event_clients{{{API}}}"}),
    ],
}

EXECUTION = {
    "execution-engine": [
        figure("Gate open", "bool_yes_no", f"holdfast_gate_open{{{EE}}}"),
        figure("Order stream live", "bool_yes_no", f"holdfast_order_stream_live{{{EE}}}"),
        figure("Orders UNKNOWN", "none", f"holdfast_orders_unproven{{{EE}}}"),
        figure("External orders", "none", f"holdfast_external_orders{{{EE}}}"),
        figure("Requests left", "none", f"holdfast_rate_budget_left_requests{{{EE}}}"),
        figure("Slippage, 15 min (bps)", "none", "holdfast:slippage_bps:mean_15m"),
        Graph(
            "Order latency",
            "s",
            {
                "p50": "holdfast:order_latency_seconds:p50_5m",
                "p95": "holdfast:order_latency_seconds:p95_5m",
                "p99": "holdfast:order_latency_seconds:p99_5m",
            },
        ),
        Graph(
            "Tick to wire",
            "s",
            {"p50": "holdfast:tick_to_wire_seconds:p50_5m", "p99": "holdfast:tick_to_wire_seconds:p99_5m"},
        ),
        Graph(
            "Orders",
            "cps",
            {
                "{{outcome}}": rates("holdfast_orders_total", EE, by="outcome"),
                "all": "holdfast:orders:rate_1m",
            },
        ),
        Graph(
            "Failed and filled",
            "percentunit",
            {"failed": "holdfast:orders_failed:ratio_5m", "filled": "holdfast:orders_filled:ratio_1h"},
        ),
        Graph(
            "Ended orders",
            "cps",
            {"{{how}}": rates("holdfast_orders_ended_total", EE, by="how")},
        ),
        Graph("Fills", "cps", {"{{source}}": rates("holdfast_fills_total", EE, by="source")}),
        Graph(
            "Cancels",
            "cps",
            {"{{outcome}}": rates("holdfast_cancels_total", EE, by="outcome")},
        ),
        Graph(
            "Answers of the venue",
            "cps",
            {"{{answer}}": rates("holdfast_venue_answers_total", EE, by="answer")},
        ),
        Graph(
            "Reconciliations",
            "cps",
            {"{{scope}} {{outcome}}": rates("holdfast_reconciliations_total", EE, by="scope, outcome")},
        ),
    ],
    "watchdog": [
        Graph("Age of what it looks at", "s", {"{{cause}}": f"holdfast_watchdog_age_seconds{{{WATCHDOG}}}"}),
        Graph("Alarm", "bool", {"{{cause}}": f"holdfast_watchdog_alarm{{{WATCHDOG}}}"}),
        Graph("Cancels", "cps", {"{{outcome}}": rates("holdfast_watchdog_cancels_total", WATCHDOG, by="outcome")}),
    ],
    "recorder": [
        Graph("Database up", "bool", {"up": f"holdfast_recorder_database_up{{{RECORDER}}}"}, width=6),
        Graph("Rows", "cps", {"rows": f"rate(holdfast_recorder_rows_total{{{RECORDER}}}[$__rate_interval])"}, width=6),
        Graph("Lag", "s", {"lag": f"holdfast_recorder_lag_seconds{{{RECORDER}}}"}, width=6),
        Graph(
            "Commit, p99",
            "s",
            {"p99": f"histogram_quantile(0.99, {COMMITS})"},
            width=6,
        ),
    ],
    "relay": [
        Graph("Clients", "none", {"{{journal}}": f"holdfast_relay_clients{{{RELAY}}}"}),
        Graph("Sent", "Bps", {"{{journal}}": f"rate(holdfast_relay_sent_bytes_total{{{RELAY}}}[$__rate_interval])"}),
        Graph("Records a mirror lacks", "none", {"{{journal}}": f"holdfast_relay_mirror_lag_records{{{RELAY}}}"}),
    ],
}

HOST = {
    "Host": [
        Graph(
            "Processor",
            "percentunit",
            {"{{instance}} {{cpu}}": '1 - rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval])'},
        ),
        Graph("Memory available", "bytes", {"{{instance}}": "node_memory_MemAvailable_bytes"}),
        Graph(
            "Disk free",
            "percentunit",
            {
                "{{mountpoint}}": 'node_filesystem_avail_bytes{fstype!="tmpfs"} / node_filesystem_size_bytes',
            },
        ),
        Graph("Disk busy", "percentunit", {"{{device}}": "rate(node_disk_io_time_seconds_total[$__rate_interval])"}),
        Graph(
            "Network",
            "Bps",
            {
                "{{device}} in": "rate(node_network_receive_bytes_total[$__rate_interval])",
                "{{device}} out": "rate(node_network_transmit_bytes_total[$__rate_interval])",
            },
        ),
        Graph("Clock offset", "s", {"{{instance}}": "node_timex_offset_seconds"}),
    ],
    "Services": [
        Graph("Up", "bool", {"{{job}}": "up"}),
        Graph("Memory", "bytes", {"{{job}}": "process_resident_memory_bytes"}),
        Graph("Processor", "percentunit", {"{{job}}": "rate(process_cpu_seconds_total[$__rate_interval])"}),
        Graph(
            "Release",
            "none",
            {"{{build_hash}} {{config_hash}}": "count by (build_hash, config_hash) (holdfast_release)"},
        ),
        Graph("Failed units", "none", {"{{name}}": 'node_systemd_unit_state{name=~"trading-.*",state="failed"}'}),
        Graph("File descriptors", "percentunit", {"{{job}}": "process_open_fds / process_max_fds"}),
    ],
    "PostgreSQL": [
        Graph("Connections", "none", {"{{state}}": "sum by (state) (pg_stat_activity_count)"}, width=6),
        Graph("Commits", "cps", {"{{datname}}": "rate(pg_stat_database_xact_commit[$__rate_interval])"}, width=6),
        Graph("Size", "bytes", {"{{datname}}": "pg_database_size_bytes"}, width=6),
        Graph("Age of the backup", "s", {"backup": "time() - holdfast_backup_success_timestamp_seconds"}, width=6),
    ],
    "Alerts": [Graph("Firing", "none", {"{{alertname}} {{job}}": 'ALERTS{alertstate="firing"}'}, width=GRID_WIDTH)],
}

DASHBOARDS = {"trading": TRADING, "execution": EXECUTION, "host": HOST}


def panel(graph: Graph) -> Stat | TimeSeries:
    """Return the builder of a panel."""
    built: Stat | TimeSeries = Stat().height(4) if graph.is_figure else TimeSeries().height(7)
    built = built.title(graph.title).unit(graph.unit).span(graph.width).datasource(DATASOURCE)
    for legend, query in graph.queries.items():
        target = Dataquery().datasource(DATASOURCE).expr(query)
        built = built.with_target(target.legend_format(legend) if legend else target)
    return built


def dashboard(name: str) -> str:
    """Return a dashboard as Grafana reads it."""
    built = Dashboard(f"Holdfast: {name}").uid(f"holdfast-{name}").tags(["holdfast"])
    built = built.refresh("5s").time("now-1h", "now").timezone("utc").readonly()
    alerts = AnnotationQuery().name("Alerts").datasource(DATASOURCE).enable(enable=True).icon_color("red")
    built = built.annotation(alerts.expr('ALERTS{alertstate="firing",severity="critical"}'))
    for title, graphs in DASHBOARDS[name].items():
        built = built.with_row(Row(title))
        for graph in graphs:
            built = built.with_panel(panel(graph))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(dashboard(name))


if __name__ == "__main__":
    main()
