"""Every rule at its boundary: the limit passes, the next unit is denied with the rule, the limit and the value."""

from __future__ import annotations

import math

import pytest

from boundaries import BOUNDARIES, Bench, Boundary
from holdfast._native import OrderIntent, Reason, RiskLimits

# Limits that bound another rule's time or size; each has its own test where that rule is tested.
NOT_A_RULE = {
    "cool_down_ns",
    "order_rate_per_s_max",
    "price_drift_window_ns",
    "protection_bracket_rest_ns",
    "protection_distance_max_e9",
    "protection_loss_max_e9",
    "protection_profit_e9",
    "protection_rejects_max",
    "protection_renew_ns",
    "protection_settle_ns",
    "protection_stop_e9",
    "protection_trail_after_e9",
    "protection_trail_e9",
    "protection_within_ns",
    "reduction_collar_e9",
    "reject_sample_min",
    "repeat_window_ns",
    "stop_loss_default_e9",
    "stop_loss_min_e9",
}


def broken_by_the_value(boundary: Boundary, word: str) -> bool:
    if word in ("0", "-1"):
        return boundary.is_least
    return word == "limit - 1" if boundary.is_least else word in ("limit + 1", "10 x limit")


def test_every_limit_has_its_boundary() -> None:
    assert {boundary.limit_name for boundary in BOUNDARIES} >= RiskLimits.bounds().keys() - NOT_A_RULE


@pytest.mark.parametrize(
    ("boundary", "word"),
    [(boundary, word) for boundary in BOUNDARIES for word in boundary.values()],
    ids=lambda part: part.name if isinstance(part, Boundary) else part,
)
def test_the_boundary_passes_and_the_next_unit_is_denied(boundary: Boundary, word: str) -> None:
    value = boundary.values()[word]
    outcome = boundary.outcome(value)
    if not broken_by_the_value(boundary, word):
        assert outcome is None or outcome[0] is not boundary.rule or value <= 0, outcome
        assert word in ("0", "-1") or outcome is None or outcome[0] in boundary.or_rules, outcome
        return
    assert outcome is not None
    rule, limit, found = outcome
    if boundary.is_shifted:
        assert rule in (boundary.rule, *boundary.or_rules)
        if word == "limit + 1":
            assert (rule, limit, found) == (boundary.rule, boundary.limit - 1, boundary.limit)
    elif word == "limit + 1" and not boundary.is_least:
        assert (rule, limit, found) == (boundary.rule, boundary.limit * boundary.scale, value * boundary.scale)
    else:
        assert rule in (boundary.rule, *boundary.or_rules)


@pytest.mark.parametrize("field", ["quantity_e9", "limit_price_e9", "notional_e9", "stop_loss_price_e9"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, 10**308, "1", None, 0.5], ids=str)
def test_what_is_no_whole_number_never_becomes_an_intent(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        OrderIntent(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "missing", ["quantity_e9", "limit_price_e9", "side", "order_type", "time_in_force", "strategy"]
)
def test_an_intent_without_a_needed_part_is_denied(missing: str) -> None:
    bench = Bench({})
    whole = bench.intent()
    parts = {name: getattr(whole, name) for name in OrderIntent.FIELDS if name != missing}
    broken = bench.broken(OrderIntent(**parts))
    assert broken is not None
    assert broken[0] is Reason.INTENT_INVALID
