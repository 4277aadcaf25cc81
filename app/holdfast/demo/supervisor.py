"""Starting the processes of the demo, waiting for their readiness, restarting what dies: systemd's part."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from holdfast import clock
from holdfast.errors import EXIT_CONFIG, OperatingError

RESTART_DELAY_S = 0.2
RESTARTS_MAX = 20
STOP_TIMEOUT_S = 15.0
POLL_INTERVAL_S = 0.05
PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Adopt orphaned grandchildren, so that nothing a demo started can outlive it unseen."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Process(Protocol):
    """What the supervisor needs of a child; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""

    def wait(self) -> int:
        """Wait for the end and return the exit code."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


Launch = Callable[[list[str], Mapping[str, str], IO[bytes]], Process]


def execute(arguments: list[str], environment: Mapping[str, str], log_file: IO[bytes]) -> Process:
    """Execute `holdfast ARGUMENTS` as a child that dies with this process, its output into a file."""
    return subprocess.Popen(
        holdfast_command(*arguments),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log_file,
        stderr=subprocess.STDOUT,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - the demo starts no threads before its children
    )


@dataclass(slots=True, kw_only=True)
class Unit:
    """One supervised `holdfast ARGUMENTS`: what to run, and how it fares."""

    name: str
    arguments: list[str]
    log_file: Path
    is_restarted: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    process: Process | None = None
    restarts: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    started_ns: int = 0
    ready_ns: int = 0
    is_stopping: bool = False
    failure: str = ""

    @property
    def pid(self) -> int:
        """Return the process id, 0 when none runs."""
        return self.process.pid if self.process and self.process.poll() is None else 0

    @property
    def is_up(self) -> bool:
        """Whether a process runs and said that it is ready: the word of one that died since counts no more."""
        return self.ready.is_set() and bool(self.pid)


class Supervisor:
    """Runs units: readiness by sd_notify, restart on death, SIGTERM then SIGKILL at the end."""

    def __init__(self, run_dir: Path, launch: Launch = execute) -> None:
        self._launch = launch
        self.units: dict[str, Unit] = {}
        self._run_dir = run_dir
        self._sockets: dict[str, socket.socket] = {}
        self._logs: dict[str, IO[bytes]] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        run_dir.mkdir(parents=True, exist_ok=True)

    def start(self, unit: Unit) -> None:
        """Start a unit and watch it from now on."""
        self.units[unit.name] = unit
        self._logs[unit.name] = unit.log_file.open("ab")
        path = self._run_dir / f"{unit.name}.notify"
        path.unlink(missing_ok=True)
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        receiver.bind(str(path))
        self._sockets[unit.name] = receiver
        asyncio.get_running_loop().add_reader(receiver, self._on_notify, unit, receiver)
        self._spawn(unit)
        self._watchers[unit.name] = asyncio.create_task(self._watch(unit), name=f"watch {unit.name}")

    async def wait_ready(self, names: list[str], timeout_s: float) -> None:
        """Wait until every named unit said READY=1.

        Raises: OperatingError naming the units that did not, with the end of their logs.
        """
        deadline_s = clock.monotonic_s() + timeout_s
        while late := [name for name in names if not self.units[name].is_up]:
            failed = [unit for unit in self.units.values() if unit.failure]
            if failed:
                raise OperatingError("; ".join(f"{unit.name} {unit.failure}" for unit in failed))
            if clock.monotonic_s() > deadline_s:
                tails = "\n".join(f"--- {name}\n{self._log_tail(name)}" for name in late)
                raise OperatingError(f"not ready after {timeout_s:.0f} s: {', '.join(late)}\n{tails}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.units[late[0]].ready.wait(), POLL_INTERVAL_S)

    async def stop(self, name: str) -> None:
        """Ask a unit to end, wait for it, kill it when it does not."""
        unit = self.units[name]
        unit.is_stopping = True
        process = unit.process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await _exit_code(process)
            except TimeoutError:
                process.kill()
                await _exit_code(process)
        watcher = self._watchers.pop(name, None)
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        receiver = self._sockets.pop(name, None)
        if receiver is not None:
            asyncio.get_running_loop().remove_reader(receiver)
            receiver.close()
        log_file = self._logs.pop(name, None)
        if log_file is not None:
            log_file.close()

    async def stop_all(self, *, except_for: str = "") -> None:
        """Stop every unit that still runs, all at once, except for one."""
        await asyncio.gather(*(self.stop(name) for name in list(self._watchers) if name != except_for))

    def _spawn(self, unit: Unit) -> None:
        unit.ready.clear()
        unit.started_ns = clock.monotonic_ns()
        environment = {**os.environ, **unit.environment, "NOTIFY_SOCKET": str(self._run_dir / f"{unit.name}.notify")}
        unit.process = self._launch(unit.arguments, environment, self._logs[unit.name])

    def _on_notify(self, unit: Unit, receiver: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while message := receiver.recv(4096):
                if b"READY=1" in message and not unit.ready.is_set():
                    unit.ready_ns = clock.monotonic_ns()
                    unit.ready.set()

    async def _watch(self, unit: Unit) -> None:
        while not unit.is_stopping:
            assert unit.process is not None
            code = await _exit_code(unit.process)
            unit.ready.clear()
            if unit.is_stopping:
                return
            if code == EXIT_CONFIG or not unit.is_restarted or unit.restarts >= RESTARTS_MAX:
                unit.failure = f"ended with {code}: {self._log_tail(unit.name)}"
                return
            unit.restarts += 1
            await asyncio.sleep(RESTART_DELAY_S)
            self._spawn(unit)

    def _log_tail(self, name: str) -> str:
        lines = self.units[name].log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-8:])


async def _exit_code(process: Process) -> int:
    """Wait for the end of a process without holding a thread."""
    if process.poll() is None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        handle = os.pidfd_open(process.pid)
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
    return process.wait()


def holdfast_command(*arguments: str) -> list[str]:
    """Return the command line of `holdfast ARGUMENTS` with this interpreter."""
    return [sys.executable, "-m", "holdfast", *arguments]


def proportional_set_bytes(pid: int) -> int:
    """Return a process's memory with pages shared between processes counted once (PSS), bytes; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
