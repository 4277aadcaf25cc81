"""Faults of the simulated venue by script: `FaultScript` says what, `Faults` does it to one venue."""

from holdfast.venues.simulated.faults.injector import Faults
from holdfast.venues.simulated.faults.script import (
    FaultScript,
    HttpFault,
    MarketFault,
    MessageFault,
    RecordFault,
    StreamFault,
)

__all__ = ("FaultScript", "Faults", "HttpFault", "MarketFault", "MessageFault", "RecordFault", "StreamFault")
