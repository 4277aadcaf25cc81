"""One journal hop, from append to the record in the reader's hands: spinning, sleeping, on one core; pyzmq as peer.

Both ends are processes. A round trip is two hops through two journals; a hop is half of it. The budgets are for the
hop of the native loops; what a hop costs between two Python loops stands beside it, as pyzmq's does.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import zmq

from holdfast import clock
from holdfast._native import (
    JournalName,
    JournalReader,
    JournalWriter,
    Quote,
    echo_hops,
    measure_hops_ns,
    wait_any,
)
from holdfast.bench import BenchResult
from holdfast.errors import OperatingError

NAME = "journal-hop"
SPIN_US = 1_000
WAIT_S = 5.0
ROUNDS = 20_000
ROUNDS_QUICK = 2_000
SPINNING_BUDGET_US = 0.3
SAME_CORE_BUDGET_US = 4.0
STOP = b"stop"

# Processes start afresh, so that no thread of this one is forked.
_processes = multiprocessing.get_context("spawn")


def run(*, quick: bool) -> list[BenchResult]:
    """Measure the median hop in each way of waiting, in microseconds."""
    rounds = ROUNDS_QUICK if quick else ROUNDS
    cores = sorted(os.sched_getaffinity(0))
    ends = (cores[0], cores[-1])
    peer = _measure(_zmq_echo, _zmq_rounds, rounds, ends)
    peer_same = _measure(_zmq_echo, _zmq_rounds, rounds, (cores[0], cores[0]))
    same = (cores[0], cores[0])
    spinning = _measure_native(rounds, ends, is_spinning=True)
    blocking = _measure_native(rounds, ends, is_spinning=False)
    same_core = _measure_native(rounds, same, is_spinning=False)
    python_spinning = _measure(_spinning_echo, _spinning_rounds, rounds, ends)
    python_same_core = _measure(_blocking_echo, _blocking_rounds, rounds, same)
    return [
        _result("hop_spinning_p50", spinning, SPINNING_BUDGET_US, peer),
        _result("hop_blocking_p50", blocking, None, peer),
        _result("hop_same_core_p50", same_core, SAME_CORE_BUDGET_US, peer_same),
        _result("hop_spinning_from_python_p50", python_spinning, None, peer),
        _result("hop_same_core_from_python_p50", python_same_core, None, peer_same),
    ]


def _result(metric: str, ours: float, budget: float | None, peer: float) -> BenchResult:
    met = None if budget is None else ours <= budget
    return BenchResult(
        bench=NAME, metric=metric, unit="us", ours=ours, budget=budget, peer=peer, peer_name="pyzmq ipc", met=met
    )


def _measure_native(rounds: int, cores: tuple[int, int], *, is_spinning: bool) -> float:
    echo = partial(_native_echo, rounds=rounds, is_spinning=is_spinning)
    return _measure(echo, partial(_native_rounds, is_spinning=is_spinning), rounds, cores)


def _measure(
    echo: Callable[[str], None], rounds_of: Callable[[str, int], list[int]], rounds: int, cores: tuple[int, int]
) -> float:
    """Return the median hop of `rounds` round trips, us; this process and the echo run on the given cores."""
    before = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        os.sched_setaffinity(0, {cores[1]})
        process = _processes.Process(target=echo, args=(folder,), daemon=True)
        process.start()
        os.sched_setaffinity(0, {cores[0]})
        try:
            trips_ns = rounds_of(folder, rounds)
        finally:
            os.sched_setaffinity(0, before)
            process.join(WAIT_S)
            if process.is_alive():
                process.kill()
    return round(median(trips_ns[len(trips_ns) // 10 :]) / 2_000, 3)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a fresh directory inside it


def _writer(folder: str, name: JournalName) -> JournalWriter:
    return JournalWriter(str(Path(folder) / name.label), name, now_ns=clock.now_ns())


def _reader(folder: str, name: JournalName, spin_us: int) -> JournalReader:
    return JournalReader(str(Path(folder) / name.label), spin_us=spin_us, wait_s=WAIT_S)


def _rounds(folder: str, rounds: int, spin_us: int) -> list[int]:
    """Write a record, wait for its echo; return the time of each round trip, ns."""
    record = Quote(symbol="IBM")
    trips_ns = []
    with _writer(folder, JournalName.SIGNALS) as writer:
        reader = _reader(folder, JournalName.ORDERS, spin_us)
        for number in range(rounds + 1):
            started_ns = clock.monotonic_ns()
            writer.append(record, ts_ns=1 if number < rounds else 0)
            while (echo := reader.read_one()) is None:
                if spin_us == 0:
                    wait_any([reader], WAIT_S)
            trips_ns.append(clock.monotonic_ns() - started_ns)
            assert echo.seq == number + 1
    return trips_ns


def _echo(folder: str, spin_us: int) -> None:
    """Answer each record with a record, until one has the time 0."""
    record = Quote(symbol="IBM")
    with _writer(folder, JournalName.ORDERS) as writer:
        reader = _reader(folder, JournalName.SIGNALS, spin_us)
        while True:
            asked = reader.read_one()
            if asked is None:
                if spin_us == 0:
                    wait_any([reader], WAIT_S)
                continue
            writer.append(record, ts_ns=1)
            if asked.ts_ns == 0:
                return


def _spinning_rounds(folder: str, rounds: int) -> list[int]:
    return _rounds(folder, rounds, SPIN_US)


def _spinning_echo(folder: str) -> None:
    _echo(folder, SPIN_US)


def _blocking_rounds(folder: str, rounds: int) -> list[int]:
    return _rounds(folder, rounds, 0)


def _blocking_echo(folder: str) -> None:
    _echo(folder, 0)


def _native_rounds(folder: str, rounds: int, *, is_spinning: bool) -> list[int]:
    writer = _writer(folder, JournalName.SIGNALS)
    reader = _reader(folder, JournalName.ORDERS, 0)
    trips_ns = measure_hops_ns(writer, reader, rounds, is_spinning=is_spinning)
    if len(trips_ns) != rounds:
        raise OperatingError(f"{len(trips_ns)} of {rounds} records came back: the other end stopped")
    return trips_ns


def _native_echo(folder: str, *, rounds: int, is_spinning: bool) -> None:
    writer = _writer(folder, JournalName.ORDERS)
    echo_hops(writer, _reader(folder, JournalName.SIGNALS, 0), rounds, is_spinning=is_spinning)


def _zmq_rounds(folder: str, rounds: int) -> list[int]:
    trips_ns = []
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.linger = 0
        socket.rcvtimeo = int(WAIT_S * 1_000)
        socket.bind(f"ipc://{folder}/hop")
        payload = bytes(112)
        for _ in range(rounds):
            started_ns = clock.monotonic_ns()
            socket.send(payload)
            socket.recv()
            trips_ns.append(clock.monotonic_ns() - started_ns)
        socket.send(STOP)
        socket.recv()
    return trips_ns


def _zmq_echo(folder: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.connect(f"ipc://{folder}/hop")
        while True:
            message = socket.recv()
            socket.send(message)
            if message == STOP:
                return
