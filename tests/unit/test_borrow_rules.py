"""What may be sold short by the venue's words: which of them count depends on the date."""

import datetime as dt

import pytest

from holdfast.settings.borrow_rules import borrow_rules_at, load_borrow_rules

EASY = {"tradable": True, "shortable": True, "easy_to_borrow": True, "borrow_status": "easy_to_borrow"}
OLD, NEW = dt.date(2026, 9, 21), dt.date(2026, 9, 22)


@pytest.mark.parametrize("day", [OLD, NEW])
@pytest.mark.parametrize(
    ("changed", "is_shortable"),
    [({}, True), ({"tradable": False}, False), ({"shortable": False}, False), ({"shortable": "true"}, False)],
)
def test_an_asset_must_be_tradable_and_shortable(
    day: dt.date, changed: dict[str, object], *, is_shortable: bool
) -> None:
    rules = borrow_rules_at(day)
    assert rules is not None
    assert rules.is_shortable(EASY | changed) is is_shortable


@pytest.mark.parametrize(
    ("day", "asset", "is_shortable"),
    [
        (OLD, EASY | {"borrow_status": "hard_to_borrow"}, True),
        (OLD, EASY | {"easy_to_borrow": False}, False),
        (NEW, EASY | {"borrow_status": "hard_to_borrow"}, False),
        (NEW, EASY | {"easy_to_borrow": False}, True),
        (NEW, {key: EASY[key] for key in ("tradable", "shortable", "easy_to_borrow")}, False),
    ],
)
def test_the_word_that_counts_changes_on_its_day(day: dt.date, asset: dict[str, object], *, is_shortable: bool) -> None:
    rules = borrow_rules_at(day)
    assert rules is not None
    assert rules.is_shortable(asset) is is_shortable


def test_a_date_before_the_first_rules_has_none_and_the_rules_are_in_order() -> None:
    days = [rules.from_ for rules in load_borrow_rules()]
    assert days == sorted(set(days))
    assert borrow_rules_at(days[0] - dt.timedelta(days=1)) is None
