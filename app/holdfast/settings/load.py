"""Reading the configuration directory, the environment and the credentials into Settings."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast.errors import ConfigError
from holdfast.settings.environment import check_environment
from holdfast.settings.schema import Settings

# The described system's variable names, read as overrides: where each one lands.
ENVIRONMENT_KEYS = {
    "ALPACA_API_URL": ("venue", "trading_url"),
    "DATABASE_URL": ("database_url",),
    "LOG_LEVEL": ("log_level",),
    "API_GATEWAY_PORT": ("services", "api_gateway", "port"),
    "ZMQ_MARKET_DATA_PORT": ("services", "relay", "ports", "market_data"),
    "ZMQ_SIGNAL_PORT": ("services", "relay", "ports", "signals"),
}
LIMIT_KEYS = ("MAX_POSITION_SIZE", "MAX_DAILY_LOSS", "MAX_OPEN_POSITIONS")
CREDENTIALS = ("alpaca_api_key", "alpaca_api_secret", "watchdog_api_key", "watchdog_api_secret", "database_url")
# Only what several services must agree on enters the hash that each journal's header carries.
EXPECTED = {"missing": "a value (the key is missing)", "extra_forbidden": "no such key (unknown keys are refused)"}
HASHED_KEYS = ("environment", "trading_mode", "symbols", "venue", "clock", "strategies")


def load_settings(config_dir: Path, *, environment: Mapping[str, str] | None = None, env: str = "") -> Settings:
    """Read DIR/system.json, then DIR/system.ENV.json over it, then the environment and the credentials.

    Raises: ConfigError with file, key and what was expected.
    """
    environment = os.environ if environment is None else environment
    base_file = config_dir / "system.json"
    raw = _read_object(base_file)
    chosen = env or environment.get("TRADING_ENVIRONMENT", "") or raw.get("environment", "development")
    file = base_file
    if chosen != "development":
        file = config_dir / f"system.{chosen}.json"
        _merge(raw, _read_object(file))
    hashed = json.dumps({key: raw.get(key) for key in HASHED_KEYS}, sort_keys=True).encode()
    limits_file = config_dir / "risk_limits.toml"
    limits = limits_file.read_bytes() if limits_file.exists() else b""
    _apply_environment(raw, environment)
    raw["config_dir"] = str(config_dir)
    raw["config_hash"] = int.from_bytes(hashlib.sha256(hashed + limits).digest()[:8], "little") >> 1
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        expected = EXPECTED.get(first["type"], first["msg"])
        raise ConfigError(file=file, key=key, expected=expected) from None
    if settings.environment != chosen:
        expected = f"{chosen}, the environment that was asked for"
        raise ConfigError(file=file, key="environment", expected=expected, found=settings.environment)
    check_environment(environment, settings)
    _check_mode(settings, file)
    return settings


def _read_object(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: _unique_keys(file, pairs))
    except FileNotFoundError:
        raise ConfigError(file=file, key="", expected="a readable file", found="none") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file=file, key="", expected="a readable file", found=str(error)) from None
    except json.JSONDecodeError as error:
        raise ConfigError(file=file, key=f"line {error.lineno}", expected="JSON", found=error.msg) from None
    except (ValueError, RecursionError):
        raise ConfigError(file=file, key="", expected="JSON of sane depth and numbers") from None
    if not isinstance(raw, dict):
        raise ConfigError(file=file, key="", expected="a JSON object", found=type(raw).__name__)
    return raw


def _unique_keys(file: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigError(file=file, key=twice, expected="each key once", found="the key twice")
    return found


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _apply_environment(raw: dict[str, Any], environment: Mapping[str, str]) -> None:
    for variable, path in ENVIRONMENT_KEYS.items():
        if environment.get(variable):
            section = raw
            for part in path[:-1]:
                section = section.setdefault(part, {})
                if not isinstance(section, dict):
                    return  # The validation that follows names the key.
            section[path[-1]] = environment[variable]
    overrides = {key: environment[key] for key in LIMIT_KEYS if environment.get(key)}
    if overrides:
        raw["limit_overrides"] = overrides
    directory = environment.get("CREDENTIALS_DIRECTORY")
    for name in CREDENTIALS:
        file = Path(directory) / name if directory else None
        if file is not None and file.exists():
            raw[name] = file.read_text().strip()
        elif environment.get(name.upper()):
            raw[name] = environment[name.upper()]


def _check_mode(settings: Settings, file: Path) -> None:
    """Refuse a live venue unless mode, environment and URL all say so."""
    is_live_url = "api.alpaca.markets" in settings.venue.trading_url and "paper-" not in settings.venue.trading_url
    if settings.trading_mode == "live" and (settings.environment != "production" or not is_live_url):
        expected = "live only with environment production and the live trading_url"
        raise ConfigError(file=file, key="trading_mode", expected=expected)
    if settings.trading_mode == "paper" and is_live_url:
        raise ConfigError(file=file, key="venue.trading_url", expected="a paper URL while trading_mode is paper")
    if settings.clock.session_time == "venue" and settings.environment == "production":
        raise ConfigError(file=file, key="clock.session_time", expected="host in production")
