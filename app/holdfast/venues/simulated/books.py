"""The order books of the pairs, for whoever asks in the middle of the day."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast._native import BookAction, BookDelta, Side
from holdfast.venues.simulated import market_days

E9 = 1_000_000_000


@dataclass(slots=True)
class _Book:
    ts_event_ns: int = 0
    levels: dict[Side, dict[int, int]] = field(default_factory=lambda: {Side.BUY: {}, Side.SELL: {}})


class Books:
    """Price levels by symbol and side, scaled by 1e-9."""

    def __init__(self) -> None:
        self._books: dict[str, _Book] = {}

    def on_records(self, records: Sequence[object]) -> None:
        """Apply the deltas among the records."""
        for record in records:
            if isinstance(record, BookDelta):
                self._apply(record)

    def snapshot(self, symbol: str) -> list[BookDelta]:
        """Return the whole book as deltas; nothing before the first one."""
        book = self._books.get(symbol)
        if book is None:
            return []
        levels = [
            {"side": side, "action": BookAction.SET, "price_e9": price_e9, "size_e9": size_e9}
            for side in (Side.BUY, Side.SELL)
            for price_e9, size_e9 in _sorted(book, side)
        ]
        changes: list[dict[str, Any]] = [{"action": BookAction.CLEAR}, *levels]
        last = len(changes) - 1
        return [
            BookDelta(symbol=symbol, ts_event_ns=book.ts_event_ns, is_last=int(place == last), **change)
            for place, change in enumerate(changes)
        ]

    def as_message(self, symbol: str) -> dict[str, Any]:
        """Return the whole book as history shows it."""
        book = self._books.get(symbol, _Book())
        sides = {
            name: [{"p": price_e9 / E9, "s": size_e9 / E9} for price_e9, size_e9 in _sorted(book, side)]
            for name, side in (("b", Side.BUY), ("a", Side.SELL))
        }
        return {"t": market_days.rfc3339(book.ts_event_ns), **sides}

    def _apply(self, delta: BookDelta) -> None:
        book = self._books.setdefault(delta.symbol, _Book())
        book.ts_event_ns = delta.ts_event_ns
        if delta.action is BookAction.CLEAR:
            for levels in book.levels.values():
                levels.clear()
        elif delta.action is BookAction.REMOVE:
            book.levels[delta.side].pop(delta.price_e9, None)
        else:
            book.levels[delta.side][delta.price_e9] = delta.size_e9


def _sorted(book: _Book, side: Side) -> list[tuple[int, int]]:
    return sorted(book.levels[side].items(), reverse=side is Side.BUY)
