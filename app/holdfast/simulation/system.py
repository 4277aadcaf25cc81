"""The simulated host: settings, journals, the venue and every service, started and started again as units are."""

import asyncio
import functools
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from holdfast._native import Reconciled, RiskLimits
from holdfast.errors import ConfigError
from holdfast.gateway.control import Control
from holdfast.invariants import Closure
from holdfast.journals import WRITERS, open_latch, open_reader, open_writer
from holdfast.service import Frame
from holdfast.services import execution_engine, market_data, risk_manager, signal_bridge
from holdfast.settings import Settings
from holdfast.settings.defaults import default_config_dir
from holdfast.simulation.network import Weather
from holdfast.simulation.plan import FIRST_FAULT_S, Act, Plan
from holdfast.simulation.wall_clock import true_ns
from holdfast.simulation.wishes import Operators
from holdfast.simulation.world import Process, SimulatedHost, World
from holdfast.venues.alpaca.connection import Connection, Origin, tls_context
from holdfast.venues.simulated import SimulatedVenue, SimulatedVenueSettings

VENUE_PORT = 7000
SYMBOLS = ("AAPL", "MSFT")
KEY_ID = "PKSIMULATED"
SECRET_KEY = "simulated-secret"  # noqa: S105 - the simulated venue's own default
RESTART_S = 0.5
STRANGER_WAITS_S = 0.2
HISTORY_S = 20.0
CLOCK_BITES_WITHIN_NS = 1_000_000_000
SERVICES: dict[str, Callable[[Frame], Awaitable[None]]] = {
    "market-data": market_data.run,
    "signal-bridge": signal_bridge.run,
    "risk-manager": risk_manager.run,
    "execution-engine": execution_engine.run,
}
BLACKOUT = re.compile(r"^\[\[blackout\]\]\n(?:\w+ = .*\n)+", re.MULTILINE)
SHORT_BLACKOUT = '[[blackout]]\nbegin = "09:30"\nend = "09:31"\n'
# A busy day must not end at once by a breaker; what an order and a position may be is small enough to be met.
CHOSEN = {
    "consecutive_losses_max": 50,
    "trades_per_day_max": 500,
    "repeat_entries_max": 100,
    "quantity_max": 18,
    "price_drift_max_percent": 10,
}


def write_limits(directory: Path) -> None:
    """Write the shipped limits with one short blackout and what `CHOSEN` says."""
    text = BLACKOUT.sub("", (default_config_dir() / "risk_limits.toml").read_text()) + SHORT_BLACKOUT
    for key, value in CHOSEN.items():
        text, count = re.subn(rf"^{key} = [\d.]+$", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
        assert count == 1, key
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "risk_limits.toml").write_text(text)


def settings_of(plan: Plan, *, state_dir: Path, config_dir: Path, ca_file: Path) -> Settings:
    """Return the configuration of the simulated host."""
    url = f"127.0.0.1:{VENUE_PORT}"
    return Settings.model_validate(
        {
            "state_dir": state_dir,
            "config_dir": config_dir,
            "symbols": SYMBOLS,
            "venue": {
                "trading_url": f"https://{url}",
                "trading_stream_url": f"wss://{url}/stream",
                "data_url": f"https://{url}",
                "data_stream_url": f"wss://{url}",
                "ca_file": ca_file,
                "encoding": plan.encoding,
                "requests_per_minute": 1000,
                "entries_per_minute": 600,
            },
            "journal": {"segment_mib": 1},
            "services": {"market_data": {"stale_after_s": 5.0}},
            "strategies": [
                {
                    "name": "restless",
                    "path": f"{Path(__file__).parent / 'strategy.py'}:Restless",
                    "symbols": SYMBOLS,
                    "parameters": {"seed": plan.seed, "act_percent": plan.act_percent},
                }
            ],
            "alpaca_api_key": KEY_ID,
            "alpaca_api_secret": SECRET_KEY,
        }
    )


