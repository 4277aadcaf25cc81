"""The world of a simulation: one clock, one network, and the processes that live by them.

The seed decides who runs next when several could, how long each turn takes, how late news arrives: the same seed
gives the same history to the byte.
"""

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from holdfast._native import JournalReader, JournalWriter, Turns
from holdfast.journals import open_reader
from holdfast.service import Frame, Host, Loop
from holdfast.settings import Settings
from holdfast.simulation.crashes import Killed
from holdfast.simulation.loop import SimulatedLoop
from holdfast.simulation.network import Network
from holdfast.simulation.wall_clock import OFFSETS_NS, STEP_BITS

NANOSECONDS = 1_000_000_000
STEADY_START_NS = 1_000 * NANOSECONDS
NEVER_NS = 2**62
IDLE_S_MIN, IDLE_S_MAX = 0.05, 0.1


@dataclass(slots=True, eq=False)
class Process:
    """One simulated process: it can be killed without a word, or stand still for a while."""

    name: str
    loop: SimulatedLoop
    is_alive: bool = True
    is_away: bool = False
    """Whether it runs on another machine, by a clock that is right."""
    task: asyncio.Task[None] | None = None
    frame: Frame | None = None
    writers: list[JournalWriter] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)

    @property
    def frozen_until_ns(self) -> int:
        """When it may go on, steady clock."""
        return self.loop.frozen_until_ns

    @frozen_until_ns.setter
    def frozen_until_ns(self, time_ns: int) -> None:
        self.loop.frozen_until_ns = time_ns

    def let_go(self) -> None:
        """Let go of the journals, as the operating system does for a process that ended."""
        for loop in self.loops:
            loop.stop()
            loop.turn(0)
        for writer in self.writers:
            writer.close()


class World:
    """Time, network and processes of one run."""

    def __init__(self, seed: int, start_ns: int) -> None:
        self.seed = seed
        self._to_wall_ns = start_ns - STEADY_START_NS
        # How far the host's wall clock is from the true time; the venue is another machine.
        self._step_ns = 0
        self.draw = self.stream("turns")
        self._turns = Turns(
            STEADY_START_NS,
            draw=self.draw,
            killed=Killed,
            set_running_loop=asyncio._set_running_loop,  # noqa: SLF001 - what makes a loop the running one
        )
        self.steady_ns, self.steady_s = self._turns.steady_ns, self._turns.steady_s
        self.network = Network(self.stream("network"))
        self.processes: list[Process] = []
        self.ended: list[Process] = []
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._event_count = 0

    def stream(self, name: str) -> random.Random:
        """Return a source of decisions of its own: what one part draws does not move another."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311 - repeatable on purpose

    @property
    def current(self) -> Process | None:
        """The process whose turn it is."""
        process = self._turns.current
        assert process is None or isinstance(process, Process)
        return process

    @property
    def turns(self) -> int:
        """How many turns were taken."""
        return self._turns.count

    @property
    def now_ns(self) -> int:
        """The true time of the world, by which the plan goes."""
        return self.steady_ns() + self._to_wall_ns

    def wall_ns(self) -> int:
        """Return the wall clock of the machine whose turn it is: the host's, or the venue's true one."""
        time_ns = (self.steady_ns() + self._to_wall_ns) & ~STEP_BITS
        if self._step_ns and not ((current := self.current) and current.is_away):
            time_ns += self._step_ns
        return time_ns

    def step_clock(self, step: int) -> None:
        """Set the host's wall clock off by one of `STEPS_S`, or right again by the first."""
        self._step_ns = OFFSETS_NS[step]

    def spawn(self, name: str, work: Callable[[Process], Awaitable[None]], *, is_away: bool = False) -> Process:
        """Start a process that does one thing until it ends or is killed."""
        process = Process(name, SimulatedLoop(self._turns, self.network, name), is_away=is_away)
        self.processes.append(process)
        self._turns.add(process.loop, process)

        async def run() -> None:
            await work(process)

        process.task = process.loop.create_task(run())
        return process

    def kill(self, process: Process) -> None:
        """End a process in mid-step: nothing of it runs any more, its journals and connections are let go."""
        process.is_alive = False
        process.loop.died_s = process.loop.now_s
        self.processes.remove(process)
        # Kept: collecting a task would run what stands in its `finally`.
        self.ended.append(process)
        self._turns.remove(process.loop)
        self.network.drop_all(process.loop)
        process.let_go()

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self._event_count += 1
        heapq.heappush(self._events, (time_ns, self._event_count, action))
        self._turns.stop_at(time_ns - self._to_wall_ns)

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self.at(self.now_ns + int(delay_s * NANOSECONDS), action)

    def run(self, until_ns: int, is_done: Callable[[], bool] | None = None, *, every_ns: int = NANOSECONDS) -> bool:
        """Let time pass until a moment, or until a condition holds that is looked at now and then."""
        look_ns = self.now_ns if is_done is not None else NEVER_NS
        try:
            while self.now_ns < until_ns:
                if is_done is not None and self.now_ns >= look_ns:
                    look_ns = self.now_ns + every_ns
                    if is_done():
                        return True
                self._run_until(min(until_ns, look_ns))
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001 - a turn leaves its loop the running one
        return is_done is not None and is_done()

    def _run_until(self, until_ns: int) -> None:
        """Let processes take turns, and time jump to where there is something to do."""
        events = self._events
        while (now_ns := self.now_ns) < until_ns:
            while events and events[0][0] <= now_ns:
                heapq.heappop(events)[2]()
            next_ns = min(events[0][0], until_ns) if events else until_ns
            self._turns.run(next_ns - self._to_wall_ns)

    async def wait(self, process: Process, readers: Sequence[JournalReader], timeout_s: float | None = None) -> None:
        """Sleep until a journal has something to read, at most so long."""
        woken = process.loop.create_future()
        wait = self._turns.begin_wait(process.loop, readers, woken, timeout_s)
        if wait is None:
            await asyncio.sleep(0)
            return
        await woken
        self._turns.end_wait(wait)


