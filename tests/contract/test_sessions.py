"""The table of sessions against exchange_calendars."""

import datetime as dt

import exchange_calendars
import pytest

from holdfast.settings.sessions import FIRST_DAY, LAST_DAY, load_sessions


def at_ns(year: int, month: int, day: int, hour: int, minute: int) -> int:
    return int(dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC).timestamp()) * 1_000_000_000


@pytest.mark.filterwarnings("ignore:Series.values")  # exchange_calendars' own use of pandas
def test_the_table_has_every_session_of_exchange_calendars_and_no_other() -> None:
    calendar = exchange_calendars.get_calendar("XNYS", start=str(FIRST_DAY), end=str(LAST_DAY))
    expected = list(zip(calendar.opens_nanos.tolist(), calendar.closes_nanos.tolist(), strict=True))
    assert list(load_sessions()) == expected


def test_known_days_are_as_the_exchange_published_them() -> None:
    sessions = set(load_sessions())
    assert (at_ns(2013, 10, 8, 13, 30), at_ns(2013, 10, 8, 20, 0)) in sessions
    assert (at_ns(2024, 11, 29, 14, 30), at_ns(2024, 11, 29, 18, 0)) in sessions
    opens = {opened for opened, _ in sessions}
    assert at_ns(2025, 1, 9, 14, 30) not in opens, "the day of mourning of 2025"
    assert at_ns(2012, 10, 29, 13, 30) not in opens, "the storm of 2012"
