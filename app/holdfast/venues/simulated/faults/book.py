"""The book of a running fault script: what may still strike, what struck, and when it all ended."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast import clock
from holdfast.venues.simulated.faults.script import Chance, Fault, FaultScript, HttpFault
from holdfast.venues.simulated.ledger import LedgerWriter


def label_of(key: str, fault: Fault) -> str:
    """Return the kind of a fault: its table and its effect."""
    return fault.label if isinstance(fault, HttpFault) else f"{key.partition('[')[0]}.{fault.effect}"


@dataclass(slots=True)
class Entry:
    """One fault of the script and how often it struck. Its dice are its own: other faults do not move them."""

    key: str
    fault: Fault
    label: str
    dice: random.Random
    seen: int = 0
    injected: int = 0
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict, repr=False)


class FaultBook:
    """Entries of the loaded script; `strikes` decides about each, and the ledger hears of every fault.

    Invariant: once healed nothing strikes until another script is loaded.
    """

    def __init__(self, ledger: LedgerWriter) -> None:
        self._ledger = ledger
        self._started_s = clock.monotonic_s()
        self.entries: list[Entry] = []
        self.injected: Counter[str] = Counter()
        self.is_healed = True
        self.seed = 0

    @property
    def now_s(self) -> float:
        """Return the seconds since the script was loaded."""
        return clock.monotonic_s() - self._started_s

    def open(self, script: FaultScript) -> None:
        """Begin a script; the one before must have been healed."""
        assert self.is_healed, "a script runs"
        self._started_s = clock.monotonic_s()
        self.seed = script.seed
        self.entries = [
            Entry(key, fault, label_of(key, fault), random.Random(f"{script.seed} {key}"))  # noqa: S311 - replayable
            for key, fault in script.entries()
        ]
        self.is_healed = False
        self._ledger.write("faults_loaded", seed=script.seed, count=len(self.entries))

    def close(self) -> None:
        """End the script: nothing strikes any more."""
        if self.is_healed:
            return
        self.is_healed = True
        for entry in self.entries:
            for timer in entry.timers.values():
                timer.cancel()
        self._ledger.write("faults_healed", injected=dict(self.injected))
        self._ledger.flush()

    def of_table(self, table: str) -> list[Entry]:
        """Return the entries of one table."""
        return [entry for entry in self.entries if entry.key.startswith(f"{table}[")]

    def strikes(self, entry: Entry, **facts: object) -> bool:
        """Decide about one chance; a fault that strikes is in the ledger before anyone can see it."""
        fault = entry.fault
        # A timed fault begins by its timer, which may be a little early.
        from_s = fault.from_s if isinstance(fault, Chance) else 0.0
        if self.is_healed or not from_s <= self.now_s < fault.until_s:
            return False
        entry.seen += 1
        if isinstance(fault, Chance) and entry.seen <= fault.skip:
            return False
        if fault.count is not None and entry.injected >= fault.count:
            return False
        if fault.probability < 1.0 and entry.dice.random() >= fault.probability:
            return False
        self.note(entry, **facts)
        return True

    def note(self, entry: Entry, **facts: object) -> None:
        """Count a fault and write it down."""
        entry.injected += 1
        self.injected[entry.label] += 1
        self._ledger.write("fault", fault=entry.label, key=entry.key, name=entry.fault.name, **facts)
        self._ledger.flush()

    def later(self, entry: Entry, name: str, delay_s: float, call: Callable[[], None]) -> None:
        """Call once after a delay unless the script ends before; an entry has one timer of each name."""
        entry.timers[name] = asyncio.get_running_loop().call_later(delay_s, call)

    def status(self) -> dict[str, object]:
        """Return what is loaded and how often each fault struck."""
        return {
            "seed": self.seed,
            "is_healed": self.is_healed,
            "elapsed_s": round(self.now_s, 3),
            "faults": [{"key": entry.key, "fault": entry.label, "injected": entry.injected} for entry in self.entries],
            "injected": dict(self.injected),
        }
