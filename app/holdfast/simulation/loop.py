"""An event loop in virtual time: one for each simulated process, turned by the world when it chooses.

Nothing sleeps and nothing is read from a socket: timers are due when the world's clock has reached them. What runs
callbacks is native.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast._native import Job, JobQueue, Turns

if TYPE_CHECKING:
    from holdfast.simulation.network import Endpoint, Listener, Network

T = TypeVar("T")


class SimulatedLoop(JobQueue, asyncio.BaseEventLoop):  # type: ignore[misc] # its jobs are no asyncio.Handle
    """The loop of one process. What a callback raises is kept in `failures`: asyncio would only log it."""

    def __init__(self, _turns: Turns, network: "Network", owner: str) -> None:
        self.network = network
        self.owner = owner
        self.endpoints: dict[Endpoint, None] = {}
        self.tasks: list[asyncio.Task[Any]] = []
        self.died_s = inf

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> Job:
        """Asyncio's method; there are no threads."""
        return self.call_soon(callback, *args, context=context)

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

    def is_running(self) -> bool:
        """Asyncio's method."""
        return True

    def is_closed(self) -> bool:
        """Say that there is nothing to close."""
        return True

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what asyncio would log."""
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")
