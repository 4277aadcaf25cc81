"""The host of one run: the demo's processes, a crash point of one of them armed, signals from outside."""

import asyncio
import contextlib
import math
import os
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from holdfast import clock, crash_points
from holdfast.campaign import strategy
from holdfast.campaign.plan import Plan
from holdfast.campaign.template import Template
from holdfast.demo.configuration import DemoOptions, VenueAddress, free_port, write_configuration
from holdfast.demo.host import DemoHost
from holdfast.demo.rest import eventually
from holdfast.invariants import Closure
from holdfast.settings import load_settings
from holdfast.settings.schema import SERVICES
from holdfast.store.embedded import EmbeddedPostgres

SYMBOLS = ("AAPL", "BAC", "IBM", "MSFT", "QQQ", "SPY")
# A quarter of an hour into a session: what the venue makes up before it is little, the first blackout is over.
SESSION_START = "2026-03-10T13:45:05Z"
# Of a host that other work keeps busy.
START_TIMEOUT_S = 120.0
# The relay has no part between a market event and a stored fill.
STARTED = tuple(name for name in SERVICES if name != "relay")
# Without their heartbeat no entry leaves.
NEEDED = ("market-data", "risk-manager")
SILENCE_NS_MAX = 1_000_000_000
CREATE = sql.SQL("CREATE DATABASE {}")
DROP = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
# Loose enough that a wild market trips no breaker: it would stay tripped, rightly, when everything is healed.
LIMITS = {
    "daily_max_usd": 100_000,
    "weekly_max_usd": 200_000,
    "monthly_max_usd": 500_000,
    "drawdown_max_percent": 50,
    "open_max": 20,
    "open_orders_max": 200,
    "consecutive_losses_max": 1000,
    "trades_per_day_max": 100_000,
    "order_rate_per_s_max": 20,
    "order_burst_max": 40,
    "repeat_entries_max": 1000,
    "repeat_identical_max": 100,
    "repeat_liquidations_max": 100,
    "daily_max_percent": 10,
    "daily_kill_percent": 20,
    "rejects_in_a_row_max": 100,
    "reject_rate_max_percent": 90,
    "reject_sample_min": 100,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all runs of a campaign use."""

    postgres: EmbeddedPostgres
    template: Template
    tls_dir: Path


@dataclass(frozen=True, slots=True)
class Frozen:
    """A process that was stopped."""

    pid: int
    since_ns: int


class RunHost(DemoHost):
    """Owns the processes of one run; the database server is the campaign's."""

    def __init__(self, state_dir: Path, plan: Plan, shared: Shared) -> None:
        options = DemoOptions(state_dir=state_dir, duration_s=plan.duration_s, session=None, speed="1", seed=plan.seed)
        super().__init__(options, postgres=shared.postgres, launch=shared.template.spawn)
        self.plan = plan
        self.marker = state_dir / "crash_point"
        self._tls_dir = shared.tls_dir
        self._database = f"run_{plan.seed}"
        self.dsn = shared.postgres.dsn(self._database)
        self.is_started = False
        self.closures: list[Closure] = []
        self._frozen: dict[str, Frozen] = {}
        self._disturbing: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the venue and the services at once, and wait until all are ready.

        Raises: OperatingError naming what did not start and the end of its log.
        """
        for directory in (self.log_dir, self.ledger_file.parent):
            directory.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self._create_database)
        port = free_port()
        ca_file = self._tls_dir / "ca.pem"
        self.venue = VenueAddress(url=f"https://127.0.0.1:{port}", ca_file=str(ca_file), symbols=SYMBOLS)
        self.tls = ssl.create_default_context(cafile=ca_file)
        kind: dict[str, object] = {
            "name": "restless",
            "path": f"{strategy.__file__}:Restless",
            "symbols": list(SYMBOLS),
        }
        strategies = [{**kind, "parameters": {"seed": self.plan.seed}}]
        write_configuration(
            self.config_dir, self.options, self.venue, cores=1, strategies=strategies, limits_changed=LIMITS
        )
        self.settings = load_settings(self.config_dir, environment={})
        venue = asyncio.create_task(self.start_venue(self._venue_arguments(port), SYMBOLS, START_TIMEOUT_S))
        for name in STARTED:
            self.start_service(name, self._armed() if name == self.plan.service else None)
        self._disturbing.append(asyncio.create_task(self._continue_stopped(self.plan.service, self.plan.stop_s)))
        await venue
        await self.supervisor.wait_ready(list(STARTED), START_TIMEOUT_S)
        self.is_started = True

    async def stop(self) -> None:
        """End every process and forget the database."""
        for task in self._disturbing:
            task.cancel()
        await asyncio.gather(*self._disturbing, return_exceptions=True)
        self.continue_all()
        await self.supervisor.stop_all(except_for="venue")
        await self.supervisor.stop_all()
        await asyncio.to_thread(self._drop_database)

    def disturb(self) -> None:
        """Begin the signals from outside."""
        for strike in self.plan.strikes:
            self._disturbing.append(asyncio.create_task(self._strike(strike.service, strike.at_s)))

    def continue_all(self) -> None:
        """Let every stopped process go on."""
        for service in self.supervisor.units:
            self._continue(service)

    def _armed(self) -> dict[str, str]:
        side, _, step = self.plan.point.partition(":")
        number = signal.SIGSTOP if self.plan.is_stop else signal.SIGKILL
        point = crash_points.CrashPoint(side, step, self.plan.skip, number, self.marker)
        return {crash_points.VARIABLE: str(point)}

    def _venue_arguments(self, port: int) -> list[str]:
        return [
            "--session", f"synthetic:{self.plan.seed}",
            "--seed", str(self.plan.seed),
            "--start", SESSION_START,
            "--quotes-per-s", "6",
            "--symbols", ",".join(SYMBOLS),
            "--latency-ms-max", "20",
            "--partial-fills", "0.3",
            "--rate-limit", "2000",
            "--ledger", str(self.ledger_file),
            "--tls-dir", str(self._tls_dir),
            "--port", str(port),
        ]  # fmt: skip

    async def _strike(self, service: str, at_s: float) -> None:
        await asyncio.sleep(at_s)
        strike = next(each for each in self.plan.strikes if each.service == service)
        pid = self.supervisor.units[service].pid
        _send(pid, signal.SIGSTOP if strike.is_stop else signal.SIGKILL)
        if strike.is_stop:
            await self._continue_later(service, pid, strike.stop_s)

    async def _continue_stopped(self, service: str, stop_s: float) -> None:
        """Let the service go on that its crash point stopped, some time after it."""
        await eventually(self.marker.exists, math.inf)
        if self.plan.is_stop:
            await self._continue_later(service, self.supervisor.units[service].pid, stop_s)

    async def _continue_later(self, service: str, pid: int, stop_s: float) -> None:
        self._frozen[service] = Frozen(pid, clock.now_ns())
        await asyncio.sleep(stop_s)
        self._continue(service)

    def _continue(self, service: str) -> None:
        """Let a service go on; while one that entries need was silent for too long, none may have left."""
        frozen = self._frozen.pop(service, None)
        if frozen is not None and service in NEEDED and _is_stopped(frozen.pid):
            closure = Closure(frozen.since_ns + SILENCE_NS_MAX, clock.now_ns(), f"{service} was silent for a second")
            self.closures.append(closure)
        _send(self.supervisor.units[service].pid, signal.SIGCONT)

    def _create_database(self) -> None:
        self._execute(CREATE)

    def _drop_database(self) -> None:
        self._execute(DROP)

    def _execute(self, statement: sql.SQL) -> None:
        with psycopg.connect(self.postgres.dsn("postgres"), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.format(sql.Identifier(self._database)))


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
