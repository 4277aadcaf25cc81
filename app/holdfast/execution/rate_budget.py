"""How many requests may still leave in the current minute, and for what."""

from collections import deque

WINDOW_S = 60.0
QUERY_RESERVE = 30


class RateBudget:
    """A sliding minute of requests: entries get a share, queries leave a reserve, cancels are never refused.

    Times are monotonic seconds. Invariant: in no 60 s do entries exceed their share, nor entries and queries the
    whole; cancels count and may exceed it, because the venue, not we, may refuse one.
    """

    def __init__(self, *, requests_per_minute: int, entries_per_minute: int) -> None:
        self._requests_max = requests_per_minute
        self._entries_max = min(entries_per_minute, requests_per_minute)
        self._query_reserve = min(QUERY_RESERVE, requests_per_minute // 4)
        self._requests: deque[float] = deque()
        self._entries: deque[float] = deque()
        self._paused_until_s = 0.0

    def take_entry(self, now_s: float) -> bool:
        """Count one entry, if there is room for it."""
        self._forget(now_s)
        if now_s < self._paused_until_s or len(self._entries) >= self._entries_max or self.left(now_s) <= 0:
            return False
        self._entries.append(now_s)
        self._requests.append(now_s)
        return True

    def take_query(self, now_s: float) -> bool:
        """Count one query, if there is room besides the reserve for cancels."""
        if now_s < self._paused_until_s or self.left(now_s) <= self._query_reserve:
            return False
        self._requests.append(now_s)
        return True

    def count_cancel(self, now_s: float) -> None:
        """Count one cancel."""
        self._forget(now_s)
        self._requests.append(now_s)

    def pause(self, *, now_s: float, duration_s: float) -> None:
        """The venue refused for the rate: no entries or queries for a while."""
        self._paused_until_s = max(self._paused_until_s, now_s + min(duration_s, WINDOW_S))

    def left(self, now_s: float) -> int:
        """Return how many requests remain in the minute that ends now."""
        self._forget(now_s)
        return max(self._requests_max - len(self._requests), 0)

    def _forget(self, now_s: float) -> None:
        for times in (self._requests, self._entries):
            while times and times[0] <= now_s - WINDOW_S:
                times.popleft()
