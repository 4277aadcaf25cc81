#!/usr/bin/python3
"""cpus.py choose | apply | check: which cores trade, and that nothing else disturbs them. One JSON object.

`choose` looks at the topology: with fewer than eight cores the last one is for all services of the pipeline, from eight up each
has one; both threads of a core count as one, and the first core always belongs to the system. `apply` moves interrupts and the
kernel's work to the other cores, keeps the hot ones awake, gives them to the pipeline's slice alone, and lets memory be huge only
where asked; `check` says what is not so.
Installed as /usr/local/lib/holdfast/cpus.py.
"""

import contextlib
import json
import sys
from pathlib import Path

PIPELINE = ("market-data", "signal-bridge", "risk-manager", "execution-engine")
CORES_FOR_ONE_EACH = 8
CPUS = Path("/sys/devices/system/cpu")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PARTITION = Path("/sys/fs/cgroup/pipeline.slice/cpuset.cpus.partition")
WORKQUEUES = Path("/sys/devices/virtual/workqueue/cpumask")


def numbers(text: str) -> list[int]:
    """Read a list like 0-2,5."""
    found = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def written(cpus: list[int]) -> str:
    return ",".join(map(str, cpus))


def cores(root: Path = CPUS) -> list[list[int]]:
    """Return the threads of each physical core, in order."""
    found = {}
    for cpu in numbers((root / "online").read_text()):
        siblings = root / f"cpu{cpu}/topology/thread_siblings_list"
        threads = numbers(siblings.read_text()) if siblings.exists() else [cpu]
        found[threads[0]] = threads
    return [found[first] for first in sorted(found)]


def choose(root: Path = CPUS) -> dict[str, object]:
    """Return the cpu of each service of the pipeline, the hot ones, and those of everything else."""
    known = cores(root)
    if len(known) < 2:
        sys.exit(f"cpus: expected at least 2 cores, found {len(known)}: trading needs one that nothing else uses; take a larger host")
    each = len(known) >= CORES_FOR_ONE_EACH
    hot = known[-len(PIPELINE) :] if each else known[-1:]
    services = {name: hot[index if each else 0][0] for index, name in enumerate(PIPELINE)}
    taken = [cpu for threads in hot for cpu in threads]
    others = [cpu for threads in known for cpu in threads if cpu not in taken]
    return {
        "services": services,
        "hot": written(sorted(taken)),
        "others": written(sorted(others)),
        "spins": each,
    }


def mask(cpus: list[int]) -> str:
    return f"{sum(1 << cpu for cpu in cpus):x}"


def wishes(others: list[int], hot: list[int]) -> list[tuple[Path, str]]:
    """Return the files of the kernel and what they should hold."""
    found = [(file, written(others)) for file in sorted(Path("/proc/irq").glob("*/smp_affinity_list"))]
    found.append((WORKQUEUES, mask(others)))
    found.append((HUGE_PAGES, "madvise"))
    found.append((PARTITION, "isolated"))
    for cpu in hot:
        for state in sorted((CPUS / f"cpu{cpu}/cpuidle").glob("state*")):
            # What takes longer than 10 us to wake from costs more than it saves.
            if int((state / "latency").read_text()) > 10:
                found.append((state / "disable", "1"))
    return [(file, text) for file, text in found if file.exists()]


def apply(others: list[int], hot: list[int]) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/irq/default_smp_affinity").write_text(mask(others))
    for file, text in wishes(others, hot):
        # Interrupts that a driver manages itself refuse.
        with contextlib.suppress(OSError):
            file.write_text(text)


def is_managed(file: Path) -> bool:
    """Say whether the kernel alone places an interrupt: it refuses even the place where the interrupt is."""
    try:
        file.write_text(file.read_text())
    except OSError:
        return True
    return False


def disturbances(others: list[int], hot: list[int]) -> list[str]:
    """Return what still happens on a hot core though it could be moved."""
    found = []
    for file, text in wishes(others, hot):
        now = file.read_text().strip()
        if file.name == "smp_affinity_list":
            # Where it goes follows where it may go when it next comes: one that never comes stays where it was. One that
            # cannot be moved comes to a hot core only for what that core itself asked of the device.
            effective = file.with_name("effective_affinity_list")
            goes = effective.read_text().strip() if effective.exists() else now
            is_so = any(not set(numbers(cpus)) & set(hot) for cpus in (now, goes) if cpus) or is_managed(file)
        elif file == HUGE_PAGES:
            is_so = f"[{text}]" in now
        elif file == PARTITION:
            is_so = now == text
        else:
            is_so = int(now.replace(",", ""), 16) == int(text, 16)
        if not is_so:
            found.append(f"{file}: expected {text}, found {now}")
    return found


def main() -> int:
    chosen = choose()
    others, hot = numbers(str(chosen["others"])), numbers(str(chosen["hot"]))
    if sys.argv[1:] == ["apply"]:
        apply(others, hot)
    if sys.argv[1:] == ["check"]:
        chosen["disturbances"] = disturbances(others, hot)
    print(json.dumps(chosen))
    return 1 if chosen.get("disturbances") else 0


if __name__ == "__main__":
    sys.exit(main())
