"""What a run leaves behind: the venue's ledger, our journals, and the answers asked for at its end."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from holdfast.invariants.account import Account, account_of
from holdfast.journals import WRITERS, open_reader
from holdfast.settings import Settings
from holdfast.venues.simulated.ledger import Ledger

if TYPE_CHECKING:
    from holdfast._native import Record

BATCH_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """The records of a journal on the disk, read anew by each iteration."""

    settings: Settings
    name: str

    def __iter__(self) -> "Iterator[Record]":
        """Yield every record from the oldest retained."""
        with open_reader(self.settings, self.name, from_seq=0, wait_s=0) as reader:
            while batch := reader.read(BATCH_RECORDS):
                yield from batch


class StoredJournals(Mapping[str, "Iterable[Record]"]):
    """Every journal of a state directory, by name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getitem__(self, name: str) -> "Iterable[Record]":
        """Return a journal's records. Raises: KeyError for a name that no service writes."""
        if name not in WRITERS:
            raise KeyError(name)
        return StoredJournal(self._settings, name)

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(WRITERS)

    def __len__(self) -> int:
        """Return how many journals there are."""
        return len(WRITERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Answers asked for at the end of a run; None: not part of this run, and not judged.

    `rows` counts PostgreSQL's rows by table. `venue` holds the counters of a venue that published a recorded session
    and then stood still: every record of it must be in our journal.
    """

    rows: Mapping[str, int] | None = None
    venue: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the checkers may look at. Invariant: the run is over and its orders are at rest."""

    ledger: Ledger
    journals: "Mapping[str, Iterable[Record]]"
    external_order_ids: frozenset[str] = frozenset()
    ending: Ending = field(default_factory=Ending)

    @cached_property
    def account(self) -> Account:
        """Return what the journals say happened."""
        return account_of(self.journals)
