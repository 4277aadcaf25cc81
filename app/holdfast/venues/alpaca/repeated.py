"""What is in force for long is said again: a reader that starts now looks at the journal's latest records only."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast import clock
from holdfast._native import Halts, JournalWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast._native import Record

# risk-manager and execution-engine read the latest 200,000 records when they start.
REPEAT_RECORDS = 50_000
REPEAT_S = 10.0


@dataclass(slots=True)
class Repeated:
    """Records that are written again before readers that start could miss them."""

    writer: JournalWriter
    records: "Sequence[Record]" = ()
    _due_s: float = 0.0
    _written_seq: int = 0

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return clock.monotonic_s() >= self._due_s or self.writer.next_seq - self._written_seq >= REPEAT_RECORDS

    def beat(self) -> None:
        """Write if it is time; call it often."""
        if self.records and self.is_due:
            self.write()

    def write(self) -> None:
        """Write now."""
        now_ns = clock.now_ns()
        for record in self.records:
            self.writer.append(record, ts_ns=now_ns)
        self._due_s, self._written_seq = clock.monotonic_s() + REPEAT_S, self.writer.next_seq


@dataclass(slots=True)
class RepeatedHalts:
    """The halts in force, as the journal itself has them."""

    halts: Halts
    repeated: Repeated = field(repr=False)

    def beat(self) -> None:
        """Write if it is time; what has just ended is not said again."""
        self.halts.catch_up()
        if self.repeated.is_due:
            self.repeated.records = self.halts.statuses()
            self.repeated.write()
