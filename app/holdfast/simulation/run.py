"""One run: a seed's trading under faults, then healing and settling, then the verdict."""

import functools
import gc
import hashlib
import logging
import random
import shutil
import ssl
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import aiofastnet
import structlog
from picows import WSListener, WSTransport, ws_connect
from prometheus_client.metrics import MetricWrapperBase

from holdfast import clock, crash_points, journals, metrics, replay
from holdfast._native import Decision, Fill, JournalReader, JournalWriter, OrderEvent, OrderTable
from holdfast.invariants import Ending, Evidence, GrowingJournals, Violation, check, holds
from holdfast.invariants.account import in_flight, is_order_approved
from holdfast.invariants.market import every_gap_repaired
from holdfast.journals import WRITERS, open_reader
from holdfast.replay import replay_decisions, replay_signals
from holdfast.services import execution_engine, risk_manager
from holdfast.settings import Settings
from holdfast.settings.risk_limits import RiskSettings, is_short_allowed, load_risk_limits
from holdfast.simulation.crashes import SPENT, SimulatedCrash
from holdfast.simulation.loop import SimulatedLoop
from holdfast.simulation.network import USER_TIMEOUT_S
from holdfast.simulation.plan import Plan
from holdfast.simulation.system import System, settings_of, write_limits
from holdfast.simulation.wall_clock import true_ns
from holdfast.simulation.world import STEADY_START_NS, World
from holdfast.strategies import load
from holdfast.venues.alpaca import feed
from holdfast.venues.simulated import venue
from holdfast.venues.simulated.ledger import LedgerReader
from holdfast.venues.simulated.tls import ensure_certificate, server_context

if TYPE_CHECKING:
    from holdfast._native import Record

