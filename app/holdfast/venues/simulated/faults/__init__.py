"""Faults of the simulated venue by script: `FaultScript` says what, `Faults` does it to one venue."""

from holdfast.venues.simulated.faults.catalogue import CATALOGUE, KINDS_PER_RUN, draw_script
from holdfast.venues.simulated.faults.injector import Faults
from holdfast.venues.simulated.faults.script import (
    FaultScript,
    HttpFault,
    MarketFault,
    MessageFault,
    RecordFault,
    StreamFault,
)

__all__ = (
    "CATALOGUE",
    "KINDS_PER_RUN",
    "FaultScript",
    "Faults",
    "HttpFault",
    "MarketFault",
    "MessageFault",
    "RecordFault",
    "StreamFault",
    "draw_script",
)
