"""Faults that begin, last and end by the clock."""

from collections.abc import Callable

from holdfast.venues.simulated.faults.book import Entry, FaultBook
from holdfast.venues.simulated.faults.script import Timed


class TimedFaults:
    """Runs the timed entries of one table: `on_begin` and `on_end` are told, `is_active` answers in between."""

    def __init__(self, book: FaultBook, *, on_begin: Callable[[Entry], None], on_end: Callable[[Entry], None]) -> None:
        self._book = book
        self._on_begin = on_begin
        self._on_end = on_end
        self._active: dict[str, Entry] = {}

    def open(self, entries: list[Entry]) -> None:
        """Plan the first beginning of each."""
        for entry in entries:
            if not isinstance(entry.fault, Timed):
                continue
            if entry.fault.from_s > 0:
                self._plan(entry, entry.fault.from_s)
            else:
                self._begin(entry)

    def heal(self) -> None:
        """End all that last."""
        active, self._active = self._active, {}
        for entry in active.values():
            self._on_end(entry)

    def active(self, *effects: str) -> list[Entry]:
        """Return the entries of these effects that last now."""
        return [entry for entry in self._active.values() if entry.fault.effect in effects]

    def _plan(self, entry: Entry, delay_s: float) -> None:
        self._book.later(entry, "begin", delay_s, lambda: self._begin(entry))

    def _begin(self, entry: Entry) -> None:
        fault = entry.fault
        assert isinstance(fault, Timed)
        if fault.every_s is not None and self._book.now_s + fault.every_s < fault.until_s:
            self._plan(entry, fault.every_s)
        if entry.key not in self._active and self._book.strikes(entry, for_s=fault.for_s):
            self._active[entry.key] = entry
            if fault.for_s is not None:
                self._book.later(entry, "end", fault.for_s, lambda: self.end(entry))
            self._on_begin(entry)

    def end(self, entry: Entry) -> None:
        """End one that lasts."""
        if self._active.pop(entry.key, None) is not None:
            self._on_end(entry)
