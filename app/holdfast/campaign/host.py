"""The host of one run: the demo's processes, a crash point of one of them armed, signals from outside."""

import asyncio
import contextlib
import math
import os
import random
import signal
import ssl
import string
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from holdfast import clock, crash_points
from holdfast.campaign import strategy
from holdfast.campaign.mutation import write_mutation
from holdfast.campaign.operators import Operators
from holdfast.campaign.outages import CONNECT_TIMEOUT_S, Outage, suffer
from holdfast.campaign.plan import Plan
from holdfast.campaign.template import Template
from holdfast.demo.configuration import DemoOptions, VenueAddress, free_port, write_configuration
from holdfast.demo.host import DemoHost
from holdfast.demo.rest import eventually
from holdfast.demo.supervisor import Unit
from holdfast.invariants import BadStart, Closure
from holdfast.invariants.secrets import files_with, texts_of_process, texts_with
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
DUMP = sql.SQL("COPY {} TO STDOUT")
LETTERS = string.ascii_letters + string.digits
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
    """Owns the processes of one run; the database server is the campaign's, unless the run's outage kills it."""

    def __init__(self, state_dir: Path, plan: Plan, shared: Shared) -> None:
        options = DemoOptions(state_dir=state_dir, duration_s=plan.duration_s, session=None, speed="1", seed=plan.seed)
        self._has_own_server = plan.outage is not None and plan.outage.kind == "database.killed"
        postgres = EmbeddedPostgres(is_durable=False) if self._has_own_server else shared.postgres
        super().__init__(options, postgres=postgres, launch=shared.template.spawn)
        self.plan = plan
        self.marker = state_dir / "crash_point"
        self._tls_dir = shared.tls_dir
        self._database = f"run_{plan.seed}"
        self.dsn = postgres.dsn(self._database)
        self.credentials_dir = state_dir / "credentials"
        dice = random.Random(f"secrets {plan.seed}")  # noqa: S311 - of a simulated venue
        self.key_id, self.secret_key = ("".join(dice.choices(LETTERS, k=length)) for length in (20, 40))
        self.is_started = False
        self.is_point_hit = False
        self.closures: list[Closure] = []
        self._frozen: dict[str, Frozen] = {}
        self._continuing: list[asyncio.Task[None]] = []
        self._striking: list[asyncio.Task[None]] = []
        self._suffering: asyncio.Task[None] | None = None
        self._healed = asyncio.Event()
        self.faults: Counter[str] = Counter()
        self.operators: Operators

    def credentials(self) -> dict[str, str]:
        """Return where the services find the run's own secrets: they are searched for everywhere else."""
        return {"CREDENTIALS_DIRECTORY": str(self.credentials_dir)}

    async def start(self) -> None:
        """Start the venue and the services at once, and wait until all are ready.

        Raises: OperatingError naming what did not start and the end of its log.
        """
        for directory in (self.log_dir, self.ledger_file.parent):
            directory.mkdir(parents=True, exist_ok=True)
        self._write_credentials()
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
        self.operators = Operators(self.settings, self.faults)
        keys = {"HOLDFAST_VENUE_SECRET_KEY": self.secret_key}
        arguments = self._venue_arguments(port)
        venue = asyncio.create_task(self.start_venue(arguments, SYMBOLS, START_TIMEOUT_S, keys))
        for name in STARTED:
            self.start_service(name, self._armed() if name == self.plan.service else None)
        self._continuing.append(asyncio.create_task(self._continue_stopped(self.plan.service, self.plan.stop_s)))
        await venue
        await self.supervisor.wait_ready(list(STARTED), START_TIMEOUT_S)
        self.is_started = True

    async def stop(self) -> None:
        """End every process and forget the database."""
        await self._end_outage()
        await _end(self._striking + self._continuing)
        self._continue_all()
        await self.supervisor.stop_all(except_for="venue")
        await self.supervisor.stop_all()
        await asyncio.to_thread(self.postgres.remove if self._has_own_server else self._drop_database)

    def disturb(self) -> None:
        """Begin the signals from outside, and the outage."""
        if self.plan.outage is not None:
            self._suffering = asyncio.create_task(self._suffer(self.plan.outage))
        for wish in self.plan.wishes:
            self._striking.append(asyncio.create_task(self.operators.wish(wish)))
        for strike in self.plan.strikes:
            self._striking.append(asyncio.create_task(self._strike(strike.service, strike.at_s)))

    async def heal(self) -> None:
        """End the faults of the venue and the signals from outside, and let every stopped process go on."""
        self._disarm()
        await self.operate("heal")
        await _end(self._striking)
        await self._end_outage()
        self._continue_all()

    def _disarm(self) -> None:
        """Make the marker, if the crash point did not: who dies while it is ended on purpose is not started again."""
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            self.is_point_hit = True

    async def start_badly(self) -> BadStart:
        """Start risk-manager in the place of the real one on a configuration with one limit spoiled."""
        service, directory = "risk-manager", self.options.state_dir / "config-spoiled"
        change = write_mutation(self.config_dir, directory, seed=self.plan.seed)
        await self.supervisor.stop(service)
        unit = Unit(
            name="spoiled",
            arguments=["run", service, "--config", str(directory)],
            log_file=self.log_dir / "spoiled.log",
            environment=self.credentials(),
            is_restarted=False,
        )
        self.supervisor.start(unit)
        await eventually(lambda: bool(unit.failure) or unit.ready.is_set(), START_TIMEOUT_S)
        exit_code = unit.process.poll() if unit.process is not None else None
        return BadStart(service=service, change=change, is_ready=unit.ready.is_set(), exit_code=exit_code)

    def search_secrets(self) -> list[str]:
        """Return where in files, tables, arguments and environments of our services the run's secrets are."""
        state_dir = self.options.state_dir
        # The venue is the other side: its own secrets are with it.
        others = (self.credentials_dir, self.ledger_file.parent)
        texts: dict[str, bytes] = {}
        for unit in self.supervisor.units.values():
            if unit.name != "venue":
                texts |= texts_of_process(unit.name, unit.pid)
                texts[f"arguments and environment of {unit.name}"] = repr((unit.arguments, unit.environment)).encode()
        with psycopg.connect(self.dsn, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            for (table,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall():
                with connection.cursor().copy(DUMP.format(sql.Identifier(table))) as rows:
                    texts[f"table {table}"] = b"".join(bytes(row) for row in rows)
        secrets = (self.key_id, self.secret_key)
        return texts_with(secrets, texts) + files_with(secrets, state_dir, except_for=others)

    def _write_credentials(self) -> None:
        self.credentials_dir.mkdir(mode=0o700)
        for owner in ("alpaca", "watchdog"):
            (self.credentials_dir / f"{owner}_api_key").write_text(self.key_id)
            (self.credentials_dir / f"{owner}_api_secret").write_text(self.secret_key)
        (self.credentials_dir / "database_url").write_text(self.dsn)

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
            "--key-id", self.key_id,
            "--ledger", str(self.ledger_file),
            "--tls-dir", str(self._tls_dir),
            "--port", str(port),
        ]  # fmt: skip

    async def _suffer(self, outage: Outage) -> None:
        self.faults[f"outage.{outage.kind}"] += 1
        self.closures += await suffer(
            outage, self.settings, server=self.postgres, database=self._database, healed=self._healed
        )

    async def _end_outage(self) -> None:
        self._healed.set()
        if self._suffering is not None:
            await self._suffering

    async def _strike(self, service: str, at_s: float) -> None:
        await asyncio.sleep(at_s)
        strike = next(each for each in self.plan.strikes if each.service == service)
        pid = self.supervisor.units[service].pid
        self.faults[f"strike.{'stop' if strike.is_stop else 'kill'} {service}"] += 1
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

    def _continue_all(self) -> None:
        for service in self.supervisor.units:
            self._continue(service)

    def _continue(self, service: str) -> None:
        """Let a service go on; while one that entries need was silent for too long, none may have left."""
        frozen = self._frozen.pop(service, None)
        if frozen is not None and service in NEEDED and _is_stopped(frozen.pid):
            closure = Closure(frozen.since_ns + SILENCE_NS_MAX, clock.now_ns(), f"{service} was silent for a second")
            self.closures.append(closure)
        _send(self.supervisor.units[service].pid, signal.SIGCONT)

    def _create_database(self) -> None:
        if self._has_own_server:
            self.postgres.start()
        self._execute(CREATE)

    def _drop_database(self) -> None:
        self._execute(DROP)

    def _execute(self, statement: sql.SQL) -> None:
        with psycopg.connect(
            self.postgres.dsn("postgres"), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        ) as connection:
            connection.execute(statement.format(sql.Identifier(self._database)))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