NANOSECONDS = 1_000_000_000
SETTLE_S = 60
REPLAY_EVERY = 10
AFTER_HEALING_S = 2
QUIET_S = 2
RAW_BYTES = 1 << 20
# So small that journals go over to the next segment, and quick to create.
SEGMENT_BYTES = 128 << 10
# What a process reads from files that no run changes is read once; TLS is left out and only its contexts are made.
_strategy_class = cache(load._from_path)  # noqa: SLF001 - the file is not reloaded, as its class holds no state
_client_context = cache(ssl.create_default_context)
_server_context = cache(server_context)
_is_short_allowed = cache(is_short_allowed)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one seed."""

    seed: int
    event_hash: str
    orders: int
    fills: int
    faults: dict[str, int]
    simulated_s: float
    turns: int
    violations: list[Violation] = field(default_factory=list)

    @classmethod
    def broken(cls, seed: int, violation: Violation) -> Self:
        """Tell of a run that did not come to its end."""
        empty: dict[str, int] = {}
        return cls(
            seed=seed, event_hash="", orders=0, fills=0, faults=empty, simulated_s=0, turns=0, violations=[violation]
        )


@cache
def prepare(directory: Path) -> Path:
    """Make what every run of this process shares: certificates and limits."""
    write_limits(directory / "config")
    return ensure_certificate(directory / "tls", "127.0.0.1")


@cache
def _limits(config_dir: Path, environment: str) -> RiskSettings:
    """Read the limits once a process: they are the same in every run."""
    url = "//127.0.0.1:1"
    venue = {"trading_url": f"https:{url}", "data_url": f"https:{url}"}
    venue |= {"trading_stream_url": f"wss:{url}", "data_stream_url": f"wss:{url}"}
    whole = {"state_dir": config_dir, "config_dir": config_dir, "symbols": ["AAPL"], "venue": venue}
    return load_risk_limits(Settings.model_validate({**whole, "environment": environment}))


@contextmanager
def outside(world: World, crash: SimulatedCrash) -> Iterator[None]:
    """Put the simulated clock, network, configuration and crash point in the place of the real ones."""

    async def connect(
        loop: SimulatedLoop,
        factory: Callable[[], object],
        _host: str,
        port: int,
        **_options: object,
    ) -> object:
        return await loop.network.connect(loop, factory, port)

    def writer(*arguments: Any, **options: Any) -> JournalWriter:  # noqa: ANN401 - passed on
        made = JournalWriter(*arguments, **options | {"segment_bytes": SEGMENT_BYTES, "has_keeper": False})
        if world.current is not None:
            world.current.writers.append(made)
            world.current.loop.watch(JournalReader(arguments[0], from_seq=0, wait_s=0))
        return made

    async def without_pings(*arguments: Any, **options: Any) -> tuple[WSTransport, WSListener]:  # noqa: ANN401 - passed on
        # picows measures the idle time before a ping by the machine's clock. A mute feed is found by its silence.
        return await ws_connect(*arguments, **options | {"enable_auto_ping": False})

    def limits(settings: Settings) -> RiskSettings:
        return _limits(settings.config_dir, settings.environment)

    replaced: list[tuple[Any, str, Any]] = [
        (aiofastnet, "create_connection", connect),
        (feed, "ws_connect", without_pings),
        (crash_points, "_point", crash),
        (journals, "JournalWriter", writer),
        (risk_manager, "load_risk_limits", limits),
        (replay, "load_risk_limits", limits),
        (execution_engine, "is_short_allowed", _is_short_allowed),
        (load, "_from_path", _strategy_class),
        (ssl, "create_default_context", _client_context),
        (venue, "server_context", _server_context),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    clock.install(wall_ns=world.wall_ns, steady_ns=world.steady_ns, steady_s=world.steady_s)
    random.seed(world.seed)
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def run_seed(seed: int, directory: Path) -> Outcome:
    """Run one seed in a directory that holds what runs share; its own state is removed."""
    ca_file = prepare(directory)
    plan = Plan.of(seed)
    state_dir = directory / f"seed-{seed}"
    shutil.rmtree(state_dir, ignore_errors=True)
    state_dir.mkdir()
    settings = settings_of(plan, state_dir=state_dir, config_dir=directory / "config", ca_file=ca_file)
    world = World(seed, plan.start_ns)
    try:
        crash = SimulatedCrash(plan.crash_point, plan.crash_skip)
        with outside(world, crash):
            system = System(
                world,
                plan,
                settings,
                configured=_limits(settings.config_dir, settings.environment).limits,
                tls_dir=directory / "tls",
                ledger_file=state_dir / "ledger.jsonl",
            )
            crash.kill = functools.partial(system.crash, plan.crash_point)
            system.start()
            return _play(system, crash)
    finally:
        shutil.rmtree(state_dir, ignore_errors=True)


def _play(system: System, crash: SimulatedCrash) -> Outcome:
    world, plan = system.world, system.plan
    world.run(plan.start_ns + int(plan.trading_s * NANOSECONDS))
    system.heal()
    # Nothing crashes while the system heals, nor in a replay.
    crash.point = SPENT
    world.run(world.now_ns + AFTER_HEALING_S * NANOSECONDS)
    system.stop("signal-bridge")
    healed_ns = world.now_ns
    world.run(healed_ns + QUIET_S * NANOSECONDS)
    witness = _Witness(system)
    is_at_rest = world.run(healed_ns + SETTLE_S * NANOSECONDS, witness.is_at_rest, every_ns=3 * NANOSECONDS)
    for process in world.processes:
        system.failures += [f"{process.name}: {failure}" for failure in process.loop.failures]
    system.end()
    replays = _replays(system) if plan.seed % REPLAY_EVERY == 0 else {}
    # What is at rest was judged in this very moment: only what a replay tells is new.
    seen = witness.seen if is_at_rest else None
    evidence = witness.evidence(replays=replays) if seen is None else replace(seen, replays=replays)
    violations = check(evidence) if replays or not is_at_rest else []
    violations += [Violation(20, "every_process_lives", failure) for failure in system.failures]
    return Outcome(
        seed=plan.seed,
        event_hash=_event_hash(system),
        orders=len(evidence.ledger.orders()),
        fills=len(evidence.ledger.fills()),
        faults=_faults(evidence, world) | system.operators.told,
        simulated_s=(world.now_ns - plan.start_ns) / NANOSECONDS,
        turns=world.turns,
        violations=violations,
    )


def _faults(evidence: Evidence, world: World) -> dict[str, int]:
    """Return how often each kind struck: those of the network and of processes, and those of the venue's script."""
    scripted = Counter(str(line["fault"]) for line in evidence.ledger.of_kind("fault"))
    return {**world.network.faults, **scripted}


