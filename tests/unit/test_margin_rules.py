"""The margin rules of the release: sorted, whole, and the one of the date is in force."""

import datetime as dt

import pytest
from pydantic import ValidationError

from holdfast._native import Calendar
from holdfast.settings.margin_rules import EPOCH, MarginRules, load_margin_rules

E9 = 10**9
RULES = {
    "from": dt.date(2026, 6, 4),
    "initial_percent": 50,
    "maintenance_long_percent": 25,
    "maintenance_short_percent": 30,
    "equity_min_usd": 2000,
}


def test_the_rules_change_with_the_end_of_the_pattern_day_trader_rule() -> None:
    (old, new) = load_margin_rules()
    assert old == ((dt.date(2010, 1, 1) - EPOCH).days, E9 // 2, E9 // 4, 3 * E9 // 10, 25_000 * E9)
    assert new == ((dt.date(2026, 6, 4) - EPOCH).days, E9 // 2, E9 // 4, 3 * E9 // 10, 2_000 * E9)


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize("value", [-1, "nan", float("inf"), float("nan"), 1e308, None, "x"], ids=str)
def test_what_is_no_rule_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        MarginRules.model_validate(RULES | {key: value})
    with pytest.raises(ValidationError):
        MarginRules.model_validate({name: kept for name, kept in RULES.items() if name != key})


@pytest.mark.parametrize("share", [0, 2 * E9 + 1, -1])
def test_a_share_out_of_bounds_is_no_calendar(share: int) -> None:
    with pytest.raises(ValueError, match="margin rules"):
        Calendar([(1, 2)], [], [(0, share, 1, 1, 0)])
    with pytest.raises(ValueError, match="margin rules"):
        Calendar([(1, 2)], [], [(1, E9, 1, 1, 0), (1, E9, 1, 1, 0)])
