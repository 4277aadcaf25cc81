"""The only module that reads a clock."""

import datetime as dt
import time


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
