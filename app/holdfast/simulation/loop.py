"""An event loop in virtual time: one for each simulated process, turned by the world when it chooses.

Nothing sleeps and nothing is read from a socket: timers are due when the world's clock has reached them.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from heapq import heappop, heappush
from math import ceil, inf
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.simulation.crashes import Killed

if TYPE_CHECKING:
    from holdfast.simulation.network import Endpoint, Listener, Network

T = TypeVar("T")
NANOSECONDS = 1_000_000_000
NEVER_NS = 2**62


class Job:
    """A callback that is to run, at once or at a time; in a context of its own only if it was given one."""

    __slots__ = ("_when_s", "arguments", "callback", "context", "is_cancelled")

    def __init__(
        self,
        callback: Callable[..., object],
        arguments: tuple[object, ...],
        context: contextvars.Context | None,
        when_s: float = 0.0,
    ) -> None:
        self.callback = callback
        self.arguments = arguments
        self.context = context
        self._when_s = when_s
        self.is_cancelled = False

    def cancel(self) -> None:
        """Asyncio's method."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Asyncio's method."""
        return self.is_cancelled

    def when(self) -> float:
        """Asyncio's method."""
        return self._when_s


class Now:
    """The steady clock of all loops."""

    __slots__ = ("ns", "s")

    def __init__(self, ns: int) -> None:
        self.set(ns)

    def set(self, ns: int) -> None:
        """Let it be a time."""
        self.ns = ns
        self.s = ns / NANOSECONDS


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop of one process. What a callback raises is kept in `failures`: asyncio would only log it."""

    def __init__(self, now: Now, network: "Network", owner: str) -> None:
        self._now = now
        self._ready: list[Job] = []
        self._timers: list[tuple[int, int, Job]] = []
        self._timer_count = 0
        self.network = network
        self.owner = owner
        self.endpoints: dict[Endpoint, None] = {}
        self.tasks: list[asyncio.Task[Any]] = []
        self.failures: list[str] = []
        self.is_dead = False
        self.died_s = inf
        # When something is to be done here next, steady ns: 0 for now.
        self.due_ns = NEVER_NS

    def turn(self) -> None:
        """Run what is ready now, as asyncio's loop does in one iteration."""
        timers, jobs = self._timers, self._ready
        # What these jobs call for is for the next turn.
        self._ready = []
        now_ns = self._now.ns
        while timers and timers[0][0] <= now_ns:
            jobs.append(heappop(timers)[2])
        asyncio._set_running_loop(self)  # noqa: SLF001 - what makes a loop the running one
        for job in jobs:
            if job.is_cancelled:
                continue
            try:
                if job.context is None:
                    job.callback(*job.arguments)
                else:
                    job.context.run(job.callback, *job.arguments)
            except Killed:
                break
            except Exception as error:  # noqa: BLE001 - asyncio logs it; here it fails the run
                self.failures.append(f"{type(error).__name__}: {error}")
            if self.is_dead:
                break
        while timers and timers[0][2].is_cancelled:
            heappop(timers)
        self.due_ns = 0 if self._ready else timers[0][0] if timers else NEVER_NS

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> Job:
        """Asyncio's method."""
        job = Job(callback, args, context)
        self._ready.append(job)
        self.due_ns = 0
        return job

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> Job:
        """Asyncio's method; there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> Job:
        """Asyncio's method."""
        return self.call_at(self._now.s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> Job:
        """Asyncio's method."""
        job = Job(callback, args, context, when)
        self._timer_count += 1
        # Whole nanoseconds, not before it.
        due_ns = ceil(when * NANOSECONDS)
        heappush(self._timers, (due_ns, self._timer_count, job))
        if due_ns < self.due_ns:  # noqa: PLR1730 - a hundred times a simulated second
            self.due_ns = due_ns
        return job

    @property
    def now_s(self) -> float:
        """Return the same as `time`."""
        return self._now.s

    def time(self) -> float:
        """Return the process's steady clock, seconds."""
        return self._now.s

    def create_future(self) -> asyncio.Future[Any]:
        """Asyncio's method."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        """Asyncio's method."""
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        # A killed process leaves its tasks as they were: that is no mistake worth a message.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        return task

    def run_in_executor(
        self,
        executor: object,  # noqa: ARG002 - asyncio's signature
        func: Callable[..., T],
        *args: object,
    ) -> asyncio.Future[T]:
        """Call it at once: there are no threads."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to who awaits it
            future.set_exception(error)
        return future

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **_options: object
    ) -> "Listener":
        """Listen on the simulated network; TLS is left out."""
        return self.network.listen(self, protocol_factory, host, port)

    def get_debug(self) -> bool:
        """Asyncio's method."""
        return False

    def is_running(self) -> bool:
        """Asyncio's method."""
        return True

    def is_closed(self) -> bool:
        """Say that there is nothing to close."""
        return True

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what asyncio would log."""
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")
