"""The end of a demo as one object: counts, latencies, memory, invariants."""

from pathlib import Path
from typing import Any

from holdfast._native import OrderStatus
from holdfast.demo.account import Account, percentiles, read_account
from holdfast.demo.judge import judge
from holdfast.settings import Settings
from holdfast.venues.simulated.ledger import Ledger


def summarise(
    settings: Settings,
    *,
    ledger_file: Path,
    venue: dict[str, Any],
    rows: dict[str, int],
    lag_ms_max: int,
    risk_check_ns: dict[str, int],
    memory_bytes: dict[str, int],
) -> dict[str, Any]:
    """Return the summary; shape: the keys that the README names, latencies in ns, memory in bytes."""
    account = read_account(settings)
    verdict = judge(account, Ledger.read(ledger_file), rows=rows, venue=venue)
    return {
        "market_data": dict(account.market_data),
        "venue": {key: venue.get(key, 0) for key in ("lines_read", "quotes_sent", "trades_sent")},
        "signals": account.signals,
        "intents": account.intents,
        "decisions": {"approved": len(account.approved), "denied": dict(account.denied)},
        "orders": _orders(account),
        "fills": len(account.fills),
        "position_match": verdict.invariants["positions_match"],
        "cash_match": verdict.invariants["cash_matches"],
        "latency_ns": {
            "tick_to_wire": percentiles(account.tick_to_wire_ns),
            "hop": percentiles(account.hop_ns),
            "risk_check": risk_check_ns,
        },
        "recorder": {"rows": sum(rows.values()), "lag_ms_max": lag_ms_max},
        "rss_bytes": memory_bytes,
        "invariants": verdict.invariants,
        "ok": verdict.ok,
    }


def _orders(account: Account) -> dict[str, Any]:
    statuses = [order.status for order in account.orders.orders()]
    return {
        "submitted": len(account.submissions),
        "filled": statuses.count(OrderStatus.FILLED),
        "canceled": statuses.count(OrderStatus.CANCELED),
        "rejected": statuses.count(OrderStatus.REJECTED),
        "unknown": account.unknown,
        "withheld": dict(account.withheld),
    }
