"""The configuration of a demo host: written like an operator's, read by the ordinary loader."""

import contextlib
import json
import random
import re
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.settings.defaults import default_config_dir
from holdfast.settings.schema import SERVICES

SYMBOLS = ("AAPL", "AMD", "BAC", "IBM", "MSFT", "BTC/USD")
TRADING_CORES_MIN = 2
# Below those that the kernel gives to outgoing connections.
PORTS = range(10_000, 32_000)
_dice = random.SystemRandom()
_given: deque[int] = deque(maxlen=1000)
BRISK = {"entry_imbalance": 0.4, "hold_s": 1.5, "pause_s": 2.0}
# The examples trade all the time and pay the spread at each round trip: what stops such a strategy would end the demo.
DEMO_LIMITS = {
    "consecutive_losses_max": 500,
    "trades_per_day_max": 100_000,
    "repeat_entries_max": 200,
    "repeat_identical_max": 100,
    "repeat_liquidations_max": 50,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the operator asked for. `session` None is the synthetic market."""

    state_dir: Path
    duration_s: float | None
    session: Path | None
    speed: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAddress:
    """Where the simulated venue listens, as its ready line says."""

    url: str
    ca_file: str
    symbols: tuple[str, ...]


def session_symbols(session: Path | None) -> tuple[str, ...]:
    """Return the symbols a demo trades: those of the recorded files, or the synthetic market's.

    Raises: ConfigError when the session directory holds no recorded files.
    """
    if session is None:
        return SYMBOLS
    symbols = sorted({file.name.split("_")[0] for file in session.glob("*_*_*.zip")})
    if not symbols:
        raise ConfigError(file=session, key="", expected="files such as IBM_2013-10-08_quote.zip")
    return tuple(symbols)


def free_port() -> int:
    """Return a TCP port that is free on loopback now, and that no outgoing connection will take meanwhile."""
    while True:
        port = _dice.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in _given:
                probe.bind(("127.0.0.1", port))
                _given.append(port)
                return port


def write_configuration(
    directory: Path,
    options: DemoOptions,
    venue: VenueAddress,
    *,
    cores: int,
    strategies: list[dict[str, object]] | None = None,
    limits_changed: Mapping[str, int] = DEMO_LIMITS,
) -> None:
    """Write system.json, risk_limits.toml beside it; every port is a free one."""
    directory.mkdir(parents=True, exist_ok=True)
    host = venue.url.removeprefix("https://")
    pinned = {"cpus": [1]} if cores >= TRADING_CORES_MIN else {}
    services: dict[str, dict[str, object]] = {
        name.replace("-", "_"): {"metrics_port": free_port(), **pinned} for name in SERVICES
    }
    services["api_gateway"]["port"] = free_port()
    services["relay"]["ports"] = {name: free_port() for name in ("market_data", "signals", "orders", "executions")}
    system = {
        "environment": "development",
        "trading_mode": "paper",
        "state_dir": str(options.state_dir),
        "symbols": list(venue.symbols),
        "venue": {
            "trading_url": venue.url,
            "trading_stream_url": f"wss://{host}/stream",
            "data_url": venue.url,
            "data_stream_url": f"wss://{host}",
            "ca_file": venue.ca_file,
        },
        "clock": {"session_time": "venue"},
        "services": services,
        "strategies": _strategies(venue.symbols) if strategies is None else strategies,
    }
    (directory / "system.json").write_text(json.dumps(system, indent=2))
    limits = (default_config_dir() / "risk_limits.toml").read_text()
    (directory / "risk_limits.toml").write_text(_with_limits(limits, limits_changed))


def _with_limits(limits: str, changes: Mapping[str, int]) -> str:
    for key, value in changes.items():
        limits, count = re.subn(rf"^{key} = \d+$", f"{key} = {value}", limits, flags=re.MULTILINE)
        assert count == 1, key
    return limits


def _strategies(symbols: tuple[str, ...]) -> list[dict[str, object]]:
    equities = [symbol for symbol in symbols if "/" not in symbol]
    return [
        {
            "name": "imbalance",
            "entry_point": "imbalance",
            "symbols": equities[: (len(equities) + 1) // 2],
            "parameters": BRISK,
        },
        {"name": "reversion", "entry_point": "reversion", "symbols": equities[(len(equities) + 1) // 2 :]},
    ]
