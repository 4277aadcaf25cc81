"""The sessions of US equities, from a dated table: importing exchange_calendars would cost every service pandas.

`app/setup/market_days.py` writes the table from exchange_calendars; a test compares the two.
"""

import datetime as dt
import importlib.resources
import tomllib
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
OPEN = dt.time(9, 30)
CLOSE = dt.time(16, 0)
EARLY_CLOSE = dt.time(13, 0)
FIRST_DAY = dt.date(2010, 1, 1)
LAST_DAY = dt.date(2030, 12, 31)
TABLE = "market_days.toml"
SATURDAY = 5
# A session day begins at 04:00 in New York, five and a half hours before the open.
BEFORE_OPEN_NS = (5 * 3600 + 1800) * 1_000_000_000


@cache
def load_sessions() -> tuple[tuple[int, int], ...]:
    """Return open and close of every session from 2010 to 2030, ns UTC, in order."""
    table = tomllib.loads(importlib.resources.files("holdfast.settings").joinpath(TABLE).read_text())
    holidays, early_closes = frozenset(table["holidays"]), frozenset(table["early_closes"])
    sessions = []
    for offset in range((LAST_DAY - FIRST_DAY).days + 1):
        day = FIRST_DAY + dt.timedelta(days=offset)
        if day.weekday() < SATURDAY and day not in holidays:
            close = EARLY_CLOSE if day in early_closes else CLOSE
            sessions.append((_time_ns(day, OPEN), _time_ns(day, close)))
    return tuple(sessions)


def open_of_day(sessions: Sequence[tuple[int, int]], at_ns: int) -> int:
    """Return the open of the latest session whose day has begun; 0 before the first known one."""
    begun = bisect_right(sessions, at_ns + BEFORE_OPEN_NS, key=itemgetter(0))
    return sessions[begun - 1][0] if begun else 0


def _time_ns(day: dt.date, time: dt.time) -> int:
    return int(dt.datetime.combine(day, time, NEW_YORK).timestamp()) * 1_000_000_000
