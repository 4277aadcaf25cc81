"""A process that has imported everything and only forks: a run's processes start without paying for imports again.

    campaign -- arguments, environment, log file --> template -- forks twice --> service, a child of the campaign

What is forked runs the same command line in a process of its own, and is the campaign's child, as if the campaign had
started it. The template has one thread and holds no state of a run.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict

from holdfast import crash_points
from holdfast.errors import OperatingError
from holdfast.settings.schema import SERVICES

IMPORTED = ("holdfast.cli._root", "holdfast.cli.venue", "holdfast.gateway.app", "holdfast.strategies.api")
ANSWER_TIMEOUT_S = 60.0
REQUEST_BYTES_MAX = 65_536
PR_SET_PDEATHSIG = 1


class Request(TypedDict):
    """What to start; the log file comes beside it."""

    arguments: list[str]
    environment: dict[str, str]


@dataclass(slots=True)
class Child:
    """A forked process, as `subprocess.Popen` would show it."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        code = self._reap(0)
        assert code is not None
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Template:
    """The campaign's end of it. The campaign must be a subreaper, or what is forked would not be its child."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "holdfast.campaign.template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def spawn(self, arguments: list[str], environment: Mapping[str, str], log_file: IO[bytes]) -> Child:
        """Start `holdfast ARGUMENTS`, its output into a file.

        Raises: OperatingError when the template is gone.
        """
        request = Request(arguments=arguments, environment=dict(environment))
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [log_file.fileno()])
            answer = self._socket.recv(64)
        except OSError as error:
            raise OperatingError(f"the campaign's template process does not answer: {error}") from error
        if not answer:
            raise OperatingError("the campaign's template process ended: its errors are above")
        return Child(int(answer))

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


def serve(client: socket.socket) -> Request | None:
    """Fork for each request; return None when the campaign is gone, and in each forked process what it is to be."""
    campaign = os.getppid()
    while True:
        message, files, _, _ = socket.recv_fds(client, REQUEST_BYTES_MAX, 1)
        if not message:
            return None
        request: Request = json.loads(message)
        reading, writing = os.pipe()
        middle = os.fork()
        if middle == 0:
            own = os.getpid()
            child = os.fork()
            if child:
                os.write(writing, str(child).encode())
                os._exit(0)
            client.close()
            _become(request, files[0], middle=own, campaign=campaign)
            os.close(reading)
            os.close(writing)
            return request
        os.waitpid(middle, 0)
        client.send(os.read(reading, 64))
        for number in (reading, writing, files[0]):
            os.close(number)


def _become(request: Request, log_file: int, *, middle: int, campaign: int) -> None:
    """Be what an executed process would be: environment, output, death with the campaign, dice of its own."""
    while os.getppid() == middle:
        os.sched_yield()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != campaign:
        os._exit(1)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    os.close(log_file)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["holdfast", *request["arguments"]]
    # It reads its variable when it is imported.
    importlib.reload(crash_points)


def _import_everything() -> None:
    for name in (*IMPORTED, *(f"holdfast.services.{service.replace('-', '_')}" for service in SERVICES)):
        importlib.import_module(name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "expected one thread: a fork would lose the others"
    gc.collect()
    gc.freeze()


def run() -> None:
    """Be the template; in what it forked, `python -m holdfast`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_everything()
    with contextlib.closing(socket.socket(fileno=int(sys.argv[1]))) as client:
        request = serve(client)
    if request is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        runpy.run_module("holdfast", run_name="__main__")


if __name__ == "__main__":
    run()
