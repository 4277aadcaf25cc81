"""A simulated venue in a process of its own, over TLS, as anybody would start it."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.venues.simulated import Ledger, SimulatedVenue, SimulatedVenueSettings
from patience import PATIENCE_S

KEY_ID = "PKSIMULATED"
SECRET_KEY = "simulated-secret"


@dataclass(frozen=True, slots=True)
class RunningVenue:
    """A venue that answers, and the ledger it writes."""

    url: str
    ca_file: Path
    ledger_file: Path
    process: subprocess.Popen[str]
    key_id: str = KEY_ID
    secret_key: str = SECRET_KEY

    @property
    def stream_url(self) -> str:
        return self.url.replace("https://", "wss://")

    def ledger(self) -> Ledger:
        return Ledger.read(self.ledger_file)


StartVenue = Callable[..., RunningVenue]
OpenVenue = Callable[..., AbstractAsyncContextManager[SimulatedVenue]]


@pytest.fixture
def open_venue(tmp_path: Path) -> OpenVenue:
    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[SimulatedVenue]:  # noqa: ANN401 - any setting
        options = {"session": "synthetic:3", "quotes_per_s": 2.0, "rate_limit": 100_000, **options}
        venue = SimulatedVenue(
            SimulatedVenueSettings(ledger=tmp_path / "ledger.jsonl", tls_dir=tmp_path / "tls", **options)
        )
        await venue.start()
        try:
            yield venue
        finally:
            await venue.stop()

    return run


@pytest.fixture
def start_venue(tmp_path: Path) -> Iterator[StartVenue]:
    """Start venues with the options given, `speed="10"` being `--speed 10`; each is stopped after the test."""
    running: list[RunningVenue] = []

    def start(**options: object) -> RunningVenue:
        number = len(running)
        ledger_file = tmp_path / f"ledger-{number}.jsonl"
        # Few quotes a second: what was published before the start is made at the start.
        chosen = {"session": "synthetic:7", "seed": 7, "rate_limit": 100_000, "quotes_per_s": 5, **options}
        arguments = [text for name, value in chosen.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        command = [sys.executable, "-m", "holdfast", "venue", "--json", "--ledger", str(ledger_file)]
        process = subprocess.Popen(
            [*command, "--tls-dir", str(tmp_path / "venue-tls"), *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the venue ended with {process.wait()}"
        ready = json.loads(line)
        venue = RunningVenue(ready["url"], Path(ready["ca_file"]), ledger_file, process)
        running.append(venue)
        return venue

    yield start
    for venue in running:
        venue.process.terminate()
        venue.process.wait(timeout=PATIENCE_S)
        assert venue.process.stdout is not None
        venue.process.stdout.close()


@pytest.fixture
def venue(start_venue: StartVenue) -> RunningVenue:
    """A synthetic market at ten times its speed."""
    return start_venue(speed=10)


@pytest.fixture
def trust_venue(venue: RunningVenue, monkeypatch: pytest.MonkeyPatch) -> RunningVenue:
    """The venue, trusted by every client of this process."""
    monkeypatch.setitem(os.environ, "REQUESTS_CA_BUNDLE", str(venue.ca_file))
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(venue.ca_file))
    return venue
