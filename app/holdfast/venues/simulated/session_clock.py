"""The venue's time: the host's, moved and sped up; or that of the latest record."""

from holdfast import clock


class SessionClock:
    """Session time in ns UTC; it never steps back and never passes `end_ns` before the session has ended."""

    def __init__(self, start_ns: int, end_ns: int, speed: float | None) -> None:
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._speed = speed
        self._latest_ns = start_ns
        self._started_monotonic_ns: int | None = None

    def start(self, *, at_ns: int | None = None) -> None:
        """Let time run from now on; with `at_ns` it is that time now."""
        if at_ns is not None:
            self._start_ns = max(at_ns, self._start_ns)
        self._started_monotonic_ns = clock.monotonic_ns()

    def now_ns(self) -> int:
        """Return the session time."""
        if self._speed is not None and self._started_monotonic_ns is not None:
            elapsed_ns = clock.monotonic_ns() - self._started_monotonic_ns
            reached_ns = self._start_ns + int(elapsed_ns * self._speed)
            if reached_ns > self._latest_ns:
                self.reach(min(reached_ns, self._end_ns))
        return self._latest_ns

    def reach(self, time_ns: int) -> None:
        """Notice that a record or an event has this time."""
        self._latest_ns = max(self._latest_ns, time_ns)

    def host_delay_s(self, time_ns: int) -> float:
        """Return how long the host has to wait until a session time, 0 when it has passed."""
        return max(0.0, (time_ns - self.now_ns()) / 1e9 / (self._speed or 1.0))
