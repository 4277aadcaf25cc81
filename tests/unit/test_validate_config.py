import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.cli.validate_config import validate
from holdfast.errors import EXIT_CONFIG, ConfigError
from holdfast.settings import load_settings

SHIPPED = Path(__file__).resolve().parents[2] / "config"
KEYS = {"ALPACA_API_KEY": "key-that-is-secret", "ALPACA_API_SECRET": "word-that-is-secret"}
WATCHDOG = {"WATCHDOG_API_KEY": "key-of-the-watchdog", "WATCHDOG_API_SECRET": "word-of-the-watchdog"}
DATABASE = {"DATABASE_URL": "postgresql://holdfast:password-that-is-secret@127.0.0.1:1/holdfast"}


def copy_with(directory: Path, **changes: object) -> Path:
    """Make a configuration directory like the shipped one, some keys of system.json changed."""
    for file in SHIPPED.glob("*.*"):
        (directory / file.name).write_bytes(file.read_bytes())
    system = json.loads((directory / "system.json").read_text())
    (directory / "system.json").write_text(json.dumps(system | changes))
    return directory


@pytest.mark.parametrize("env", ["development", "staging", "production"])
def test_shipped_configuration_is_valid(env: str) -> None:
    checks = validate(SHIPPED, KEYS | WATCHDOG | DATABASE, env=env, is_offline=True)
    assert [check for check in checks if check.is_ok is False] == []
    assert [check.name for check in checks if check.is_ok is None] == ["All services are reachable"]


@pytest.mark.parametrize("missing", [*KEYS, *WATCHDOG, *DATABASE])
def test_missing_credential_is_named(missing: str) -> None:
    environment = {name: value for name, value in (KEYS | WATCHDOG | DATABASE).items() if name != missing}
    failed = [c for c in validate(SHIPPED, environment, env="production", is_offline=True) if c.is_ok is False]
    assert [check.name for check in failed] == ["API credentials are configured"]
    assert missing in failed[0].detail


def test_credential_that_others_can_read_is_refused(tmp_path: Path) -> None:
    for name in ("alpaca_api_key", "alpaca_api_secret"):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(0o600)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert all(check.is_ok is not False for check in validate(SHIPPED, environment, env="", is_offline=True))
    (tmp_path / "alpaca_api_key").chmod(0o604)
    failed = [check for check in validate(SHIPPED, environment, env="", is_offline=True) if check.is_ok is False]
    assert "chmod 600" in failed[0].detail


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    gateway = {"api_gateway": {"tokens_file": str(tmp_path / "absent")}}
    checks = validate(copy_with(tmp_path, services=gateway), KEYS, env="", is_offline=True)
    failed = [check for check in checks if check.is_ok is False]
    assert "services.api_gateway.tokens_file" in failed[0].detail


def test_unreachable_venue_is_named_and_is_no_configuration_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    venue = json.loads((SHIPPED / "system.json").read_text())["venue"]
    venue |= {"trading_url": f"https://127.0.0.1:{port}", "trading_stream_url": f"wss://127.0.0.1:{port}/stream"}
    venue |= {"data_url": f"https://127.0.0.1:{port}", "data_stream_url": f"wss://127.0.0.1:{port}"}
    config = copy_with(tmp_path, venue=venue)
    command = [sys.executable, "-m", "holdfast", "validate-config", "--config", str(config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | KEYS | DATABASE)
    answer = json.loads(done.stdout)
    details = [check["detail"] for check in answer["checks"] if check["is_ok"] is False]
    assert done.returncode == 1
    assert any(detail.startswith(f"127.0.0.1:{port}: ") for detail in details)
    assert any("PostgreSQL cannot be reached" in detail for detail in details)
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e30", '"5"', "true"])
def test_risk_limit_without_bounds_is_refused(tmp_path: Path, value: str) -> None:
    config = copy_with(tmp_path)
    file = config / "risk_limits.toml"
    file.write_text(file.read_text().replace("notional_max_usd = 10000\n", f"notional_max_usd = {value}\n", 1))
    failed = [check for check in validate(config, KEYS, env="", is_offline=True) if check.is_ok is False]
    assert [check.name for check in failed] == ["risk_limits.toml is valid"]
    assert "order.notional_max_usd" in failed[0].detail


def test_risk_limit_by_variable_is_checked_too() -> None:
    failed = [
        c for c in validate(SHIPPED, KEYS | {"MAX_DAILY_LOSS": "-5"}, env="", is_offline=True) if c.is_ok is False
    ]
    assert [check.name for check in failed] == ["Environment variables are valid"]
    assert "MAX_DAILY_LOSS" in failed[0].detail


def test_unknown_key_exits_78_with_file_and_key(tmp_path: Path) -> None:
    config = copy_with(tmp_path, symbolz=["IBM"])
    command = [sys.executable, "-m", "holdfast", "validate-config", "--config", str(config), "--offline"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | KEYS)
    assert done.returncode == EXIT_CONFIG
    assert "system.json: symbolz: expected no such key" in done.stdout


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"TRADING_MODE": "live"}, "TRADING_MODE"),
        ({"PAPER_TRADING": "false"}, "PAPER_TRADING"),
        ({"PAPER_TRADING": "maybe"}, "PAPER_TRADING"),
        ({"CIRCUIT_BREAKER_ENABLED": "false"}, "CIRCUIT_BREAKER_ENABLED"),
        ({"ENABLE_TLS": "0"}, "ENABLE_TLS"),
        ({"ENABLE_ZMQ_ENCRYPTION": "off"}, "ENABLE_ZMQ_ENCRYPTION"),
        ({"TLS_MIN_VERSION": "1.0"}, "TLS_MIN_VERSION"),
    ],
)
def test_variable_that_contradicts_or_weakens_is_refused(variables: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(SHIPPED, environment=variables)
    assert raised.value.key == key


def test_variables_of_the_described_system_are_accepted_when_they_agree() -> None:
    agreeing = {
        "TRADING_MODE": "paper",
        "PAPER_TRADING": "true",
        "CIRCUIT_BREAKER_ENABLED": "true",
        "TLS_MIN_VERSION": "1.3",
    }
    assert load_settings(SHIPPED, environment=agreeing).trading_mode == "paper"


def test_live_trading_needs_production_and_the_live_url(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trading_mode"):
        load_settings(copy_with(tmp_path, trading_mode="live"), environment={})


def test_key_given_twice_is_refused(tmp_path: Path) -> None:
    config = copy_with(tmp_path)
    file = config / "system.json"
    file.write_text(file.read_text().replace("{", '{"log_level": "info", ', 1))
    with pytest.raises(ConfigError, match="log_level: expected each key once"):
        load_settings(config, environment={})


def test_file_of_another_environment_is_refused(tmp_path: Path) -> None:
    config = copy_with(tmp_path)
    (config / "system.staging.json").write_text((config / "system.production.json").read_text())
    with pytest.raises(ConfigError, match="expected staging"):
        load_settings(config, env="staging", environment={})
