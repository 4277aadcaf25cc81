"""Many seeds on every core: each worker is a process that runs seed after seed."""

import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast import clock
from holdfast.invariants import Violation
from holdfast.simulation.run import Outcome, be_quiet, run_seed

SEEDS_PER_BATCH = 10
HASHES_SHOWN_MAX = 10
MEMORY_DIR = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
REPLAY = "make simulation SEED={seed} SEEDS=1"


@contextmanager
def scratch() -> Iterator[Path]:
    """Lend a directory in memory, or where temporary files go."""
    parent = MEMORY_DIR if os.access(MEMORY_DIR, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="holdfast-simulation-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_batch(seeds: range, directory: Path) -> list[Outcome]:
    """Run seeds one after the other, in a folder of this process's own."""
    own = directory / str(os.getpid())
    own.mkdir(exist_ok=True)
    outcomes = [_run(seed, own) for seed in seeds]
    gc.collect()
    return outcomes


def _run(seed: int, directory: Path) -> Outcome:
    """Run a seed; one that cannot be run to its end is broken, and the others go on."""
    try:
        return run_seed(seed, directory)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its seed
        place = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__}: {error} at {Path(place.filename).name}:{place.lineno}"
        return Outcome.broken(seed, Violation(20, "the_simulation_ends", detail))


def run_fleet(
    first_seed: int, count: int, *, jobs: int, on_progress: Callable[[int, int], None] = lambda _done, _broken: None
) -> dict[str, Any]:
    """Run seeds in `jobs` processes and return the summary."""
    started_ns = clock.monotonic_ns()
    outcomes: list[Outcome] = []
    with scratch() as directory:
        for batch in _batches(first_seed, count, jobs, directory):
            outcomes += batch
            on_progress(len(outcomes), sum(bool(outcome.violations) for outcome in outcomes))
    outcomes.sort(key=lambda outcome: outcome.seed)
    return summarise(outcomes, first_seed=first_seed, duration_s=(clock.monotonic_ns() - started_ns) / 1e9)


def _batches(first_seed: int, count: int, jobs: int, directory: Path) -> Iterator[list[Outcome]]:
    # The hash seed of text is part of the seed, and it is read at the start of a process: this one may lend what it
    # has loaded only if its own is 0.
    way = "spawn" if sys.flags.hash_randomization else "fork"
    os.environ["PYTHONHASHSEED"] = "0"
    end = first_seed + count
    ranges = [range(seed, min(seed + SEEDS_PER_BATCH, end)) for seed in range(first_seed, end, SEEDS_PER_BATCH)]
    context = multiprocessing.get_context(way)
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context, initializer=be_quiet) as pool:
        left: set[Future[list[Outcome]]] = {pool.submit(run_batch, seeds, directory) for seeds in ranges}
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def summarise(outcomes: list[Outcome], *, first_seed: int, duration_s: float) -> dict[str, Any]:
    """Return counts, faults by kind and every violation with the command that shows it again."""
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        faults.update(outcome.faults)
    violations = [
        {
            "invariant": violation.invariant,
            "name": violation.name,
            "seed": outcome.seed,
            "detail": violation.detail,
            "replay": REPLAY.format(seed=outcome.seed),
        }
        for outcome in outcomes
        for violation in outcome.violations
    ]
    return {
        "seeds": len(outcomes),
        "first_seed": first_seed,
        "orders": sum(outcome.orders for outcome in outcomes),
        "fills": sum(outcome.fills for outcome in outcomes),
        "simulated_s": round(sum(outcome.simulated_s for outcome in outcomes), 1),
        "duration_s": round(duration_s, 2),
        "faults": dict(sorted(faults.items())),
        "violations": violations,
        "event_hashes": {str(outcome.seed): outcome.event_hash for outcome in outcomes[:HASHES_SHOWN_MAX]},
        "ok": not violations,
    }
