"""The end of a demo as one object: counts, latencies, memory, invariants."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast._native import OrderStatus
from holdfast.invariants import Ending, Evidence, StoredJournals, verdict
from holdfast.invariants.account import Account
from holdfast.settings import Settings
from holdfast.settings.risk_limits import load_risk_limits
from holdfast.venues.simulated.ledger import Ledger

STATUSES_ALWAYS_SHOWN = (
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
    OrderStatus.ACCEPTED,
)
WITHHELD = OrderStatus.WITHHELD.label


def percentiles(values: Sequence[int]) -> dict[str, int]:
    """Return p50, p99 and the count; zeros for no values."""
    ordered = sorted(values)
    if not ordered:
        return {"p50": 0, "p99": 0, "n": 0}
    return {
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        "n": len(ordered),
    }


def summarise(
    settings: Settings,
    *,
    ledger_file: Path,
    venue: dict[str, Any],
    is_session: bool,
    rows: dict[str, int],
    lag_ms_max: int,
    risk_check_ns: dict[str, int],
    memory_bytes: dict[str, int],
    is_undisturbed: bool,
) -> dict[str, Any]:
    """Return the summary; shape: the keys that the README names, latencies in ns, memory in bytes.

    `is_session`: the venue published a recorded session, whose every record must be in the journal.
    """
    evidence = Evidence(
        ledger=Ledger.read(ledger_file),
        journals=StoredJournals(settings),
        limits=load_risk_limits(settings).limits,
        ending=Ending(rows=rows, venue=venue if is_session else None),
        is_undisturbed=is_undisturbed,
    )
    account, invariants = evidence.account, verdict(evidence)
    return {
        "market_data": dict(account.market_data),
        "venue": {key: venue.get(key, 0) for key in ("lines_read", "quotes_sent", "trades_sent")},
        "signals": account.signals,
        "intents": account.intents,
        "decisions": {"approved": len(account.approved), "denied": dict(account.denied)},
        "orders": _orders(account),
        "fills": len(account.fills),
        "position_match": invariants["positions_match"],
        "cash_match": invariants["cash_matches"],
        "latency_ns": {
            "tick_to_wire": percentiles(account.tick_to_wire_ns),
            "hop": percentiles(account.hop_ns),
            "risk_check": risk_check_ns,
        },
        "recorder": {"rows": sum(rows.values()), "lag_ms_max": lag_ms_max},
        "rss_bytes": memory_bytes,
        "invariants": invariants,
        "ok": all(invariants.values()),
    }


def _orders(account: Account) -> dict[str, Any]:
    statuses = Counter(order.status.label for order in account.orders.orders())
    unproven = {OrderStatus.UNKNOWN.label, OrderStatus.SUBMITTING.label, OrderStatus.NONE.label}
    return {
        "submitted": len(account.submissions),
        **{status.label: statuses.pop(status.label, 0) for status in STATUSES_ALWAYS_SHOWN},
        **{label: count for label, count in sorted(statuses.items()) if label not in unproven | {WITHHELD}},
        "unknown": account.unknown,
        "withheld": dict(account.withheld),
    }
