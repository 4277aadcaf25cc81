"""The sliding minute of requests."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.execution.rate_budget import WINDOW_S, RateBudget


def test_entries_stop_at_their_share_and_cancels_never_do() -> None:
    budget = RateBudget(requests_per_minute=200, entries_per_minute=120)
    assert sum(budget.take_entry(1.0) for _ in range(130)) == 120
    assert sum(budget.take_query(1.0) for _ in range(100)) == 50
    assert budget.left(1.0) == 30
    for _ in range(40):
        budget.count_cancel(1.0)
    assert budget.left(1.0) == 0
    assert not budget.take_query(WINDOW_S)
    assert budget.take_entry(1.0 + WINDOW_S)


def test_a_refusal_for_the_rate_pauses_entries_and_queries() -> None:
    budget = RateBudget(requests_per_minute=200, entries_per_minute=120)
    budget.pause(now_s=10.0, duration_s=5.0)
    assert not budget.take_entry(14.9)
    assert not budget.take_query(14.9)
    assert budget.take_entry(15.0)
    budget.pause(now_s=20.0, duration_s=1e9)
    assert budget.take_entry(20.0 + WINDOW_S)


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["entry", "query", "cancel"])), max_size=300))
def test_no_minute_holds_more_than_its_share(steps: list[tuple[float, str]]) -> None:
    budget = RateBudget(requests_per_minute=20, entries_per_minute=12)
    taken: list[tuple[float, str]] = []
    now_s = 0.0
    for pause_s, kind in steps:
        now_s += pause_s
        if kind == "cancel":
            budget.count_cancel(now_s)
        elif not (budget.take_entry if kind == "entry" else budget.take_query)(now_s):
            continue
        taken.append((now_s, kind))
        window = [what for at_s, what in taken if at_s > now_s - WINDOW_S]
        assert window.count("entry") <= 12
        assert kind == "cancel" or len(window) <= 20
