"""systemd/ agrees with the product: one unit a service, hardened, with time to stop."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from holdfast.execution import ending
from holdfast.service import STOP_TIMEOUT_S, WATCHDOG_INTERVAL_S
from holdfast.services.execution_engine import STOP_CANCELS_S, STOP_CLOCK_S
from holdfast.settings.load import CREDENTIALS
from holdfast.settings.schema import SERVICES
from repository.monitoring import alerts
from repository.tree import ROOT

SYSTEMD = ROOT / "systemd"
HARDENING = SYSTEMD / "trading-.service.d/10-hardening.conf"
UNITS = {path.stem.removeprefix("trading-"): path for path in sorted(SYSTEMD.glob("trading-*.service"))}
OFFLINE = {"archive", "backup", "base-backup", "restore-drill"}
RUNNING = sorted(set(UNITS) - OFFLINE)
OWN_CREDENTIALS = {"gateway_tls_cert", "gateway_tls_key"}
DEAF = {"StandardOutput", "Environment"}


def directives(*files: Path) -> list[tuple[str, str]]:
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [(key, value) for key, is_set, value in (line.partition("=") for line in lines) if is_set and key[0] != "#"]


def directive(unit: str, key: str) -> str:
    """Return what holds for a unit in the end: drop-ins are read after it, in the order of their names."""
    relaxed = SYSTEMD / f"trading-{unit}.service.d/20-relaxed.conf"
    files = [UNITS[unit], HARDENING, *([relaxed] if relaxed.exists() else [])]
    return [value for name, value in directives(*files) if name == key][-1]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_every_service_has_a_unit_that_runs_it() -> None:
    assert set(RUNNING) == set(SERVICES)
    for unit in RUNNING:
        expected = f"/opt/holdfast/current/bin/holdfast run {unit} --config /etc/holdfast"
        assert directive(unit, "ExecStart") == expected
        assert directive(unit, "Type") == "notify"


def test_programs_of_units_can_be_run_as_they_are_released() -> None:
    assert [file.name for file in (SYSTEMD / "lib").iterdir() if not os.access(file, os.X_OK)] == []


def test_target_wants_every_unit() -> None:
    wanted = {name for key, value in directives(SYSTEMD / "trading.target") if key == "Wants" for name in value.split()}
    assert wanted == {f"trading-{unit}.service" for unit in RUNNING} | {f"trading-{unit}.timer" for unit in OFFLINE}
    assert all(directive(unit, "WantedBy") == directive(unit, "PartOf") == "trading.target" for unit in RUNNING)


@pytest.mark.parametrize("unit", UNITS)
def test_unit_is_hardened(unit: str) -> None:
    threshold = 6 if unit in OFFLINE else 15
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={threshold}",
        "--no-pager",
        str(UNITS[unit]),
    ]
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{SYSTEMD}:"}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Overall exposure level" in told.stdout


def test_units_are_valid_to_systemd(tmp_path: Path) -> None:
    """With programs that exist here in the place of those on a host."""
    for file in SYSTEMD.rglob("*"):
        copy = tmp_path / file.relative_to(SYSTEMD)
        if file.is_dir():
            copy.mkdir()
        else:
            copy.write_text(re.sub(r"^ExecStart=/\S+", "ExecStart=/bin/true", file.read_text(), flags=re.MULTILINE))
    names = [str(path) for path in sorted(tmp_path.iterdir()) if path.is_file()]
    command = ["systemd-analyze", "verify", "--man=no", *names]
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert told.returncode == 0, told.stderr
    assert [line for line in told.stderr.splitlines() if "trading" in line] == []


@pytest.mark.parametrize("unit", UNITS)
def test_unit_says_nothing_that_the_hardening_overrides(unit: str) -> None:
    """A drop-in is read after the unit: what the unit says of the same key would silently be lost."""
    common = {key for key, _ in directives(HARDENING)} - {"Wants", "After"}
    assert {key for key, _ in directives(UNITS[unit])} & common == set()


@pytest.mark.parametrize(
    "file", sorted(SYSTEMD.glob("trading-*.service.d/20-*.conf")), ids=lambda file: file.parent.stem
)
def test_every_relaxation_has_its_reason(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert lines[0] == "[Service]"
    assert lines[1].startswith("# "), "a reason stands above what it is the reason of"
    assert len([line for line in lines if line.startswith("# ")]) * 4 >= len(lines) - 1


@pytest.mark.parametrize("unit", UNITS)
def test_secrets_reach_a_unit_as_credentials_only(unit: str) -> None:
    found = [value.partition(":") for key, value in directives(UNITS[unit]) if key == "LoadCredential"]
    for name, _, path in found:
        assert name in {*CREDENTIALS, *OWN_CREDENTIALS}
        # Each service comes to the database as a role of its own.
        expected = f"{unit.replace('-', '_')}_{name}" if name == "database_url" else name
        assert path == f"/etc/holdfast/credentials/{expected}"
    assert not {key for key, _ in directives(UNITS[unit])} & DEAF


def test_only_what_speaks_to_the_venue_has_its_keys() -> None:
    holders = {unit for unit, path in UNITS.items() if "alpaca_api_key" in path.read_text()}
    assert holders == {"market-data", "execution-engine"}
    users = {unit: directive(unit, "User") for unit in UNITS}
    assert len({users[unit] for unit in ("relay", "api-gateway", "watchdog", "execution-engine")}) == 4


def test_stopping_leaves_time_to_cancel_entry_orders_and_to_protect_what_they_filled() -> None:
    assert STOP_CLOCK_S + STOP_CANCELS_S + ending.WITHIN_S < STOP_TIMEOUT_S
    for unit in RUNNING:
        assert seconds(directive(unit, "TimeoutStopSec")) > 2 * STOP_TIMEOUT_S
        assert seconds(directive(unit, "WatchdogSec")) >= 5 * WATCHDOG_INTERVAL_S


def test_memory_alert_knows_the_limit_of_the_units() -> None:
    (rule,) = (rule for rule in alerts() if rule["alert"] == "ServiceMemoryHigh")
    assert {directive(unit, "MemoryMax") for unit in RUNNING} == {"512M"}
    assert rule["expr"].strip().endswith("0.8 * 512 * 1024 * 1024")
