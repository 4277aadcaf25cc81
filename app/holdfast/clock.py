"""The only module that reads a clock."""

import datetime as dt
import time
from collections.abc import Callable


def install(*, wall_ns: Callable[[], int], steady_ns: Callable[[], int], steady_s: Callable[[], float]) -> None:
    """Let this process live by other clocks, those of a simulation; call it before anything reads one."""
    names = globals()
    names["now_ns"], names["monotonic_ns"] = wall_ns, steady_ns
    names["monotonic_s"] = steady_s
    names["now_utc"] = lambda: dt.datetime.fromtimestamp(wall_ns() / 1e9, dt.UTC)


def now_ns() -> int:
    """Return the host's wall clock, ns UTC: for stamps."""
    return time.time_ns()


def now_utc() -> dt.datetime:
    """Return the host's wall clock as a date and time in UTC: for certificates and reports."""
    return dt.datetime.now(dt.UTC)


def monotonic_ns() -> int:
    """Return a clock that never steps back, ns: for durations and deadlines."""
    return time.monotonic_ns()


def processor_ns() -> int:
    """Return the processor time that this process has used, ns: for benchmarks."""
    return time.process_time_ns()


def monotonic_s() -> float:
    """Return a clock that never steps back, seconds: for timeouts given to libraries."""
    return time.monotonic()


def thread_ns() -> int:
    """Return the processor time of the calling thread, ns: for benchmarks on a host that others use too."""
    return time.thread_time_ns()
