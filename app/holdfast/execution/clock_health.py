"""Whether the host's wall clock can be trusted: it neither stepped nor differs from the venue's."""

from dataclasses import dataclass

STEP_NS_MAX = 500_000_000
DIFFERENCE_NS_MAX = 2_000_000_000


@dataclass(slots=True)
class ClockHealth:
    """Compares the wall clock with a clock that never steps, and with the venue's when that is read.

    A step is forgiven only by a reading of the venue's clock that agrees with ours, or where the venue's clock is not
    of this day (a simulated session) by the next time it would have been read.
    """

    _distance_ns: int | None = None
    _trouble: str = ""

    @property
    def trouble(self) -> str:
        """What is wrong; empty while the clock can be trusted."""
        return self._trouble

    def agreed_ns(self, steady_ns: int) -> int:
        """Return the time by the wall clock as it was before it went wrong."""
        return steady_ns + (self._distance_ns or 0)

    def look(self, *, wall_ns: int, steady_ns: int) -> None:
        """Notice a step since the last agreement."""
        distance_ns = wall_ns - steady_ns
        if self._distance_ns is None:
            self._distance_ns = distance_ns
        step_ns = distance_ns - self._distance_ns
        if abs(step_ns) > STEP_NS_MAX and not self._trouble:
            self._trouble = f"stepped_ms={step_ns // 1_000_000}"

    def agree(self, *, wall_ns: int, steady_ns: int, venue_ns: int | None = None, took_ns: int = 0) -> None:
        """Compare with the venue's clock, None where it tells another day's time; what agrees is the new base.

        The venue read its clock within `took_ns`, by the steady clock, before `wall_ns`: a slow answer is no
        difference, and a step while it was on its way is one.
        """
        if venue_ns is not None:
            nearest_ns = min(max(venue_ns, wall_ns - took_ns), wall_ns)
            if abs(venue_ns - nearest_ns) > DIFFERENCE_NS_MAX:
                self._trouble = f"venue_differs_ms={(venue_ns - nearest_ns) // 1_000_000}"
                return
        self._distance_ns, self._trouble = wall_ns - steady_ns, ""