class System:
    """Everything that runs, and the supervisor that starts a service again when it ended."""

    def __init__(
        self, world: World, plan: Plan, settings: Settings, *, configured: RiskLimits, tls_dir: Path, ledger_file: Path
    ) -> None:
        self.world = world
        self.plan = plan
        self.settings = settings
        self.ledger_file = ledger_file
        self.tls_dir = tls_dir
        self.services: dict[str, Process] = {}
        self.restarts: dict[str, int] = {}
        self.failures: list[str] = []
        self.wanted: set[str] = set()
        self.control: Control | None = None
        self.operators: Operators
        self._configured = configured
        self.venue: SimulatedVenue | None = None
        self.venue_process: Process
        self.latch = open_latch(settings)
        self.strangers = 0
        self._clock_off_ns = 0
        self.closures: list[Closure] = []
        self.external_order_ids: set[str] = set()

    def start(self) -> None:
        """Create the journals, as the first start of a host does, and start everything."""
        for name in WRITERS:
            if name != "control":
                open_writer(self.settings, name).close()
        self.control = Control(self.settings)
        self.operators = Operators(self.control, self._configured, self.world.after)
        self.venue_process = self.world.spawn("venue", self._serve, is_away=True)
        for name in SERVICES:
            self.wanted.add(name)
            self._start_service(name)
        self.world.network.weather = self.plan.weather
        self.world.after(FIRST_FAULT_S, self._load_faults)
        for act in self.plan.acts:
            self.world.after(act.at_s, functools.partial(self.perform, act))
        for wish in self.plan.wishes:
            self.world.after(wish.at_s, functools.partial(self.operators.wish, wish))

    async def _serve(self, process: Process) -> None:
        plan = self.plan
        self.venue = venue = SimulatedVenue(
            SimulatedVenueSettings(
                session=f"synthetic:{plan.seed}",
                seed=plan.seed,
                ledger=self.ledger_file,
                port=VENUE_PORT,
                tls_dir=self.tls_dir,
                symbols=SYMBOLS,
                start=plan.start,
                rate_limit=1000,
                quotes_per_s=plan.quotes_per_s,
                history_s=HISTORY_S,
                latency_ms_min=plan.latency_ms_min,
                latency_ms_max=plan.latency_ms_max,
                partial_fill_ppm=plan.partial_fill_ppm,
            )
        )
        await venue.start()
        await process.loop.create_future()

    def _start_service(self, name: str) -> None:
        if name not in self.wanted or name in self.services:
            return

        async def work(process: Process) -> None:
            process.frame = Frame(name=name, settings=self.settings, host=SimulatedHost(self.world, process))
            await SERVICES[name](process.frame)

        process = self.services[name] = self.world.spawn(name, work)
        assert process.task is not None
        process.task.add_done_callback(lambda _task: self._on_end(name, process))

    def _on_end(self, name: str, process: Process) -> None:
        """Note why a service ended, and start it again a little later unless its configuration is at fault."""
        assert process.task is not None
        error = None if process.task.cancelled() else process.task.exception()
        if error is not None:
            self.failures.append(f"{name} ended: {_first(error)!r}")
        # Not inside its own turn: what it holds is let go once the turn is over.
        self.world.at(self.world.now_ns, lambda: self.bury(process))
        del self.services[name]
        if not isinstance(error, ConfigError):
            self.world.after(RESTART_S, lambda: self._start_service(name))

    def bury(self, process: Process) -> None:
        """Let go of a process that ended by itself."""
        if process.is_alive:
            self.world.kill(process)

    def kill(self, name: str) -> None:
        """SIGKILL a service; it starts again a little later."""
        process = self.services.pop(name, None)
        if process is None:
            return
        self.world.kill(process)
        self.restarts[name] = self.restarts.get(name, 0) + 1
        self.world.after(RESTART_S, lambda: self._start_service(name))

    def crash(self, point: str) -> None:
        """End the process whose turn it is, at a named point."""
        assert self.world.current is not None
        faults = self.world.network.faults
        faults[f"crash {point}"] = faults.get(f"crash {point}", 0) + 1
        self.kill(self.world.current.name)

    def freeze(self, name: str, duration_s: float) -> None:
        """SIGSTOP a service for a while."""
        process = self.services.get(name)
        if process is not None:
            process.frozen_until_ns = self.world.steady_ns() + int(duration_s * 1e9)

    def perform(self, act: Act) -> None:
        """Let one act of the plan happen."""
        faults = self.world.network.faults
        name = f"{act.kind} {act.target}".strip()
        faults[name] = faults.get(name, 0) + 1
        match act.kind:
            case "kill":
                self.kill(act.target)
            case "freeze":
                self.freeze(act.target, act.duration_s)
            case "outage":
                self.world.network.is_reachable = False
                self.world.after(act.duration_s, self._end_outage)
            case "trip":
                self._trip()
                self.world.after(act.duration_s, lambda: self.reset("drill is over"))
            case "ambush":
                self.freeze("execution-engine", act.duration_s)
                self.world.after(0.8 * act.duration_s, self._trip)
                self.world.after(2 * act.duration_s, lambda: self.reset("drill is over"))
            case "clock_step":
                self._step_clock(act.step)
                self.world.after(act.duration_s, lambda: self._step_clock(0))
            case "stranger":
                self.world.spawn("stranger", self._submit_as_stranger, is_away=True)

    def _step_clock(self, step: int) -> None:
        """Set the host's clock off, or right again; a second later no entry leaves until it is right."""
        if self._clock_off_ns:
            from_ns = self._clock_off_ns + CLOCK_BITES_WITHIN_NS
            self.closures.append(Closure(from_ns, self.world.now_ns, "the clock stepped"))
        self._clock_off_ns = self.world.now_ns if step else 0
        self.world.step_clock(step)

    def _trip(self) -> None:
        self.latch.trip("ann", "drill", self.world.wall_ns())

    def _load_faults(self) -> None:
        if self.venue is not None and self.plan.script is not None:
            self.venue_process.loop.call_soon(self.venue.faults.load, self.plan.script)

    def _end_outage(self) -> None:
        self.world.network.is_reachable = True

    def reset(self, reason: str) -> None:
        """Clear the kill latch, as an operator."""
        tripped_ns = true_ns(self.latch.ts_ns) if self.latch.is_set else 0
        self.latch.reset("ann", reason, self.world.wall_ns())
        if tripped_ns:
            self.closures.append(Closure(tripped_ns, self.world.now_ns, "the kill latch was set"))

    async def _submit_as_stranger(self, _process: Process) -> None:
        """Buy something by hand, past all of our services; what came before their first start is no news to them."""
        with open_reader(self.settings, "executions", wait_s=0) as reader:
            while not any(isinstance(record, Reconciled) for record in reader.read(100)):  # noqa: ASYNC110 - time passes
                await asyncio.sleep(STRANGER_WAITS_S)
        self.strangers += 1
        client_order_id = f"manual-{self.strangers}"
        self.external_order_ids.add(client_order_id)
        headers = {"APCA-API-KEY-ID": KEY_ID, "APCA-API-SECRET-KEY": SECRET_KEY}
        origin = Origin.parse(self.settings.venue.trading_url, headers=headers)
        order = {"symbol": SYMBOLS[0], "qty": "3", "side": "buy", "type": "limit", "time_in_force": "day"}
        order |= {"limit_price": str(self.world.draw.choice((1, 500))), "client_order_id": client_order_id}
        async with Connection(origin, tls_context(self.settings.venue.ca_file), lines=1) as connection:
            await connection.request(origin.encode("POST", "/v2/orders", json.dumps(order).encode()), timeout_s=5)

    def heal(self) -> None:
        """End every fault."""
        self.world.network.weather = Weather()
        if self.venue is not None:
            self.venue_process.loop.call_soon(self.venue.faults.heal)
        self._end_outage()
        self._step_clock(0)
        for process in self.world.processes:
            process.frozen_until_ns = 0
        # Also of a clear latch: it clears the breakers that only an operator clears.
        self.reset("the drill is over")

    def stop(self, name: str) -> None:
        """Ask a service to stop, for good."""
        self.wanted.discard(name)
        process = self.services.get(name)
        if process is not None and process.frame is not None:
            frame = process.frame
            process.loop.call_soon(frame.stopping.set)

    def end(self) -> None:
        """End everything."""
        for process in list(self.world.processes):
            self.world.kill(process)
        if self.control is not None:
            self.control.close()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
