"""The world of a simulation: one clock, one network, and the processes that live by them.

The seed decides who runs next when several could, how long each turn takes, how late news arrives: the same seed
gives the same history to the byte.
"""

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast._native import JournalReader, JournalWriter
from holdfast.journals import open_reader
from holdfast.service import Frame, Host, Loop
from holdfast.settings import Settings
from holdfast.simulation.loop import NEVER_NS, Now, SimulatedLoop
from holdfast.simulation.network import Network

NANOSECONDS = 1_000_000_000
STEADY_START_NS = 1_000 * NANOSECONDS
TURN_NS_MIN, TURN_NS_MAX = 1_000, 20_000
WAKE_S_MIN, WAKE_S_MAX = 3e-6, 60e-6
IDLE_S_MIN, IDLE_S_MAX = 0.05, 0.1


class Readable(Protocol):
    """What one can wait for."""

    @property
    def next_seq(self) -> int:
        """Number of the record that is read next."""

    @property
    def last_seq(self) -> int:
        """Number of the newest record."""


@dataclass(slots=True, eq=False)
class Wait:
    """Somebody who sleeps until a journal grows."""

    loop: SimulatedLoop
    readers: Sequence[Readable]
    woken: asyncio.Future[None]

    def is_over(self) -> bool:
        """Say whether there is something to read."""
        for reader in self.readers:  # noqa: SIM110 - asked after each turn: a generator would cost more than the answer
            if reader.last_seq >= reader.next_seq:
                return True
        return False

    def wake(self) -> None:
        """End the sleep."""
        if not self.woken.done():
            self.woken.set_result(None)


@dataclass(slots=True, eq=False)
class Process:
    """One simulated process: it can be killed without a word, or stand still for a while."""

    name: str
    loop: SimulatedLoop
    frozen_until_ns: int = 0
    """When it may go on, steady clock."""
    is_alive: bool = True
    task: asyncio.Task[None] | None = None
    frame: Frame | None = None
    writers: list[JournalWriter] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    outputs: list[JournalReader] = field(default_factory=list)
    _written: int = 0

    def has_written(self) -> bool:
        """Say whether a journal of this process has grown since this was asked last."""
        written = 0
        for reader in self.outputs:
            written += reader.last_seq
        is_grown = written != self._written
        self._written = written
        return is_grown

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
        self._now = Now(STEADY_START_NS)
        self._to_wall_ns = start_ns - STEADY_START_NS
        self.wall_step_ns = 0
        self.draw = self.stream("turns")
        self.network = Network(self.stream("network"))
        self.processes: list[Process] = []
        self.ended: list[Process] = []
        self.current: Process | None = None
        self.turns = 0
        self._waits: list[Wait] = []
        self._has_news = False
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._event_count = 0

    def stream(self, name: str) -> random.Random:
        """Return a source of decisions of its own: what one part draws does not move another."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311 - repeatable on purpose

    @property
    def now_ns(self) -> int:
        """The true time of the world, by which the plan goes."""
        return self._now.ns + self._to_wall_ns

    def wall_ns(self) -> int:
        """Return the host's wall clock."""
        return self._now.ns + self._to_wall_ns + self.wall_step_ns

    def steady_ns(self) -> int:
        """Return the host's steady clock."""
        return self._now.ns

    def spawn(self, name: str, work: Callable[[Process], Awaitable[None]]) -> Process:
        """Start a process that does one thing until it ends or is killed."""
        process = Process(name, SimulatedLoop(self._now, self.network, name))
        self.processes.append(process)

        async def run() -> None:
            await work(process)

        process.task = process.loop.create_task(run())
        return process

    def kill(self, process: Process) -> None:
        """End a process in mid-step: nothing of it runs any more, its journals and connections are let go."""
        process.is_alive = False
        process.loop.is_dead, process.loop.died_s = True, self._now.s
        self.processes.remove(process)
        # Kept: collecting a task would run what stands in its `finally`.
        self.ended.append(process)
        self._waits = [wait for wait in self._waits if wait.loop is not process.loop]
        self.network.drop_all(process.loop)
        process.let_go()
        # A native loop may have written to the end.
        self._has_news = True

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self._event_count += 1
        heapq.heappush(self._events, (time_ns, self._event_count, action))

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
        events, now, to_wall_ns = self._events, self._now, self._to_wall_ns
        draw = self.draw.random
        end_ns = until_ns - to_wall_ns
        while (now_ns := now.ns) < end_ns:
            while events and events[0][0] <= now_ns + to_wall_ns:
                heapq.heappop(events)[2]()
            process, next_ns = self._choose(now_ns)
            if process is None:
                if events:
                    next_ns = min(next_ns, events[0][0] - to_wall_ns)
                now.set(min(next_ns, end_ns))
                continue
            self.current = process
            process.loop.turn()
            self.current = None
            self.turns += 1
            now.set(now.ns + TURN_NS_MIN + int(draw() * (TURN_NS_MAX - TURN_NS_MIN)))
            if process.frame is not None and (self._has_news or process.has_written()):
                self._wake()

    def _choose(self, now_ns: int) -> tuple[Process | None, int]:
        """Draw whose turn it is; nobody's: when somebody's is next."""
        able: list[Process] | None = None
        chosen, next_ns = None, NEVER_NS
        for process in self.processes:
            due_ns = process.loop.due_ns
            if process.frozen_until_ns > due_ns:  # noqa: PLR1730 - asked before each turn
                due_ns = process.frozen_until_ns
            if due_ns > now_ns:
                if due_ns < next_ns:  # noqa: PLR1730
                    next_ns = due_ns
            elif chosen is None:
                chosen = process
            elif able is None:
                able = [chosen, process]
            else:
                able.append(process)
        return (chosen if able is None else able[self.draw.randrange(len(able))]), next_ns

    def _wake(self) -> None:
        self._has_news = False
        over = [wait for wait in self._waits if wait.is_over()]
        for wait in over:
            self._waits.remove(wait)
            delay_s = self.draw.uniform(WAKE_S_MIN, WAKE_S_MAX)
            wait.loop.call_later(delay_s, wait.wake)

    async def wait(self, process: Process, readers: Sequence[Readable], timeout_s: float | None = None) -> None:
        """Sleep until a journal has something to read, at most so long."""
        wait = Wait(process.loop, readers, process.loop.create_future())
        if wait.is_over():
            await asyncio.sleep(0)
            return
        self._waits.append(wait)
        timer = process.loop.call_later(timeout_s, wait.wake) if timeout_s is not None else None
        await wait.woken
        if timer is not None:
            timer.cancel()
        if wait in self._waits:
            self._waits.remove(wait)


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
