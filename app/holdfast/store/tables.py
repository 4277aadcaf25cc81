"""How records become rows: one table a record class, columns derived from the record's fields.

Prices, quantities and money leave as the text `{integer}e-9`, which NUMERIC reads exactly: no float, no Decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from holdfast import _native

if TYPE_CHECKING:
    from collections.abc import Callable

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
    values: Callable[[Record], tuple[int | str, ...]]
    texts: tuple[int, ...]
    """Places of free text among the values: only there something may need an escape."""

    @property
    def copy_sql(self) -> str:
        """The COPY statement that takes `row` lines."""
        return f"COPY {self.name} ({', '.join(self.columns)}) FROM STDIN"

    def row(self, record: Record) -> str:
        """Return the line of COPY's text format for a record, with its newline."""
        values = self.values(record)
        for place in self.texts:
            text = values[place]
            assert isinstance(text, str)
            if "\\" in text or not text.isprintable():
                values = (*values[:place], escaped(text), *values[place + 1 :])
        return self.template % values


def escaped(text: str) -> str:
    """Return a text as COPY's text format takes it."""
    return text.translate(_ESCAPES)


def _derive(kind: type[Record], name: str) -> Table:
    blank = kind()
    columns = dict(HEADER_COLUMNS)
    forms = ["%d", "%d", "%s", "%d", "%d"]
    paths = ["seq", "ts_ns", "cause_journal.label", "cause_seq", "origin_ns"]
    texts = []
    for field in kind.FIELDS:
        value = getattr(blank, field)
        column = field.removesuffix("_e9")
        column = RENAMED.get(column, column)
        if isinstance(value, int):
            columns[column], form = _integer_column(field)
            paths.append(field)
        else:
            columns[column], form = "text", "%s"
            if isinstance(value, str):
                texts.append(len(paths))
                paths.append(field)
            else:
                paths.append(f"{field}.label")
        forms.append(form)
    return Table(name, columns, "\t".join(forms) + "\n", attrgetter(*paths), tuple(texts))


def _integer_column(field: str) -> tuple[str, str]:
    if field.endswith("_e9"):
        return E9_TYPE, "%de-9"
    if field.startswith("is_"):
        return "boolean", "%d"
    return ("numeric(20,0)", "%d") if field in WIDE_FIELDS else ("bigint", "%d")


TABLES = {kind: _derive(kind, name) for kind, name in TABLE_NAMES.items()}
