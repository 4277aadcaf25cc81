from holdfast import clock
from holdfast.venues.simulated.session_clock import SessionClock

SECOND_NS = 10**9


def test_a_session_that_keeps_the_hosts_time_is_not_late_by_what_the_start_took() -> None:
    prepared_ns = clock.now_ns() - 3 * SECOND_NS
    session = SessionClock(prepared_ns, prepared_ns + 3600 * SECOND_NS, speed=1.0)
    session.start(at_ns=clock.now_ns())
    assert abs(session.now_ns() - clock.now_ns()) < SECOND_NS // 2


def test_time_stands_still_until_the_session_starts() -> None:
    session = SessionClock(5 * SECOND_NS, 9 * SECOND_NS, speed=1.0)
    assert session.now_ns() == 5 * SECOND_NS
    session.start()
    assert 5 * SECOND_NS <= session.now_ns() < 9 * SECOND_NS
