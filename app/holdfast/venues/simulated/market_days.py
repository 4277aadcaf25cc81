"""The venue's days: which session runs at a time, which one comes next. All times ns UTC."""

import datetime as dt
from bisect import bisect_right
from itertools import takewhile

from holdfast.settings.sessions import NEW_YORK, load_sessions

SECOND_NS = 1_000_000_000
START_TIME = dt.time(10, 0)


def session_at_or_after(time_ns: int) -> tuple[int, int]:
    """Return open and close of the session that runs at `time_ns` or comes next."""
    sessions = load_sessions()
    place = bisect_right(sessions, (time_ns, -1))
    if place and time_ns < sessions[place - 1][1]:
        return sessions[place - 1]
    assert place < len(sessions), "the table of sessions ends in 2030"
    return sessions[place]


def clock_at(time_ns: int) -> tuple[bool, int, int]:
    """Return whether the market is open, the next open and the next close."""
    opens_ns, closes_ns = session_at_or_after(time_ns)
    if time_ns < opens_ns:
        return False, opens_ns, closes_ns
    return True, session_at_or_after(closes_ns)[0], closes_ns


def sessions_between(first: dt.date, last: dt.date) -> list[tuple[int, int]]:
    """Return the sessions of the days from `first` to `last`, both included."""
    begin_ns = _midnight_ns(first)
    end_ns = _midnight_ns(last + dt.timedelta(days=1))
    return [session for session in load_sessions() if begin_ns <= session[0] < end_ns]


def midnights(start_ns: int, end_ns: int) -> list[int]:
    """Return when the dates of the sessions began in New York, from `start_ns` to `end_ns`, both included."""
    begun = (_midnight_ns(new_york(opens_ns).date()) for opens_ns, _ in load_sessions() if start_ns <= opens_ns)
    return [midnight_ns for midnight_ns in takewhile(lambda ns: ns <= end_ns, begun) if midnight_ns >= start_ns]


def default_start_ns(now_ns: int) -> int:
    """Return ten o'clock in New York of the latest session day on which that has passed."""
    sessions = load_sessions()
    for opens_ns, _ in reversed(sessions[: bisect_right(sessions, (now_ns, -1))]):
        start = dt.datetime.combine(new_york(opens_ns).date(), START_TIME, NEW_YORK)
        start_ns = int(start.timestamp()) * SECOND_NS
        if start_ns <= now_ns:
            return start_ns
    raise AssertionError("the table of sessions begins in 2010")


def new_york(time_ns: int) -> dt.datetime:
    """Return a time in New York, cut to microseconds."""
    seconds, fraction_ns = divmod(time_ns, SECOND_NS)
    return dt.datetime.fromtimestamp(seconds, NEW_YORK).replace(microsecond=fraction_ns // 1000)


def rfc3339(time_ns: int) -> str:
    """Return a time as text with nine decimals, UTC."""
    seconds, fraction_ns = divmod(time_ns, SECOND_NS)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{fraction_ns:09}Z"


def parse_time_ns(text: str, *, is_end: bool = False) -> int:
    """Read RFC 3339 or a date; an end that is a date includes the day.

    Raises: ValueError.
    """
    if len(text) == 10:
        day = dt.date.fromisoformat(text)
        return _midnight_ns(day + dt.timedelta(days=1)) - 1 if is_end else _midnight_ns(day)
    head, point, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    parsed = dt.datetime.fromisoformat((head + tail[len(digits) :]) if point else text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=dt.UTC)
    return int(parsed.timestamp()) * SECOND_NS + int(digits[:9].ljust(9, "0") or 0)


def _midnight_ns(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), NEW_YORK).timestamp()) * SECOND_NS
