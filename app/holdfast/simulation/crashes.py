"""A crash at one of the named points: the process is gone in the middle of a step, and starts again."""

from collections.abc import Callable
from dataclasses import dataclass

from holdfast import crash_points

# Native loops make their own traps, and the recorder is not simulated.
STEPS = tuple(
    step
    for step, service in crash_points.STEPS.items()
    if service != "recorder" and step not in {native for native, _ in crash_points.NATIVE.values()}
)
POINTS = tuple(f"{side}:{step}" for step in STEPS for side in crash_points.SIDES)


SPENT = "spent:spent"


class Killed(BaseException):
    """The process ended: nothing that follows the point happens."""


@dataclass(slots=True)
class SimulatedCrash:
    """Stands in the place of `crash_points`' armed point; `skip` passings go by, then `kill` is called once."""

    point: str
    skip: int
    kill: Callable[[], None] = lambda: None

    @property
    def step(self) -> str:
        """Return the step, which is none of the native ones."""
        return self.point.partition(":")[2]

    def reach(self, side: str, step: str) -> None:
        """End the process if this is the point and its time has come."""
        if f"{side}:{step}" != self.point:
            return
        if self.skip:
            self.skip -= 1
            return
        self.point = SPENT
        self.kill()
        raise Killed
