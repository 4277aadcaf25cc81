"""All faults of one venue: loading, healing and telling; the parts stand where bytes and records pass."""

from holdfast.venues.simulated.faults.book import FaultBook
from holdfast.venues.simulated.faults.http import Fills, HttpFaults
from holdfast.venues.simulated.faults.market import Market, MarketFaults
from holdfast.venues.simulated.faults.script import FaultScript
from holdfast.venues.simulated.faults.streams import StreamFaults
from holdfast.venues.simulated.ledger import LedgerWriter


class Faults:
    """What disturbs a venue. Without a script everything passes."""

    def __init__(self, ledger: LedgerWriter, *, fills: Fills, market: Market) -> None:
        self._book = FaultBook(ledger)
        self.http = HttpFaults(self._book, fills)
        self.order_stream = StreamFaults(self._book, "order_stream")
        self.data_stream = StreamFaults(self._book, "data_stream")
        self.market = MarketFaults(self._book, market)
        self._parts = (self.http, self.order_stream, self.data_stream, self.market)

    def load(self, script: FaultScript) -> None:
        """Begin a script; one that runs is healed first."""
        self.heal()
        self._book.open(script)
        for part in self._parts:
            part.open()

    def heal(self) -> None:
        """End every fault: what was held is let go, what was hidden is shown."""
        self._book.close()
        for part in self._parts:
            part.heal()

    def status(self) -> dict[str, object]:
        """Return what is loaded and how often each fault struck."""
        return self._book.status()
