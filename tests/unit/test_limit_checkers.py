"""Changed limits: what one person loosens, what does not end, and what the risk gate did not hear are seen."""

from pathlib import Path

import pytest

from holdfast import _native as native
from holdfast.invariants import Evidence, StoredJournals, limits
from holdfast.settings.defaults import default_config_dir
from holdfast.settings.risk_limits import load_risk_limits
from holdfast.venues.simulated.ledger import Ledger
from trading_day import Day, make_settings

E9 = 1_000_000_000
DAY_NS = 86_400 * E9
KEY = "order_quantity_max_e9"
SETTINGS = make_settings(Path("unused")).model_copy(update={"config_dir": default_config_dir()})
CONFIGURED = load_risk_limits(SETTINGS).limits


class CredulousBook:
    """A book of limits that takes every change: the product's own takes none that the checker could see."""

    def __init__(self, configured: native.RiskLimits) -> None:
        self.values = configured.as_dict()

    @property
    def in_force(self) -> "CredulousBook":
        return self

    def as_dict(self) -> dict[str, int]:
        return dict(self.values)

    def apply(self, change: native.LimitChange) -> None:
        self.values[change.key] = change.new_e9

    def expire(self, now_ns: int) -> bool:
        return now_ns < 0


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(make_settings(tmp_path))


def evidence(day: Day) -> Evidence:
    return Evidence(ledger=Ledger([]), journals=StoredJournals(day.settings), limits=CONFIGURED)


def change(day: Day, percent: int, *, approver: str, lasts_ns: int) -> None:
    new_e9 = CONFIGURED.as_dict()[KEY] * percent // 100
    stamp_ns = day.ts_ns + 1_000_000
    expires_ns = stamp_ns + lasts_ns if lasts_ns else 0
    record = native.LimitChange(
        operator="ann",
        approver=approver,
        reason="drill",
        key=KEY,
        new_e9=new_e9,
        expires_ns=expires_ns,
        ts_event_ns=stamp_ns,
    )
    day.write("control", record)


@pytest.mark.parametrize(
    ("percent", "approver", "lasts_ns", "is_found"),
    [
        (120, "bob", DAY_NS, False),
        (120, "bob", DAY_NS + 1, True),
        (120, "bob", 0, True),
        (120, "ann", DAY_NS, True),
        (120, "", DAY_NS, True),
        (80, "", 0, False),
    ],
)
def test_a_limit_that_one_person_loosens_or_that_does_not_end_is_seen(
    day: Day, monkeypatch: pytest.MonkeyPatch, percent: int, approver: str, lasts_ns: int, *, is_found: bool
) -> None:
    monkeypatch.setattr(limits, "LimitBook", CredulousBook)
    change(day, percent, approver=approver, lasts_ns=lasts_ns)
    assert bool(list(limits.no_limit_loosened_by_one_person(evidence(day)))) is is_found


def test_what_the_product_refuses_is_no_violation(day: Day) -> None:
    change(day, 120, approver="ann", lasts_ns=DAY_NS)
    assert not list(limits.no_limit_loosened_by_one_person(evidence(day)))


@pytest.mark.parametrize(
    ("late_ns", "heard_seq", "is_found"), [(E9, 0, True), (E9 - 1, 0, False), (E9, 1, False), (10 * E9, 1, False)]
)
def test_an_approval_by_who_did_not_hear_a_change_is_seen(
    day: Day, late_ns: int, heard_seq: int, *, is_found: bool
) -> None:
    change(day, 80, approver="", lasts_ns=0)
    at_ns = day.ts_ns + late_ns
    day.write("orders", native.Consumed(control_seq=heard_seq), ts_ns=at_ns)
    entry = native.Decision(verdict=native.Verdict.APPROVED, action=native.IntentAction.NEW, symbol="AAPL")
    day.write("orders", entry, ts_ns=at_ns)
    assert bool(list(limits.every_limit_change_heard(evidence(day)))) is is_found


@pytest.mark.parametrize(("step_ns", "is_loosened"), [(0, True), (2 * E9, False)])
def test_a_loosening_ends_at_the_time_that_a_step_of_the_gate_used_though_the_clock_went_back(
    day: Day, step_ns: int, *, is_loosened: bool
) -> None:
    change(day, 120, approver="bob", lasts_ns=E9)
    day.write("orders", native.Consumed(control_seq=1), ts_ns=day.ts_ns + step_ns)
    book = native.LimitBook(CONFIGURED)
    for record in evidence(day).journals["control"]:
        assert isinstance(record, native.LimitChange)
        book.apply(record)
    right, wrong = (book.in_force, CONFIGURED) if is_loosened else (CONFIGURED, book.in_force)
    for limits_hash in (right.hash, wrong.hash):
        entry = native.Decision(
            verdict=native.Verdict.APPROVED, action=native.IntentAction.NEW, symbol="AAPL", limits_hash=limits_hash
        )
        day.write("orders", entry, ts_ns=day.ts_ns)
    (found,) = limits.every_decision_under_the_active_limits(evidence(day))
    assert found == f"orders 3: limits {wrong.hash:x}, active {right.hash:x}"
