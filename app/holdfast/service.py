"""The frame of a service: logs, metrics port, readiness, watchdog, clean stop.

A service is `async def run(frame: Frame) -> None`. It calls `frame.ready()` once it works and returns, or is
cancelled, when `frame.stopping` is set. Any exception that leaves it ends the process: recovery is a start.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import uvloop
from prometheus_client import start_http_server

from holdfast import clock
from holdfast._native import Edge, JournalNotifier, JournalReader
from holdfast.errors import ConfigError
from holdfast.journals import build_hash
from holdfast.logs import configure_logs, get_logger
from holdfast.metrics import RELEASE, SERVICE_UP
from holdfast.settings import Settings

WATCHDOG_INTERVAL_S = 1.0
STOP_TIMEOUT_S = 10.0

log = get_logger()


class Loop(Protocol):
    """A loop that has a thread of its own, or is turned by whoever waits for its inputs."""

    def run(self) -> None:
        """Turn until `stop`."""

    def stop(self) -> None:
        """End `run`; from any thread."""

    def turn(self, now_ns: int) -> bool:
        """Take what is there at a time; say whether there was anything."""


class SendingEdge(Protocol):
    """What ends connections at a deadline; the native Edge is one."""

    @property
    def is_open(self) -> bool:
        """Whether bytes may leave now."""

    @property
    def deadline_ns(self) -> int:
        """The deadline, ns of the boot clock."""

    def arm(self, deadline_ns: int) -> None:
        """Set the deadline."""

    def admit(self, descriptor: int) -> int | None:
        """Put a connected socket under the edge; return its place, or None when the edge is closed."""

    def release(self, place: int) -> None:
        """Forget an admitted socket."""

    def close(self) -> None:
        """Cut every admitted socket."""


class Claim(Protocol):
    """A name that one process of the machine has, until it closes it or dies."""

    def close(self) -> None:
        """Give the name back."""


class Host:
    """What a service takes from its machine besides clock, files and sockets; a simulation gives it another."""

    def edge(self) -> SendingEdge:
        """Make the edge that the calling thread's connections pass."""
        return Edge()

    def claim(self, name: str) -> Claim | None:
        """Take a name, or nothing while another process has it: the kernel frees it at that one's death."""
        claimed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claimed.bind(f"\0holdfast-{name}")
        except OSError:
            claimed.close()
            return None
        return claimed

    def keep_what_start_made(self) -> None:
        """Exempt all objects from collections: one in the middle of an order must not walk them again."""
        gc.collect()
        gc.freeze()

    async def run_loop(self, loop: Loop, settings: Settings, inputs: Sequence[str]) -> None:  # noqa: ARG002
        """Run a loop until it is stopped; `inputs` names the journals it waits for."""
        await asyncio.to_thread(loop.run)

    async def follow(self, reader: JournalReader, on_records: Callable[[], None]) -> None:
        """Call `on_records` now and whenever there is something to read, until cancelled.

        Raises: whatever `on_records` raises.
        """
        eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        notifier = JournalNotifier([reader], eventfd)
        loop = asyncio.get_running_loop()
        failure: asyncio.Future[None] = loop.create_future()

        def on_event() -> None:
            try:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(eventfd)
                on_records()
                notifier.arm()
            except Exception as error:  # noqa: BLE001 - the loop would only log it; raised below
                if not failure.done():
                    failure.set_exception(error)

        loop.add_reader(eventfd, on_event)
        try:
            on_event()
            await failure
        finally:
            loop.remove_reader(eventfd)
            notifier.close()
            os.close(eventfd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a service is given: its settings, its name, its machine and the event that asks it to stop."""

    name: str
    settings: Settings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    host: Host = field(default_factory=Host)

    def ready(self) -> None:
        """Say that the service works, and move to its cores; systemd and the demo wait for it."""
        self.host.keep_what_start_made()
        _pin(self.settings.services.of(self.name).cpus)
        SERVICE_UP.labels(service=self.name).set(1)
        RELEASE.labels(build_hash=f"{build_hash():x}", config_hash=f"{self.settings.config_hash:x}").set(1)
        notify("READY=1")
        log.info("service_ready", service=self.name)

    def stand_by(self, detail: str) -> None:
        """Say what is waited for, for as long as it takes: a start that stands by has not failed."""
        SERVICE_UP.labels(service=self.name).set(0)
        notify(f"READY=1\nSTATUS=standing by: {detail}")


Error = TypeVar("Error", bound=BaseException)
Service = Callable[[Frame], Awaitable[None]]


def _pin(cpus: tuple[int, ...]) -> None:
    """Keep every thread of this process on `cpus`; only once it is ready, since start-up is quicker on all cores."""
    if not cpus:
        return
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cpus)


def notify(message: str) -> None:
    """Send one sd_notify message; nothing happens without a service manager."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(message.encode())


async def _watch(frame: Frame) -> None:
    """Ping the service manager as long as the event loop turns."""
    while not frame.stopping.is_set():
        notify("WATCHDOG=1")
        try:
            await asyncio.wait_for(frame.stopping.wait(), WATCHDOG_INTERVAL_S)
        except TimeoutError:
            continue


async def _supervise(frame: Frame, service: Service) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, frame.stopping.set)
    work = asyncio.ensure_future(service(frame))
    watch = asyncio.create_task(_watch(frame))
    stopping = asyncio.create_task(frame.stopping.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    notify("STOPPING=1")
    frame.stopping.set()
    await watch
    stopping.cancel()
    if not work.done():
        await asyncio.wait({work}, timeout=STOP_TIMEOUT_S)
    if not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=STOP_TIMEOUT_S)
    if not work.cancelled():
        work.result()


def _first_leaf(group: BaseExceptionGroup[BaseException], kind: type[Error]) -> Error | None:
    """Return the first error of a kind inside a group of errors."""
    for error in group.exceptions:
        found = _first_leaf(error, kind) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, kind):
            return found
    return None


def run_service(name: str, settings: Settings, service: Service) -> None:
    """Run a service in this process until SIGTERM, SIGINT or its failure.

    Raises: whatever the service raises; the process must end then.
    """
    configure_logs(settings.log_level, service=name)
    started_ns = clock.monotonic_ns()
    own = settings.services.of(name)
    start_http_server(own.metrics_port, addr=settings.metrics_address)
    log.info("service_started", pid=os.getpid(), metrics_port=own.metrics_port)
    frame = Frame(name=name, settings=settings)
    try:
        uvloop.run(_supervise(frame, service))
    except BaseExceptionGroup as group:
        # A task group wraps what its tasks raise; the exit code depends on the error itself.
        configuration = _first_leaf(group, ConfigError)
        if configuration is None:
            raise
        raise configuration from None
    log.info("service_stopped", duration_ms=(clock.monotonic_ns() - started_ns) // 1_000_000)
