"""The summary of a demo for a person."""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """Print the counts, the latencies and a tick or a cross for each invariant."""
    table = Table(title="The day", show_header=False)
    market = summary["market_data"]
    table.add_row("market data", ", ".join(f"{count:,} {name}" for name, count in market.items()))
    decisions = summary["decisions"]
    denied = ", ".join(f"{reason} {count}" for reason, count in decisions["denied"].items()) or "none"
    table.add_row("signals, intents", f"{summary['signals']:,}, {summary['intents']:,}")
    table.add_row("decisions", f"{decisions['approved']:,} approved; denied: {denied}")
    orders = summary["orders"]
    shown = ", ".join(f"{count:,} {name}" for name, count in orders.items() if isinstance(count, int))
    table.add_row("orders", shown)
    table.add_row("fills", f"{summary['fills']:,}")
    for name, figures in summary["latency_ns"].items():
        p50, p99 = figures["p50"] / 1000, figures["p99"] / 1000
        table.add_row(name.replace("_", " "), f"p50 {p50:,.1f} us, p99 {p99:,.1f} us, n {figures['n']:,}")
    recorder = summary["recorder"]
    table.add_row("recorder", f"{recorder['rows']:,} rows, lag at most {recorder['lag_ms_max']:,} ms")
    table.add_row("memory", f"{summary['rss_bytes']['total'] / 2**20:,.0f} MiB in all services")
    table.add_row("start, whole run", f"{summary['start_s']} s, {summary['duration_s']} s")
    console.print(table)
    for name, holds in summary["invariants"].items():
        console.print(f"  {'[green]✓[/]' if holds else '[red]✗[/]'} {name.replace('_', ' ')}")
    console.print("[green]all is well[/]" if summary["ok"] else "[red]not well: see above, and the logs[/]")
