"""How records become rows: one table a record class, columns derived from the record's fields.

Prices, quantities and money leave as the text `{integer}e-9`, which NUMERIC reads exactly: no float, no Decimal.
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
    template: str
    text_fields: tuple[str, ...]

    @property
    def copy_sql(self) -> str:
        """The COPY statement that takes `row` lines."""
        return f"COPY {self.name} ({', '.join(self.columns)}) FROM STDIN"

    def row(self, record: Record) -> str:
        """Return the line of COPY's text format for a record, with its newline."""
        fields: dict[str, int | str] = record.as_dict()
        for name in self.text_fields:
            text = fields[name]
            assert isinstance(text, str)
            if "\\" in text or not text.isprintable():
                fields[name] = text.translate(_ESCAPES)
        head = f"{record.seq}\t{record.ts_ns}\t{record.cause_journal.label}\t{record.cause_seq}\t{record.origin_ns}"
        return head + self.template % fields


def _derive(kind: type[Record], name: str) -> Table:
    blank = kind()
    columns = dict(HEADER_COLUMNS)
    template = ""
    text_fields = []
    for field in kind.FIELDS:
        value = getattr(blank, field)
        column = field.removesuffix("_e9")
        column = RENAMED.get(column, column)
        if isinstance(value, int):
            columns[column], form = _integer_column(field)
        else:
            columns[column], form = "text", "s"
            if isinstance(value, str):
                text_fields.append(field)
        template += f"\t%({field}){form}"
    return Table(name, columns, template + "\n", tuple(text_fields))


def _integer_column(field: str) -> tuple[str, str]:
    if field.endswith("_e9"):
        return E9_TYPE, "de-9"
    if field.startswith("is_"):
        return "boolean", "d"
    return ("numeric(20,0)", "d") if field in WIDE_FIELDS else ("bigint", "d")


TABLES = {kind: _derive(kind, name) for kind, name in TABLE_NAMES.items()}
