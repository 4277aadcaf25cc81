"""What one transaction brings to PostgreSQL: rows, and how far each journal is read once they are there."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

Row = tuple[object, ...]


def numeric(value_e9: int) -> Decimal:
    """Return an integer scaled by 1e-9 as the exact decimal of a NUMERIC column."""
    return Decimal(value_e9).scaleb(-9)


def numeric_or_null(value_e9: int) -> Decimal | None:
    """Return the exact decimal; None for zero, which means absent."""
    return numeric(value_e9) if value_e9 else None


class Offset(NamedTuple):
    """How far a journal is read: its identity and the last record that is in the database."""

    created_ns: int
    epoch: int
    seq: int
    ts_ns: int


@dataclass(slots=True, kw_only=True)
class Batch:
    """Rows and offsets that are committed together or not at all."""

    before: dict[str, Offset]
    after: dict[str, Offset]
    copies: dict[str, list[str]] = field(default_factory=dict)
    """Lines of COPY's text format by COPY statement."""
    changes: dict[str, list[Row]] = field(default_factory=dict)
    """Parameters by statement, in the order in which the statements must run."""
    records: int = 0
    oldest_ts_ns: int = 0

    @property
    def rows(self) -> int:
        """Number of rows that are written."""
        return sum(map(len, self.copies.values())) + sum(map(len, self.changes.values()))
