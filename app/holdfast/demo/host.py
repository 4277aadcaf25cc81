"""The demo's host: every process from PostgreSQL to the gateway, started in order and brought to rest in order."""

import asyncio
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request

from holdfast import clock, curve
from holdfast.demo.configuration import (
    DemoOptions,
    VenueAddress,
    session_symbols,
    write_configuration,
)
from holdfast.demo.supervisor import RESTARTS_MAX, Launch, Supervisor, Unit, execute, proportional_set_bytes
from holdfast.errors import OperatingError
from holdfast.settings import Settings, load_settings
from holdfast.settings.schema import SERVICES
from holdfast.store.embedded import EmbeddedPostgres

# Of a host that other work keeps busy.
VENUE_START_TIMEOUT_S = 60.0
SERVICES_START_TIMEOUT_S = 120.0
POSTGRES_CHECK_INTERVAL_S = 0.5
KEY_ID = "PKSIMULATED"
SECRET_KEY = "simulated-secret"  # noqa: S105 - the simulated venue's own default


class DemoHost:
    """Owns the processes, from `start` to `stop`."""

    def __init__(
        self, options: DemoOptions, *, postgres: EmbeddedPostgres | None = None, launch: Launch = execute
    ) -> None:
        self.options = options
        self.ledger_file = options.state_dir / "venue" / "ledger.jsonl"
        self.config_dir = options.state_dir / "config"
        self.log_dir = options.state_dir / "logs"
        self.supervisor = Supervisor(options.state_dir / "run", launch)
        self.postgres = postgres or EmbeddedPostgres()
        self.dsn = self.postgres.dsn()
        self.settings: Settings
        self.venue: VenueAddress
        self.services_start_s = 0.0
        self.tls: ssl.SSLContext
        self._postgres_guard: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start everything and wait until every service is ready.

        Raises: OperatingError naming what did not start and the end of its log.
        """
        for directory in (self.log_dir, self.ledger_file.parent):
            directory.mkdir(parents=True, exist_ok=True)
        postgres_start = asyncio.create_task(asyncio.to_thread(self.postgres.start))
        self.venue = await self._start_venue()
        self.tls = ssl.create_default_context(cafile=self.venue.ca_file)
        await postgres_start
        self._postgres_guard = asyncio.create_task(self._guard_postgres())
        write_configuration(self.config_dir, self.options, self.venue, cores=os.cpu_count() or 1)
        self.settings = load_settings(self.config_dir, environment={})
        curve.generate(self.settings.state_dir / "keys", "relay")
        started_ns = clock.monotonic_ns()
        for name in SERVICES:
            self.start_service(name)
        await self.supervisor.wait_ready(list(SERVICES), SERVICES_START_TIMEOUT_S)
        self.services_start_s = (clock.monotonic_ns() - started_ns) / 1e9

    async def stop(self) -> None:
        """End every process."""
        if self._postgres_guard is not None:
            self._postgres_guard.cancel()
            await asyncio.gather(self._postgres_guard, return_exceptions=True)
        # The venue last: to a service its end would be one more gap.
        await self.supervisor.stop_all(except_for="venue")
        await self.supervisor.stop_all()
        await asyncio.to_thread(self.postgres.remove)

    async def venue_status(self) -> dict[str, Any]:
        """Return the venue's own counters; empty when it does not answer."""
        return await asyncio.to_thread(self._get, f"{self.venue.url}/venue/status")

    async def operate(self, path: str, body: str = "") -> dict[str, Any]:
        """Ask the venue as its operator, by POST; empty when it does not answer."""
        request = Request(f"{self.venue.url}/venue/{path}", data=body.encode(), method="POST")  # noqa: S310 - https only
        return await asyncio.to_thread(self._get, request)

    async def pause_market(self) -> dict[str, Any]:
        """Let the venue publish nothing more and return its counters; empty when it does not answer."""
        return await self.operate("pause")

    def memory_bytes(self) -> dict[str, int]:
        """Return the memory of each service, shared pages counted once, and the total."""
        sizes = {name: proportional_set_bytes(self.supervisor.units[name].pid) for name in SERVICES}
        return {**sizes, "total": sum(sizes.values())}

    def start_service(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start one service, with more in its environment."""
        arguments = ["run", name, "--config", str(self.config_dir)]
        variables = {**self.credentials(), **(environment or {})}
        log_file = self.log_dir / f"{name}.log"
        self.supervisor.start(Unit(name=name, arguments=arguments, log_file=log_file, environment=variables))

    def credentials(self) -> dict[str, str]:
        """Return the environment that brings a service its credentials."""
        return {
            "ALPACA_API_KEY": KEY_ID,
            "ALPACA_API_SECRET": SECRET_KEY,
            "WATCHDOG_API_KEY": KEY_ID,
            "WATCHDOG_API_SECRET": SECRET_KEY,
            "DATABASE_URL": self.dsn,
        }

    async def _start_venue(self) -> VenueAddress:
        options = self.options
        symbols = session_symbols(options.session)
        session = str(options.session) if options.session else f"synthetic:{options.seed}"
        arguments = [
            "--session", session,
            "--speed", options.speed,
            "--seed", str(options.seed),
            "--ledger", str(self.ledger_file),
            "--tls-dir", str(self.ledger_file.parent),
            "--symbols", ",".join(symbols),
            "--port", "0",
        ]  # fmt: skip
        return await self.start_venue(arguments, symbols)

    async def start_venue(
        self,
        arguments: list[str],
        symbols: tuple[str, ...],
        timeout_s: float = VENUE_START_TIMEOUT_S,
        environment: Mapping[str, str] | None = None,
    ) -> VenueAddress:
        """Start the venue and wait until it answers.

        Raises: OperatingError.
        """
        log_file = self.log_dir / "venue.log"
        words = ["venue", "--json", *arguments]
        self.supervisor.start(
            Unit(name="venue", arguments=words, log_file=log_file, environment=environment or {}, is_restarted=False)
        )
        deadline_s = clock.monotonic_s() + timeout_s
        while clock.monotonic_s() < deadline_s:
            ready = _ready_line(log_file)
            if ready is not None:
                return VenueAddress(url=ready["url"], ca_file=ready["ca_file"], symbols=symbols)
            if self.supervisor.units["venue"].failure:
                break
            await asyncio.sleep(0.02)
        raise OperatingError(f"the simulated venue did not start, see {log_file}")

    async def _guard_postgres(self) -> None:
        """Restart PostgreSQL when it died, as the host's service manager would; why that failed is in its log."""
        failures = 0
        while failures < RESTARTS_MAX:
            await asyncio.sleep(POSTGRES_CHECK_INTERVAL_S)
            if not self.postgres.is_running:
                # Processes that outlive their server for a moment are in the way of the next one: it is tried again.
                try:
                    await asyncio.to_thread(self.postgres.start)
                except OperatingError as error:
                    failures += 1
                    with (self.log_dir / "postgresql.log").open("a") as log:
                        log.write(f"{error}\n")

    def _get(self, url: str | Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(url, timeout=5, context=self.tls) as answer:  # noqa: S310 - https only
                body: dict[str, Any] = json.load(answer)
                return body
        except (urllib.error.URLError, OSError, ValueError):
            return {}


def _ready_line(log_file: Path) -> dict[str, Any] | None:
    if not log_file.exists():
        return None
    for line in log_file.read_text(errors="replace").splitlines():
        if line.startswith("{") and '"url"' in line:
            ready: dict[str, Any] = json.loads(line)
            return ready
    return None
