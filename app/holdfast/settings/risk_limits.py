"""What risk_limits.toml may say. Every key is needed, none is unlimited; the ceilings are the native core's."""

import datetime as dt
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from holdfast._native import Calendar, RiskLimits
from holdfast.errors import ConfigError
from holdfast.settings.margin_rules import load_margin_rules
from holdfast.settings.schema import Section, Settings
from holdfast.settings.sessions import OPEN, load_sessions

FILE = "risk_limits.toml"
E9 = 1_000_000_000
PERCENT = E9 // 100
NS_PER_MS = 1_000_000
NS_PER_MIN = 60 * E9
NS_PER_DAY = 86_400 * E9
SESSION_OPEN_S = OPEN.hour * 3600 + OPEN.minute * 60
# The described system's environment variables: which keys they set.
OVERRIDES = {
    "MAX_POSITION_SIZE": "position.notional_max_usd",
    "MAX_DAILY_LOSS": "loss.daily_max_usd",
    "MAX_OPEN_POSITIONS": "position.open_max",
}
EXPECTED = {"missing": "a value (the key is missing)", "extra_forbidden": "no such key (unknown keys are refused)"}


@dataclass(frozen=True, slots=True)
class Native:
    """The native limit that a key sets, its units per unit of the key, and whether environments scale it."""

    name: str
    scale: int = 1
    is_amount: bool = False


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        message = "a number"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports ValueError
    return value


