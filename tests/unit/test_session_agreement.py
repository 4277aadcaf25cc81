"""The calendar and the venue's clock: where they differ entries are closed, and it is said how."""

import pytest

from holdfast.execution.session import EDGE_NS, disagreement
from holdfast.settings.sessions import load_sessions
from holdfast.venues.alpaca.trading import VenueClock

SESSIONS = load_sessions()
# 2024-07-03, a half-day, and the session after the holiday.
HALF = next(place for place, (opens_ns, _) in enumerate(SESSIONS) if opens_ns == 1_720_013_400 * 10**9)
OPEN_NS, CLOSE_NS = SESSIONS[HALF]
NEXT_OPEN_NS, NEXT_CLOSE_NS = SESSIONS[HALF + 1]
HOUR_NS = 3600 * 10**9


def word(ts_ns: int, *, is_open: bool, close_ns: int, open_ns: int = NEXT_OPEN_NS) -> str:
    return disagreement(
        VenueClock(ts_event_ns=ts_ns, is_open=is_open, next_open_ns=open_ns, next_close_ns=close_ns), SESSIONS
    )


@pytest.mark.parametrize("ts_ns", [OPEN_NS - HOUR_NS, CLOSE_NS + HOUR_NS])
def test_a_closed_market_agrees_on_the_next_open_and_close(ts_ns: int) -> None:
    opens_ns, closes_ns = (OPEN_NS, CLOSE_NS) if ts_ns < OPEN_NS else (NEXT_OPEN_NS, NEXT_CLOSE_NS)
    assert word(ts_ns, is_open=False, open_ns=opens_ns, close_ns=closes_ns) == ""
    assert "open differs" in word(ts_ns, is_open=False, open_ns=opens_ns + HOUR_NS, close_ns=closes_ns)
    assert "close differs" in word(ts_ns, is_open=False, open_ns=opens_ns, close_ns=closes_ns + HOUR_NS)


def test_a_half_day_that_only_one_of_them_knows_is_found_before_the_early_close() -> None:
    noon_ns = OPEN_NS + 2 * HOUR_NS
    assert word(noon_ns, is_open=True, close_ns=CLOSE_NS) == ""
    assert word(noon_ns, is_open=True, close_ns=CLOSE_NS + EDGE_NS) == ""
    assert "close differs" in word(noon_ns, is_open=True, close_ns=CLOSE_NS + EDGE_NS + 1)
    assert "close differs" in word(noon_ns, is_open=True, close_ns=CLOSE_NS + 3 * HOUR_NS)


def test_a_holiday_that_only_one_of_them_knows_is_found() -> None:
    assert word(OPEN_NS + HOUR_NS, is_open=False, close_ns=NEXT_CLOSE_NS) == (
        "closed by the venue's clock, open by the calendar"
    )
    holiday_ns = OPEN_NS + 25 * HOUR_NS
    assert word(holiday_ns, is_open=True, close_ns=holiday_ns + HOUR_NS) == (
        "open by the venue's clock, closed by the calendar"
    )


@pytest.mark.parametrize("edge_ns", [OPEN_NS, CLOSE_NS])
@pytest.mark.parametrize("is_open", [True, False])
def test_in_the_seconds_around_an_edge_either_word_may_be_right(edge_ns: int, is_open: bool) -> None:
    for ts_ns in (edge_ns - EDGE_NS, edge_ns, edge_ns + EDGE_NS):
        assert word(ts_ns, is_open=is_open, close_ns=0, open_ns=0) == ""


def test_behind_the_end_of_the_calendar_nothing_agrees() -> None:
    last_ns = SESSIONS[-1][1] + 24 * HOUR_NS
    assert word(last_ns, is_open=True, close_ns=last_ns + HOUR_NS) != ""
    assert word(last_ns, is_open=False, open_ns=last_ns + HOUR_NS, close_ns=last_ns + 8 * HOUR_NS) != ""
