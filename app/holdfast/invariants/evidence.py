"""What a run leaves behind: the venue's ledger, our journals, and the answers asked for at its end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from holdfast._native import Decision, OrderEvent, OrderEventKind, RiskLimits
from holdfast.invariants.account import Account, account_of
from holdfast.journals import WRITERS, open_reader
from holdfast.settings import Settings
from holdfast.venues.simulated.ledger import Ledger

if TYPE_CHECKING:
    from holdfast._native import JournalReader, Record

BATCH_RECORDS = 10_000
SAME_TIME_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """The records of a journal on the disk, read anew by each iteration."""

    settings: Settings
    name: str
    from_seq: int = 0

    def __iter__(self) -> "Iterator[Record]":
        """Yield every record from a number on, or from the oldest retained."""
        with open_reader(self.settings, self.name, from_seq=self.from_seq, wait_s=0) as reader:
            while batch := reader.read(BATCH_RECORDS):
                yield from batch


class GrowingJournals(Mapping[str, "Sequence[Record]"]):
    """Every journal of a state directory while it is written: each look reads only what is new."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readers: dict[str, JournalReader] = {}
        self._records: dict[str, list[Record]] = {name: [] for name in WRITERS}

    def __getitem__(self, name: str) -> "Sequence[Record]":
        """Return a journal's records until now. Raises: KeyError for a name that no service writes."""
        records = self._records[name]
        if name not in self._readers:
            self._readers[name] = open_reader(self._settings, name, from_seq=0, wait_s=0)
        while batch := self._readers[name].read(BATCH_RECORDS):
            records += batch
        return records

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(WRITERS)

    def __len__(self) -> int:
        """Return how many journals there are."""
        return len(WRITERS)


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
class BadStart:
    """What became of a service that was started on a configuration with one `change` that makes it invalid."""

    service: str
    change: str
    is_ready: bool
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Answers asked for at the end of a run; None: not part of this run, and not judged.

    `rows` counts PostgreSQL's rows by table. `venue` holds the counters of a venue that published a recorded session
    and then stood still: every record of it must be in our journal. `is_healed`: every fault ended, and an operator
    cleared what only an operator clears, a minute or less before the end. `bad_start` is the start of a service on a
    configuration that is not valid, `secrets_found` where else than in the credential directory a secret was found.
    """

    rows: Mapping[str, int] | None = None
    venue: Mapping[str, object] | None = None
    is_healed: bool = False
    bad_start: BadStart | None = None
    secrets_found: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Closure:
    """A time in which no entry may leave, in true time, and why."""

    from_ns: int
    to_ns: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the checkers may look at. Invariant: the run is over and its orders are at rest.

    `limits` are those of the active configuration; None: their values are not judged. `closures` are known to who ran
    the run: a service dead or frozen, the kill latch set where no api-gateway saw it. `external_order_ids` are orders
    made past our services.
    `in_flight_s`: for how long bytes of a dead sender may still arrive, where its successor does not wait for them;
    `travel_s`: how long the run's network may have kept any bytes.
    `true_ns` gives the true time of a stamp by the host's clock, which a simulation lets step.
    `is_undisturbed`: no fault was injected and no process died, so that time limits hold all the time.
    `replays` tells for each journal that was replayed where it differed; empty text: it did not.
    """

    ledger: Ledger
    journals: "Mapping[str, Iterable[Record]]"
    limits: RiskLimits | None = None
    closures: tuple[Closure, ...] = ()
    external_order_ids: frozenset[str] = frozenset()
    in_flight_s: float = 0.0
    travel_s: float = 0.0
    replays: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = field(default_factory=Ending)
    is_undisturbed: bool = False
    true_ns: Callable[[int], int] = int

    @cached_property
    def account(self) -> Account:
        """Return what the journals say happened."""
        return account_of(self.journals)

    @cached_property
    def is_venue_of_today(self) -> bool:
        """Return whether the venue lives in the host's time, so that the calendar says something about its session."""
        starts = self.ledger.of_kind("venue_started")
        return all(abs(line["host_ns"] - line["start_ns"]) <= SAME_TIME_NS for line in starts)

    @cached_property
    def decided(self) -> "tuple[Record, ...]":
        """Return every record of the journal `orders`."""
        return tuple(self.journals["orders"])

    @cached_property
    def executed(self) -> "tuple[Record, ...]":
        """Return every record of the journal `executions`."""
        return tuple(self.journals["executions"])

    @cached_property
    def submissions(self) -> tuple[OrderEvent, ...]:
        """Return the steps after which bytes left, in order."""
        return tuple(
            record
            for record in self.executed
            if isinstance(record, OrderEvent) and record.kind is OrderEventKind.SUBMITTING
        )

    @cached_property
    def entries(self) -> tuple[tuple[OrderEvent, Decision], ...]:
        """Return the submissions that could increase exposure, each with its approval."""
        approved = self.account.approved
        pairs = ((event, approved.get(event.client_order_id)) for event in self.submissions)
        return tuple((event, decision) for event, decision in pairs if decision and not decision.is_reduction)
