"""risk_limits.toml: the described defaults, and that nothing missing, unlimited or unknown ever runs."""

import copy
import datetime as dt
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from holdfast._native import RiskLimits
from holdfast.errors import ConfigError
from holdfast.settings.defaults import default_config_dir
from holdfast.settings.risk_limits import RiskSettings, parse_risk_limits
from holdfast.settings.sessions import load_sessions

E9 = 1_000_000_000
FILE = Path("risk_limits.toml")
SHIPPED: dict[str, Any] = tomllib.loads((default_config_dir() / FILE).read_text(), parse_float=Decimal)
KEYS = [
    (section, key)
    for section, values in SHIPPED.items()
    if isinstance(values, dict)
    for key, value in values.items()
    if not isinstance(value, bool)
]


def parse(
    raw: dict[str, Any],
    *,
    environment: Literal["development", "staging", "production"] = "development",
    **overrides: str,
) -> RiskSettings:
    decimals = {name: Decimal(value) for name, value in overrides.items()}
    return parse_risk_limits(raw, file=FILE, environment=environment, overrides=decimals)


def changed(section: str, key: str, value: object) -> dict[str, Any]:
    raw = copy.deepcopy(SHIPPED)
    raw[section][key] = value
    return raw


def test_the_described_defaults_are_shipped() -> None:
    limits = parse(SHIPPED).limits.as_dict()
    described = {
        "position_notional_max_e9": 10_000 * E9,
        "position_quantity_max_e9": 1_000 * E9,
        "gross_exposure_max_e9": 50_000 * E9,
        "open_positions_max": 5,
        "daily_loss_max_e9": 5_000 * E9,
        "order_notional_max_e9": 10_000 * E9,
        "concentration_max_e9": E9 // 4,
        "price_min_e9": E9 // 100,
        "price_max_e9": 10_000 * E9,
        "trade_loss_max_e9": 500 * E9,
        "weekly_loss_max_e9": 15_000 * E9,
        "monthly_loss_max_e9": 50_000 * E9,
        "drawdown_max_e9": E9 // 10,
        "stop_loss_default_e9": E9 // 50,
        "stop_loss_min_e9": E9 // 200,
        "stop_loss_max_e9": E9 // 10,
        "consecutive_losses_max": 5,
        "trades_per_day_max": 50,
        "cool_down_ns": 3600 * E9,
    }
    assert described.items() <= limits.items()


def test_every_native_limit_is_set_by_exactly_one_key() -> None:
    assert parse(SHIPPED).limits.as_dict().keys() == RiskLimits.bounds().keys()


def test_staging_halves_amounts_and_production_starts_at_a_quarter() -> None:
    full, half, quarter = (
        parse(SHIPPED, environment=environment).limits.as_dict()
        for environment in ("development", "staging", "production")
    )
    for name in ("order_notional_max_e9", "position_quantity_max_e9", "daily_loss_max_e9"):
        assert full[name] == 2 * half[name] == 4 * quarter[name]
    assert full["open_positions_max"] == quarter["open_positions_max"]
    assert full["price_max_e9"] == quarter["price_max_e9"]


def test_every_limit_changes_the_hash() -> None:
    limits = parse(SHIPPED).limits
    seen = {limits.hash}
    values = limits.as_dict()
    for name, value in values.items():
        seen.add(RiskLimits(is_short_allowed=False, is_resumed_by_operator=True, **(values | {name: value + 1})).hash)
    seen.add(RiskLimits(is_short_allowed=True, is_resumed_by_operator=True, **values).hash)
    assert len(seen) == len(values) + 2


@pytest.mark.parametrize(("section", "key"), KEYS)
@pytest.mark.parametrize(
    "value",
    [0, -1, Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("1e308"), "10", True, None, []],
    ids=str,
)
def test_a_value_that_is_no_limit_is_refused_by_its_key(section: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(changed(section, key, value))
    assert caught.value.key == f"{section}.{key}"
    assert caught.value.file == str(FILE)
    assert caught.value.expected


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_missing_key_is_refused(section: str, key: str) -> None:
    raw = copy.deepcopy(SHIPPED)
    del raw[section][key]
    with pytest.raises(ConfigError, match=f"{section}.{key}: expected a value"):
        parse(raw)


@pytest.mark.parametrize("section", [*SHIPPED])
def test_a_missing_section_and_an_unknown_key_are_refused(section: str) -> None:
    raw = copy.deepcopy(SHIPPED)
    del raw[section]
    with pytest.raises(ConfigError, match=section):
        parse(raw)
    if isinstance(SHIPPED[section], dict):
        with pytest.raises(ConfigError, match=f"{section}.typo: expected no such key"):
            parse(changed(section, "typo", 1))


def test_the_ceiling_passes_and_one_more_is_refused() -> None:
    ceiling = RiskLimits.bounds()["open_orders_max"][1]
    assert parse(changed("activity", "open_orders_max", ceiling)).limits.as_dict()["open_orders_max"] == ceiling
    with pytest.raises(ConfigError, match=f"at most {ceiling}"):
        parse(changed("activity", "open_orders_max", ceiling + 1))


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.weekly_max_usd"):
        parse(changed("loss", "weekly_max_usd", 100))
    with pytest.raises(ConfigError, match=r"order\.price_min_usd"):
        parse(changed("order", "price_min_usd", 20_000))


def test_the_described_variables_override_their_keys() -> None:
    limits = parse(SHIPPED, MAX_POSITION_SIZE="2500.5", MAX_DAILY_LOSS="100", MAX_OPEN_POSITIONS="2").limits.as_dict()
    assert limits["position_notional_max_e9"] == 2_500_500_000_000
    assert limits["daily_loss_max_e9"] == 100 * E9
    assert limits["open_positions_max"] == 2
    with pytest.raises(ConfigError, match="environment variable MAX_DAILY_LOSS"):
        parse(SHIPPED, MAX_DAILY_LOSS="0")


def test_blackouts_are_the_first_and_last_quarter_of_an_hour_in_new_york() -> None:
    calendar = parse(SHIPPED).calendar
    for open_ns, close_ns in load_sessions()[::250]:
        first = dt.datetime.fromtimestamp(open_ns // E9, ZoneInfo("America/New_York"))
        quarter = int(first.replace(hour=9, minute=45).timestamp()) * E9
        last = int(first.replace(hour=15, minute=45).timestamp()) * E9
        assert calendar.blackout_at(open_ns) == (open_ns, quarter)
        assert calendar.blackout_at(quarter) is None
        assert calendar.blackout_at(last - 1) is None
        assert calendar.blackout_at(last) == (last, last + 900 * E9)
        assert calendar.session_at(open_ns) == (open_ns, close_ns)


@pytest.mark.parametrize(
    ("begin", "end"), [("09:45", "09:30"), ("9:30", "09:45"), ("25:00", "26:00"), ("09:30", "09:30")]
)
def test_a_blackout_that_is_no_window_is_refused(begin: str, end: str) -> None:
    raw = copy.deepcopy(SHIPPED)
    raw["blackout"] = [{"begin": begin, "end": end}]
    with pytest.raises(ConfigError, match="blackout"):
        parse(raw)
