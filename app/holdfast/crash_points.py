"""Named points at which a process can be made to die or freeze, to test that any of them is recovered from.

There are thirteen steps from a market event to a stored fill, a cancel and a replace, each with a point before and one
after. One point of one process is armed by `HOLDFAST_CRASH_POINT`, once: the marker file that it makes tells the
process that is started again to go on. Unarmed, a point is one call that returns at once; those inside the native
loops are a branch of the journal's writer.

    HOLDFAST_CRASH_POINT=before:submission:SKIP:KILL:/path/of/the/marker
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast._native import Decision, Quote
from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast._native import JournalWriter

VARIABLE = "HOLDFAST_CRASH_POINT"
SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}
SIDES = ("before", "after")
# Each step and the service that takes it, in the order of an order's life.
STEPS = {
    "market_event": "market-data",
    "intent": "signal-bridge",
    "decision": "risk-manager",
    "submission": "execution-engine",
    "entry_request": "execution-engine",
    "entry_answer": "execution-engine",
    "order_update": "execution-engine",
    "fill": "execution-engine",
    "replace_request": "execution-engine",
    "replace_answer": "execution-engine",
    "cancel_request": "execution-engine",
    "cancel_answer": "execution-engine",
    "stored_fill": "recorder",
}
POINTS = tuple(f"{side}:{step}" for step in STEPS for side in SIDES)
# Steps taken in native code: the record whose append they are.
NATIVE = {"market_data": ("market_event", Quote.KIND), "orders": ("decision", Decision.KIND)}


@dataclass(slots=True)
class CrashPoint:
    """The one point that is armed; `skip` passings of it go by."""

    side: str
    step: str
    skip: int
    signal: signal.Signals
    marker: Path

    @classmethod
    def parse(cls, text: str) -> "CrashPoint":
        """Read SIDE:STEP:SKIP:SIGNAL:MARKER.

        Raises: ConfigError.
        """
        parts = text.split(":", 4)
        if len(parts) == 5 and f"{parts[0]}:{parts[1]}" in POINTS and parts[2].isdecimal() and parts[3] in SIGNALS:
            return cls(parts[0], parts[1], int(parts[2]), SIGNALS[parts[3]], Path(parts[4]))
        raise ConfigError(file="environment", key=VARIABLE, expected="SIDE:STEP:SKIP:KILL|STOP:MARKER", found=text)

    def __str__(self) -> str:
        """Return it as `parse` reads it."""
        word = next(word for word, number in SIGNALS.items() if number is self.signal)
        return f"{self.side}:{self.step}:{self.skip}:{word}:{self.marker}"

    def reach(self, side: str, step: str) -> None:
        """Spring, if this is the point and its time has come."""
        if (side, step) != (self.side, self.step):
            return
        if self.skip:
            self.skip -= 1
            return
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), self.signal)


def _armed() -> CrashPoint | None:
    text = os.environ.get(VARIABLE, "")
    point = CrashPoint.parse(text) if text else None
    return point if point is not None and not point.marker.exists() else None


_point = _armed()


def before(step: str) -> None:
    """Say that a step is about to be taken."""
    if _point is not None:
        _point.reach("before", step)


def after(step: str) -> None:
    """Say that a step was taken."""
    if _point is not None:
        _point.reach("after", step)


def arm_writer(name: str, writer: "JournalWriter") -> None:
    """Set the trap in the writer of a journal whose records are written by a native loop."""
    step, kind = NATIVE.get(name, ("", 0))
    if _point is not None and step == _point.step:
        writer.set_trap(
            kind,
            is_after=_point.side == "after",
            skip=_point.skip,
            signal=int(_point.signal),
            marker=_point.marker,
        )
