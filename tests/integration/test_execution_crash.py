"""The execution-engine as a process of its own, killed at the worst moment."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from execution_desk import E9, desk_of, write_configuration
from holdfast.settings import Settings, load_settings
from patience import PATIENCE_S
from scripted_venue import ScriptedVenue

ENVIRONMENT = {"ALPACA_API_KEY": "key", "ALPACA_API_SECRET": "the secret", "PATH": os.environ["PATH"]}
# Crypto has no session: the scripted venue is open whatever day it is, the calendar is not.
CRYPTO = "BTC/USD"


def configured(tmp_path: Path, venue: ScriptedVenue) -> Settings:
    raw = {
        "state_dir": str(tmp_path / "state"),
        "symbols": ["IBM"],
        "venue": {
            "trading_url": venue.url,
            "trading_stream_url": venue.stream_url,
            "data_url": venue.url,
            "data_stream_url": "wss://127.0.0.1",
            "ca_file": str(tmp_path / "cert.pem"),
            "requests_per_minute": 10_000,
        },
        "journal": {"segment_mib": 1},
        "services": {
            "execution_engine": {"metrics_port": 0, "in_flight_interval_s": 0.3, "open_orders_interval_s": 0.5}
        },
    }
    write_configuration(tmp_path, raw)
    return load_settings(tmp_path, environment=ENVIRONMENT)


@asynccontextmanager
async def process(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service until the block ends; yields once it said that it is ready."""
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "holdfast", "run", "execution-engine", "--config", str(tmp_path),
        env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert service.stdout is not None
    lines = b""
    try:
        async with asyncio.timeout(3 * PATIENCE_S):
            while b"service_ready" not in lines:
                line = await service.stdout.readline()
                assert line, lines.decode()
                lines += line
        assert b"the secret" not in lines
        yield service
    finally:
        if service.returncode is None:
            service.terminate()
        rest = await asyncio.wait_for(service.stdout.read(), PATIENCE_S)
        await service.wait()
        assert b"the secret" not in rest


@pytest.mark.parametrize("fault", ["hang", "vanish"])
async def test_a_kill_between_submitting_and_the_answer_makes_no_second_order(
    tmp_path: Path, scripted_venue: ScriptedVenue, fault: str
) -> None:
    settings = configured(tmp_path, scripted_venue)
    async with desk_of(settings) as desk:
        async with process(tmp_path) as service:
            scripted_venue.is_mute = True
            scripted_venue.faults.append(fault)
            order_id = desk.decide(symbol=CRYPTO)
            await desk.until(scripted_venue.posts)
            os.kill(service.pid, signal.SIGKILL)
            await service.wait()
        assert desk.kinds(order_id)[0] == "submitting"
        scripted_venue.is_mute = False
        async with process(tmp_path) as service:
            if fault == "hang":
                await desk.until(lambda: desk.status(order_id) == "new")
                await scripted_venue.fill(scripted_venue.by_client_id(order_id)[0], 10, "99")
                await desk.until(lambda: [fill.quantity_e9 for fill in desk.fills()] == [10 * E9])
            fresh = desk.decide(symbol=CRYPTO)
            await desk.until(lambda: "accepted" in desk.kinds(fresh))
            if fault == "vanish":
                # Absence takes longer to prove than a test lasts: until then it counts as open, and is not sent again.
                assert desk.status(order_id) in {"submitting", "unknown"}
        assert service.returncode == 0
    assert len(scripted_venue.posts()) == 2
    assert len(scripted_venue.by_client_id(order_id)) == (fault == "hang")
