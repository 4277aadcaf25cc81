"""All faults of one venue: loading, healing and telling; the parts stand where bytes and records pass."""

from holdfast.venues.simulated.faults.book import FaultBook
from holdfast.venues.simulated.faults.http import Fills, HttpFaults
from holdfast.venues.simulated.faults.script import FaultScript
from holdfast.venues.simulated.ledger import LedgerWriter


class Faults:
    """What disturbs a venue. Without a script everything passes."""

    def __init__(self, ledger: LedgerWriter, *, fills: Fills) -> None:
        self._book = FaultBook(ledger)
        self.http = HttpFaults(self._book, fills)

    def load(self, script: FaultScript) -> None:
        """Begin a script; one that runs is healed first."""
        self.heal()
        self._book.open(script)
        self.http.open()

    def heal(self) -> None:
        """End every fault: what was held is let go, what was hidden is shown."""
        self._book.close()
        self.http.heal()

    def status(self) -> dict[str, object]:
        """Return what is loaded and how often each fault struck."""
        return self._book.status()
