"""How records become rows: one table a record class, columns derived from the record's fields.

The lines are `Record.as_copy`: prices, quantities and money leave as the text `{integer}e-9`, which NUMERIC reads
exactly: no float, no Decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast import _native

if TYPE_CHECKING:
    from holdfast._native import Record

HEADER_COLUMNS = {
    "seq": "bigint",
    "ts_ns": "bigint",
    "cause_journal": "text",
    "cause_seq": "bigint",
    "origin_ns": "bigint",
}
E9_TYPE = "numeric(28,9)"
# Unsigned 64-bit values that are identities rather than counts.
WIDE_FIELDS = frozenset({"trade_id", "limits_hash"})
RENAMED = {"limit": "risk_limit"}

TABLE_NAMES: dict[type[Record], str] = {
    _native.Quote: "quotes",
    _native.Trade: "prints",
    _native.Bar: "bars",
    _native.TradingStatus: "trading_statuses",
    _native.Gap: "market_gaps",
    _native.Signal: "signals",
    _native.OrderIntent: "intents",
    _native.Decision: "decisions",
    _native.TradingState: "trading_states",
    _native.BreakerTripped: "breaker_trips",
    _native.OrderEvent: "order_events",
    _native.Fill: "fills",
    _native.AccountSnapshot: "account_snapshots",
    _native.PositionSnapshot: "position_snapshots",
    _native.Reconciled: "reconciliations",
}
RAW_MARKET_DATA: frozenset[type[Record]] = frozenset({_native.Quote, _native.Trade})

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds one record class."""

    name: str
    columns: dict[str, str]

    @property
    def copy_sql(self) -> str:
        """The COPY statement that takes the lines of the records."""
        return f"COPY {self.name} ({', '.join(self.columns)}) FROM STDIN"


def escaped(text: str) -> str:
    """Return a text as COPY's text format takes it."""
    return text.translate(_ESCAPES) if "\\" in text or not text.isprintable() else text


def _derive(kind: type[Record], name: str) -> Table:
    blank = kind()
    columns = dict(HEADER_COLUMNS)
    for field in kind.FIELDS:
        column = field.removesuffix("_e9")
        is_integer = isinstance(getattr(blank, field), int)
        columns[RENAMED.get(column, column)] = _integer_column(field) if is_integer else "text"
    return Table(name, columns)


def _integer_column(field: str) -> str:
    if field.endswith("_e9"):
        return E9_TYPE
    if field.startswith("is_"):
        return "boolean"
    return "numeric(20,0)" if field in WIDE_FIELDS else "bigint"


TABLES = {kind: _derive(kind, name) for kind, name in TABLE_NAMES.items()}