@dataclass(slots=True)
class SimulatedEdge:
    """An edge without sockets, open until closed: what a process of the simulation owns ends with it."""

    deadline_ns: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it was armed and not closed."""
        return self.deadline_ns > 0

    def arm(self, deadline_ns: int) -> None:
        """Open it."""
        self.deadline_ns = deadline_ns

    def admit(self, descriptor: int) -> int | None:  # noqa: ARG002 - a simulated one
        """Admit anything."""
        return 0

    def release(self, place: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close it."""
        self.deadline_ns = 0


class SimulatedHost(Host):
    """What a service takes from its machine, in the simulation."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        process.loop.expect_journals()

    def edge(self) -> SimulatedEdge:
        """Make an edge without sockets."""
        return SimulatedEdge()

    def claim(self, name: str) -> SimulatedEdge:  # noqa: ARG002 - each is alone
        """Give any name: a simulated account has one execution-engine, and the lock of its journal proves it."""
        return SimulatedEdge()

    def keep_what_start_made(self) -> None:
        """Do nothing: what a simulated process made goes with its run."""

    async def run_loop(self, loop: Loop, settings: Settings, inputs: Sequence[str]) -> None:
        """Turn a loop when its inputs grow and now and then, until the service is asked to stop."""
        process, world = self._process, self._world
        process.loops.append(loop)
        readers: list[JournalReader] = [open_reader(settings, name, from_seq=0, wait_s=0) for name in inputs]
        assert process.frame is not None
        while not process.frame.stopping.is_set():
            for reader in readers:
                reader.seek_end()
            if not loop.turn(world.wall_ns()):
                await world.wait(process, readers, world.draw.uniform(IDLE_S_MIN, IDLE_S_MAX))
            else:
                await asyncio.sleep(0)

    async def follow(self, reader: JournalReader, on_records: Callable[[], None]) -> None:
        """Call `on_records` now and whenever there is something to read."""
        while True:
            on_records()
            await self._world.wait(self._process, [reader])
