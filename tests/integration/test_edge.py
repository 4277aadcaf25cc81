"""Nothing leaves past a lease's end, wherever the process was stopped: against the kernel itself."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from holdfast._native import Edge, JournalError
from patience import PATIENCE_S

LEASE_NS = 300_000_000
CUT = "Broken pipe|Connection reset|not connected"

# Stops itself exactly between the check and the write.
STOPPED_IN_THE_GAP = """
import os, signal, socket, sys
from holdfast._native import Edge
edge = Edge()
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
edge.arm(Edge.now_ns() + int(sys.argv[2]))
assert edge.admit(peer.fileno()) is not None
peer.sendall(b"early ")
if edge.is_open:
    if sys.argv[3] == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        peer.sendall(b"late")
    except OSError as error:
        print(error.errno)
peer.close()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


def received(connection: socket.socket) -> bytes:
    """Read until the end of the connection, polite or not."""
    whole = b""
    try:
        while piece := connection.recv(4096):
            whole += piece
    except ConnectionResetError:
        pass
    return whole


def wait_past(deadline_ns: int) -> None:
    threading.Event().wait(max(deadline_ns - Edge.now_ns(), 0) / 1e9 + 0.05)


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_process_stopped_between_check_and_write_past_the_deadline_sends_nothing(
    listener: socket.socket, is_stopped: bool
) -> None:
    port = str(listener.getsockname()[1])
    arguments = [sys.executable, "-c", STOPPED_IN_THE_GAP, port, str(LEASE_NS), "stop" if is_stopped else "go"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        connection, _ = listener.accept()
        with connection:
            if is_stopped:
                assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
                wait_past(Edge.now_ns() + LEASE_NS)
                child.send_signal(signal.SIGCONT)
            assert received(connection) == (b"early " if is_stopped else b"early late")
        assert child.stdout is not None
        assert bool(child.stdout.read()) == is_stopped


def test_the_deadline_cuts_an_admitted_socket_and_admits_no_other(listener: socket.socket) -> None:
    edge = Edge()
    with (
        socket.create_connection(listener.getsockname()) as one,
        socket.create_connection(listener.getsockname()) as two,
    ):
        assert edge.admit(one.fileno()) is None
        assert not edge.is_open
    with (
        socket.create_connection(listener.getsockname()) as one,
        socket.create_connection(listener.getsockname()) as two,
    ):
        deadline_ns = Edge.now_ns() + LEASE_NS
        edge.arm(deadline_ns)
        assert edge.admit(one.fileno()) == 0
        one.sendall(b"x")
        wait_past(deadline_ns)
        assert not edge.is_open
        with pytest.raises(OSError, match=CUT):
            one.sendall(b"x")
        assert edge.admit(two.fileno()) is None
        with pytest.raises(OSError, match=CUT):
            two.sendall(b"x")


def test_a_longer_deadline_keeps_the_sockets(listener: socket.socket) -> None:
    edge = Edge()
    with socket.create_connection(listener.getsockname()) as one:
        first_ns = Edge.now_ns() + LEASE_NS
        edge.arm(first_ns)
        place = edge.admit(one.fileno())
        edge.arm(first_ns + 60 * 1_000_000_000)
        wait_past(first_ns)
        one.sendall(b"x")
        edge.close()
        with pytest.raises(OSError, match=CUT):
            one.sendall(b"x")
        assert place is not None
        edge.release(place)


def test_bytes_that_the_kernel_has_queued_do_not_leave_after_the_deadline(listener: socket.socket) -> None:
    """A peer that reads nothing leaves bytes in our queue: they are forgotten, not sent later."""
    edge = Edge()
    with socket.create_connection(listener.getsockname()) as one:
        connection, _ = listener.accept()
        deadline_ns = Edge.now_ns() + LEASE_NS
        edge.arm(deadline_ns)
        edge.admit(one.fileno())
        one.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += one.send(b"x" * 65536)
        wait_past(deadline_ns)
        with connection:
            assert len(received(connection)) < sent


def test_more_sockets_than_places_are_refused(listener: socket.socket) -> None:
    edge = Edge()
    edge.arm(Edge.now_ns() + 60 * 1_000_000_000)
    with socket.create_connection(listener.getsockname()) as one:
        places = [edge.admit(one.fileno()) for _ in range(64)]
        assert places == list(range(64))
        with pytest.raises(JournalError, match="64 are admitted"):
            edge.admit(one.fileno())
        edge.release(7)
        assert edge.admit(one.fileno()) == 7
