"""A running gateway with a token for each role."""

import datetime as dt
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.gateway.tokens import Role, TokenFile, tokens_file
from holdfast.settings import Settings
from running_gateway import Gateway, RunningGateway
from trading_day import Day, make_settings


@pytest.fixture
def gateway_settings(tmp_path: Path) -> Settings:
    """Settings of a gateway on a free port."""
    return make_settings(tmp_path / "state", services={"api_gateway": {"port": 0}})


@pytest.fixture
def gateway(gateway_settings: Settings) -> Iterator[Gateway]:
    """A running gateway; `day` writes the journals of the other services."""
    day = Day(gateway_settings, "market_data", "signals", "orders", "executions")
    file = TokenFile(tokens_file(gateway_settings))
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    tokens = {role.name.lower(): file.create(role.name.lower(), role, now) for role in Role}
    running = RunningGateway(gateway_settings)
    port = running.start()
    tls = ssl.create_default_context(cafile=str(gateway_settings.state_dir / "keys" / "gateway.crt"))
    yield Gateway(gateway_settings, day, port, tokens, tls)
    running.stop()
    day.close()
