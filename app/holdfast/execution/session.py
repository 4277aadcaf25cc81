"""The session twice: by our calendar and by the venue's clock. Where they differ, nobody knows which one is right."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from holdfast.venues.alpaca.trading import VenueClock

SECOND_NS = 1_000_000_000
# Around an open or a close the venue's word may come a moment before or after.
EDGE_NS = 5 * SECOND_NS


def disagreement(venue: VenueClock, sessions: Sequence[tuple[int, int]]) -> str:
    """Return how the venue's session differs from the calendar's `sessions`, opens and closes; empty if it does not."""
    now_ns = venue.ts_event_ns
    begun = bisect_right(sessions, now_ns, key=itemgetter(0))
    is_open = begun > 0 and now_ns < sessions[begun - 1][1]
    nearest_ns = min(abs(now_ns - edge_ns) for pair in sessions[max(begun - 1, 0) : begun + 1] for edge_ns in pair)
    if nearest_ns <= EDGE_NS:
        return ""
    if is_open is not venue.is_open:
        return f"{_word(venue.is_open)} by the venue's clock, {_word(is_open)} by the calendar"
    if not is_open and begun == len(sessions):
        return "the calendar knows no later session"
    expected = {"close": (sessions[begun - 1] if is_open else sessions[begun])[1]}
    found = {"close": venue.next_close_ns}
    if not is_open:
        expected["open"], found["open"] = sessions[begun][0], venue.next_open_ns
    for edge, edge_ns in expected.items():
        if abs(edge_ns - found[edge]) > EDGE_NS:
            return f"{edge} differs: venue {found[edge] // SECOND_NS}, calendar {edge_ns // SECOND_NS}"
    return ""


def _word(is_open: bool) -> str:  # noqa: FBT001 - one fact
    return "open" if is_open else "closed"
