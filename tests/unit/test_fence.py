"""When a lease may be taken, as a model of two hosts, a server that may be restored, and clocks that step."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from holdfast.execution.fence import NS_PER_S, Terms, is_free
from holdfast.store.lease import LeaseRow

TERMS = Terms(lease_ns=20 * NS_PER_S, margin_ns=5 * NS_PER_S, wind_down_ns=5 * NS_PER_S)
ROW = LeaseRow(
    token=7,
    holder="other",
    renewals=3,
    lease_ns=TERMS.lease_ns,
    margin_ns=TERMS.margin_ns,
    is_released=False,
    age_ns=0,
)
PERIOD_NS = TERMS.lease_ns + TERMS.margin_ns
AGES_NS = st.integers(-(10**15), 10**15)


def free(row: LeaseRow | None, watched_ns: int) -> bool:
    return is_free(row, holder="us", terms=TERMS, watched_ns=watched_ns)


@given(age_ns=AGES_NS, watched_ns=st.integers(0, 2 * PERIOD_NS))
def test_another_hosts_lease_is_free_only_after_it_was_watched_for_its_time_and_margin(
    age_ns: int, watched_ns: int
) -> None:
    """Whatever the server's clock says of the row's age: it may have stepped, or the row may be a restored one."""
    assert free(replace(ROW, age_ns=age_ns), watched_ns) == (watched_ns >= PERIOD_NS)


@given(watched_ns=st.integers(0, 2 * PERIOD_NS))
def test_a_missing_row_is_no_proof_that_nobody_sends(watched_ns: int) -> None:
    assert free(None, watched_ns) == (watched_ns >= PERIOD_NS)


@given(age_ns=AGES_NS, is_released=st.booleans())
def test_a_release_or_our_own_earlier_process_spares_the_wait_only_while_fresh(age_ns: int, is_released: bool) -> None:
    row = replace(ROW, age_ns=age_ns, is_released=is_released, holder="other" if is_released else "us")
    assert free(row, 0) == (0 <= age_ns < PERIOD_NS)


@given(lease_s=st.integers(1, 300), margin_s=st.integers(1, 60), watched_s=st.integers(0, 400))
def test_the_longer_of_both_sides_terms_counts(lease_s: int, margin_s: int, watched_s: int) -> None:
    row = replace(ROW, lease_ns=lease_s * NS_PER_S, margin_ns=margin_s * NS_PER_S)
    assert free(row, watched_s * NS_PER_S) == (watched_s >= max(25, lease_s + margin_s))