def _replays(system: System) -> dict[str, str]:
    """Feed the recorded inputs again; return for each journal where the outputs differ."""
    results = (replay_decisions(system.settings), replay_signals(system.settings))
    return {result.journal: result.difference for result in results}


class _Witness:
    """Looks at what a run has written down until now: each look reads only what is new."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._journals = GrowingJournals(system.settings)
        self._ledger = LedgerReader(system.ledger_file)
        self._orders = OrderTable()
        self._approved: set[str] = set()
        self._read = {"orders": 0, "executions": 0}
        self.seen: Evidence | None = None

    def is_at_rest(self) -> bool:
        """Say whether nothing is on its way and nothing is known to be missing any more; `seen` is what was judged."""
        if self._is_in_flight():
            return False
        self.seen = evidence = self.evidence()
        # What is waited for longest is asked first: the rest of the checks is dear.
        return not any(every_gap_repaired(evidence)) and holds(evidence)

    def evidence(self, *, replays: Mapping[str, str] = MappingProxyType({})) -> Evidence:
        """Return what there is."""
        system = self._system
        return Evidence(
            replays=replays,
            in_flight_s=USER_TIMEOUT_S,
            travel_s=system.plan.weather.late_s_max if system.plan.weather.late_ppm else 0.0,
            ending=Ending(is_healed=True),
            ledger=self._ledger.read(),
            journals={name: tuple(records) for name, records in self._journals.items()},
            limits=_limits(system.settings.config_dir, system.settings.environment).limits,
            closures=tuple(system.closures),
            external_order_ids=frozenset(system.external_order_ids),
            is_undisturbed=system.plan.is_undisturbed,
            true_ns=true_ns,
        )

    def _is_in_flight(self) -> bool:
        for record in self._fresh("orders"):
            if isinstance(record, Decision) and is_order_approved(record):
                self._approved.add(record.client_order_id)
        for record in self._fresh("executions"):
            if isinstance(record, OrderEvent | Fill):
                self._orders.apply(record)
        return in_flight(self._approved, self._orders) > 0

    def _fresh(self, name: str) -> "Sequence[Record]":
        records = self._journals[name]
        fresh = records[self._read[name] :]
        self._read[name] = len(records)
        return fresh


def _event_hash(system: System) -> str:
    """Return a hash of everything the venue and the journals wrote."""
    digest = hashlib.sha256(system.ledger_file.read_bytes())
    for name in WRITERS:
        with open_reader(system.settings, name, from_seq=0, wait_s=0) as reader:
            while raw := reader.read_raw(RAW_BYTES):
                digest.update(raw)
    return digest.hexdigest()[:16]


def show_logs() -> None:
    """Show the services' logs with the simulated time."""

    def add_time(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["at_s"] = f"{(clock.monotonic_ns() - STEADY_START_NS) / NANOSECONDS:.6f}"
        return event

    structlog.configure(processors=[structlog.processors.add_log_level, add_time, structlog.processors.JSONRenderer()])
    sys.unraisablehook = lambda _error: None
    logging.disable(logging.CRITICAL)


class _Unmeasured:
    """A metric of a process that nobody scrapes."""

    def inc(self, _amount: float = 1) -> None:
        """Do nothing."""

    def set(self, _value: float) -> None:
        """Do nothing."""

    def observe(self, _amount: float) -> None:
        """Do nothing."""


def _leave_unmeasured() -> None:
    """Let metrics cost nothing: the services publish them again and again, and nobody scrapes."""
    nothing = _Unmeasured()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for name in ("inc", "set", "observe"):
                setattr(metric, name, getattr(nothing, name))
            setattr(metric, "labels", lambda *_values, **_names: nothing)  # noqa: B010 - another type, on purpose


def be_quiet() -> None:
    """Drop the services' logs and metrics, and what collecting killed processes' tasks would print."""
    _leave_unmeasured()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _error: None
    # A process that was killed never came to await what it had just called.
    warnings.filterwarnings("ignore", r"coroutine '.*' was never awaited", RuntimeWarning)
    gc.disable()
    gc.freeze()