Positive = Annotated[Decimal, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[int, Field(strict=True, ge=1, le=100)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class ScaleSection(Section):
    """By how much each environment scales amounts."""

    development: Percent
    staging: Percent
    production: Percent


class OrderSection(Section):
    """One order."""

    quantity_max: Annotated[Positive, Native("order_quantity_max_e9", E9, is_amount=True)]
    average_volume_share_max_percent: Annotated[Positive, Native("average_volume_share_max_e9", PERCENT)]
    notional_max_usd: Annotated[Positive, Native("order_notional_max_e9", E9, is_amount=True)]
    price_min_usd: Annotated[Positive, Native("price_min_e9", E9)]
    price_max_usd: Annotated[Positive, Native("price_max_e9", E9)]
    price_collar_percent: Annotated[Positive, Native("price_collar_e9", PERCENT)]
    reduction_collar_percent: Annotated[Positive, Native("reduction_collar_e9", PERCENT)]
    price_drift_max_percent: Annotated[Positive, Native("price_drift_max_e9", PERCENT)]
    price_drift_window_s: Annotated[Positive, Native("price_drift_window_ns", E9)]
    notional_mismatch_max_percent: Annotated[Positive, Native("notional_mismatch_max_e9", PERCENT)]
    loss_max_usd: Annotated[Positive, Native("trade_loss_max_e9", E9, is_amount=True)]
    is_short_allowed: Annotated[bool, Field(strict=True)]


class StopLossSection(Section):
    """Distance of a stop from the price of its entry."""

    default_percent: Annotated[Positive, Native("stop_loss_default_e9", PERCENT)]
    min_percent: Annotated[Positive, Native("stop_loss_min_e9", PERCENT)]
    max_percent: Annotated[Positive, Native("stop_loss_max_e9", PERCENT)]


class Waiver(Section):
    """Positions that have no protective stop on purpose: a strategy's, a symbol's, or a strategy's of a symbol."""

    strategy: Annotated[str, Field(max_length=32)] = ""
    symbol: Annotated[str, Field(max_length=16)] = ""
    reason: Annotated[str, Field(min_length=1, max_length=128)]


class ProtectionSection(Section):
    """The stop at the venue behind every position; of the three distances from the average price the least binds."""

    stop_percent: Annotated[Positive, Native("protection_stop_e9", PERCENT)]
    distance_max_usd: Annotated[Positive, Native("protection_distance_max_e9", E9)]
    loss_max_usd: Annotated[Positive, Native("protection_loss_max_e9", E9, is_amount=True)]
    trail_percent: Annotated[Positive, Native("protection_trail_e9", PERCENT)]
    trail_after_percent: Annotated[Positive, Native("protection_trail_after_e9", PERCENT)]
    take_profit_percent: Annotated[Positive, Native("protection_profit_e9", PERCENT)]
    settle_ms: Annotated[Positive, Native("protection_settle_ns", NS_PER_MS)]
    within_ms: Annotated[Positive, Native("protection_within_ns", NS_PER_MS)]
    bracket_rest_max_ms: Annotated[Positive, Native("protection_bracket_rest_ns", NS_PER_MS)]
    rejects_max: Annotated[Positive, Native("protection_rejects_max")]
    renew_after_days: Annotated[Positive, Native("protection_renew_ns", NS_PER_DAY)]
    waiver: tuple[Waiver, ...] = Field(default=(), max_length=8)


class QuoteSection(Section):
    """The quote that an entry relies on."""

    age_max_ms: Annotated[Positive, Native("quote_age_max_ns", NS_PER_MS)]
    spread_max_percent: Annotated[Positive, Native("quote_spread_max_e9", PERCENT)]
    jump_max_percent: Annotated[Positive, Native("quote_jump_max_e9", PERCENT)]
    jump_hold_s: Annotated[Positive, Native("quote_jump_hold_ns", E9)]
    locked_max_ms: Annotated[Positive, Native("quote_locked_max_ns", NS_PER_MS)]


class PositionSection(Section):
    """Positions, every open order filled."""

    notional_max_usd: Annotated[Positive, Native("position_notional_max_e9", E9, is_amount=True)]
    quantity_max: Annotated[Positive, Native("position_quantity_max_e9", E9, is_amount=True)]
    open_max: Annotated[Positive, Native("open_positions_max")]
    concentration_max_percent: Annotated[Positive, Native("concentration_max_e9", PERCENT)]


class ExposureSection(Section):
    """All positions together."""

    gross_max_usd: Annotated[Positive, Native("gross_exposure_max_e9", E9, is_amount=True)]
    net_max_usd: Annotated[Positive, Native("net_exposure_max_e9", E9, is_amount=True)]
    leverage_max: Annotated[Positive, Native("leverage_max_e9", E9)]


class ActivitySection(Section):
    """How much and how fast."""

    open_orders_max: Annotated[Positive, Native("open_orders_max")]
    daily_notional_max_usd: Annotated[Positive, Native("daily_notional_max_e9", E9, is_amount=True)]
    order_rate_per_s_max: Annotated[Positive, Native("order_rate_per_s_max")]
    order_burst_max: Annotated[Positive, Native("order_burst_max")]
    repeat_entries_max: Annotated[Positive, Native("repeat_entries_max")]
    repeat_window_s: Annotated[Positive, Native("repeat_window_ns", E9)]
    repeat_identical_max: Annotated[Positive, Native("repeat_identical_max")]
    repeat_liquidations_max: Annotated[Positive, Native("repeat_liquidations_max")]
    duplicate_window_ms: Annotated[Positive, Native("duplicate_window_ns", NS_PER_MS)]


class LossSection(Section):
    """Losses that trip the breaker; percentages are of the equity that the session began with."""

    daily_max_usd: Annotated[Positive, Native("daily_loss_max_e9", E9, is_amount=True)]
    daily_max_percent: Annotated[Positive, Native("daily_loss_share_max_e9", PERCENT)]
    daily_kill_percent: Annotated[Positive, Native("daily_loss_kill_max_e9", PERCENT)]
    weekly_max_usd: Annotated[Positive, Native("weekly_loss_max_e9", E9, is_amount=True)]
    monthly_max_usd: Annotated[Positive, Native("monthly_loss_max_e9", E9, is_amount=True)]
    drawdown_max_percent: Annotated[Positive, Native("drawdown_max_e9", PERCENT)]


class CircuitBreakerSection(Section):
    """The breaker's own counts."""

    consecutive_losses_max: Annotated[Positive, Native("consecutive_losses_max")]
    trades_per_day_max: Annotated[Positive, Native("trades_per_day_max")]
    rejects_in_a_row_max: Annotated[Positive, Native("rejects_in_a_row_max")]
    reject_rate_max_percent: Annotated[Positive, Native("reject_rate_max_e9", PERCENT)]
    reject_sample_min: Annotated[Positive, Native("reject_sample_min")]
    cool_down_min: Annotated[Positive, Native("cool_down_ns", NS_PER_MIN)]
    is_resumed_by_operator: Annotated[bool, Field(strict=True)]
    warn_at_percent: Percent


class Blackout(Section):
    """A window without entries, New York time."""

    begin: TimeOfDay
    end: TimeOfDay

    def offsets_s(self) -> tuple[int, int]:
        """Return begin and end in seconds from 09:30 New York, the open of every session."""
        return _seconds(self.begin) - SESSION_OPEN_S, _seconds(self.end) - SESSION_OPEN_S


def _seconds(time: str) -> int:
    parsed = dt.time.fromisoformat(time)
    return parsed.hour * 3600 + parsed.minute * 60


class RiskLimitsFile(Section):
    """The whole of risk_limits.toml."""

    scale_percent: ScaleSection
    order: OrderSection
    stop_loss: StopLossSection
    protection: ProtectionSection
    quote: QuoteSection
    position: PositionSection
    exposure: ExposureSection
    activity: ActivitySection
    loss: LossSection
    circuit_breaker: CircuitBreakerSection
    blackout: tuple[Blackout, ...] = Field(max_length=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSettings:
    """Validated limits: the native ones, and what the service alone needs."""

    limits: RiskLimits
    calendar: Calendar
    warn_at_percent: int

    @property
    def hash(self) -> int:
        """Return the hash that every decision under these limits carries."""
        return self.limits.hash


def load_risk_limits(settings: Settings) -> RiskSettings:
    """Read risk_limits.toml beside system.json, scaled for the environment, the environment's overrides over it.

    Raises: ConfigError with file, key and what was expected.
    """
    path = settings.config_dir / FILE
    return parse_risk_limits(
        _read(path),
        file=path,
        environment=settings.environment,
        overrides=settings.limit_overrides,
    )


def is_short_allowed(config_dir: Path) -> bool:
    """Return whether risk_limits.toml lets anything be sold short, for who needs no other limit.

    Raises: ConfigError when the file cannot be read; what else is wrong with it is `load_risk_limits`' to say.
    """
    order = _read(config_dir / FILE).get("order")
    return isinstance(order, dict) and order.get("is_short_allowed") is True


def parse_risk_limits(
    raw: Mapping[str, Any],
    *,
    file: Path,
    environment: Literal["development", "staging", "production"],
    overrides: Mapping[str, Decimal],
) -> RiskSettings:
    """Make limits of what a file says; amounts become whole native units, rounded down.

    Raises: ConfigError with file, key and what was expected.
    """
    try:
        parsed = RiskLimitsFile.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        expected = EXPECTED.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise ConfigError(file=file, key=key, expected=expected) from None
    scale_percent: int = getattr(parsed.scale_percent, environment)
    bounds = RiskLimits.bounds()
    limits: dict[str, int] = {}
    keys: dict[str, str] = {}
    for key, native, value in _native_values(parsed):
        scaled = value * scale_percent / 100 if native.is_amount else value
        where: Path | str = file
        for variable in (name for name, target in OVERRIDES.items() if target == key and name in overrides):
            scaled, where = overrides[variable], f"environment variable {variable}"
        limits[native.name] = _whole(scaled, native, bounds[native.name], key=key, file=where)
        keys[native.name] = key
    return RiskSettings(
        limits=_to_native(parsed, limits, keys, file),
        calendar=Calendar(load_sessions(), _blackouts(parsed, file), load_margin_rules()),
        warn_at_percent=parsed.circuit_breaker.warn_at_percent,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(), parse_float=Decimal)
    except FileNotFoundError:
        raise ConfigError(file=path, key="", expected="a readable file", found="none") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file=path, key="", expected="a readable file", found=str(error)) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(file=path, key="", expected="TOML", found=str(error)) from None


def _native_values(parsed: RiskLimitsFile) -> Iterator[tuple[str, Native, Decimal]]:
    for section_name in RiskLimitsFile.model_fields:
        section = getattr(parsed, section_name)
        if not isinstance(section, Section):
            continue
        for field_name, field in type(section).model_fields.items():
            for native in (found for found in field.metadata if isinstance(found, Native)):
                yield f"{section_name}.{field_name}", native, getattr(section, field_name)


def limit_keys() -> dict[str, Native]:
    """Return every key that sets a native limit, and how."""
    sections = ((name, field.annotation) for name, field in RiskLimitsFile.model_fields.items())
    return {
        f"{section_name}.{field_name}": native
        for section_name, section in sections
        if isinstance(section, type) and issubclass(section, Section)
        for field_name, field in section.model_fields.items()
        for native in field.metadata
        if isinstance(native, Native)
    }


def _whole(value: Decimal, native: Native, bounds: tuple[int, int], *, key: str, file: Path | str) -> int:
    least, greatest = bounds
    in_bounds = value.is_finite() and 0 < value * native.scale <= greatest
    whole = int(value * native.scale) if in_bounds else 0
    is_cut = native.scale == 1 and whole != value
    if whole < least or is_cut:
        kind = "a whole number" if native.scale == 1 else "a number"
        floor = "above 0" if least == 1 else f"of at least {Decimal(least) / native.scale:f}"
        expected = f"{kind} {floor} and at most {Decimal(greatest) / native.scale:f}"
        raise ConfigError(file=file, key=key, expected=expected, found=str(value))
    return whole


def _to_native(parsed: RiskLimitsFile, limits: dict[str, int], keys: dict[str, str], file: Path) -> RiskLimits:
    try:
        return RiskLimits(
            is_short_allowed=parsed.order.is_short_allowed,
            is_resumed_by_operator=parsed.circuit_breaker.is_resumed_by_operator,
            **limits,
        ).with_waivers([(waiver.strategy, waiver.symbol) for waiver in parsed.protection.waiver])
    except ValueError as error:
        name, _, rest = str(error).partition(" must be ")
        raise ConfigError(file=file, key=keys.get(name, name), expected=f"{rest} (in units of {name})") from None


def _blackouts(parsed: RiskLimitsFile, file: Path) -> list[tuple[int, int]]:
    windows = sorted(blackout.offsets_s() for blackout in parsed.blackout)
    for index, (begin_s, end_s) in enumerate(windows):
        if end_s <= begin_s or (index > 0 and begin_s < windows[index - 1][1]):
            expected = "windows that end after they begin and do not overlap"
            raise ConfigError(file=file, key="blackout", expected=expected)
    opens = [open_ns for open_ns, _ in load_sessions()]
    return [(open_ns + begin_s * E9, open_ns + end_s * E9) for open_ns in opens for begin_s, end_s in windows]
