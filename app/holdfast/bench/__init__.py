"""Benchmarks: one module each with NAME and `run(*, quick)`; never timed tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """One measured figure beside its budget and, where there is one, the peer measured in the same run."""

    bench: str
    metric: str
    unit: str
    ours: float
    budget: float | None
    peer: float | None
    peer_name: str
    met: bool | None
