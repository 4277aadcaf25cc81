"""What was seen in the virtual machine against what must be so; each proof is a pure function of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

Seen = dict[str, Any]
# A core that is kept free still runs the kernel's own timers, never a program.
BUSY_SHARE_MAX = 0.02


@dataclass(frozen=True)
class Proof:
    """One thing that a container does not enforce: what must be so, what was so."""

    expected: str
    seen: str
    ok: bool


@dataclass(frozen=True)
class Wish:
    """What the machine was told to be: its hot cores, all the others, the kernel's settings."""

    hot: list[int]
    others: list[int]
    settings: dict[str, str]


def numbers(text: str) -> set[int]:
    """Read a list of processors like 0-2,5."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def listed(cpus: list[int] | set[int]) -> str:
    """Write processors as the kernel does where no two are neighbours."""
    return ",".join(map(str, sorted(cpus)))


def command_line(seen: Seen, wish: Wish) -> Proof:
    """The kernel was booted with what the role wrote for the boot loader."""
    hot, others = listed(wish.hot), listed(wish.others)
    words = [f"isolcpus=managed_irq,domain,{hot}", f"nohz_full={hot}", f"rcu_nocbs={hot}", f"irqaffinity={others}"]
    found = [
        word for word in seen["command_line"].split() if word.partition("=")[0] in {w.partition("=")[0] for w in words}
    ]
    return Proof(" ".join(words), " ".join(found), all(word in found for word in words))


def isolated(seen: Seen, wish: Wish) -> Proof:
    """The scheduler leaves the hot cores out, and they need no timer."""
    found = f"isolated {seen['isolated'] or 'none'}, without ticks {seen['tickless'] or 'none'}"
    is_so = numbers(seen["isolated"]) == set(wish.hot) == numbers(seen["tickless"])
    return Proof(f"isolated {listed(wish.hot)}, without ticks {listed(wish.hot)}", found, is_so)


def no_ordinary_task(seen: Seen, wish: Wish) -> Proof:
    """No program outside of the pipeline may use a hot core; the kernel's own threads of a core cannot move."""
    hot = set(wish.hot)
    ordinary = [
        task
        for task in seen["load"]["tasks"]
        if not task["is_kernel"] and not task["group"].startswith("/pipeline.slice")
    ]
    strangers = [task for task in ordinary if task["last_on"] in hot or numbers(task["allowed"]) & hot]
    names = sorted({f"{task['name']} on {task['last_on']}, allowed {task['allowed']}" for task in strangers})
    return Proof(
        f"0 ordinary threads on or allowed on {listed(hot)}",
        f"{len(strangers)} of {len(ordinary)}{': ' if names else ''}{'; '.join(names[:5])}",
        bool(ordinary) and not strangers,
    )


def quiet_under_load(seen: Seen, wish: Wish) -> Proof:
    """With more busy programs than processors the others are full and the hot ones idle."""
    jiffies = seen["load"]["busy_jiffies"]
    most = max(jiffies[cpu] for cpu in wish.others)
    share = max(jiffies[cpu] for cpu in wish.hot) / most if most else 1.0
    found = ", ".join(f"cpu{cpu} {jiffies[cpu]}" for cpu in range(len(jiffies)))
    return Proof(
        f"hot at most {BUSY_SHARE_MAX:.0%} of the busiest", f"jiffies of programs: {found}", share <= BUSY_SHARE_MAX
    )


def interrupts(seen: Seen, wish: Wish) -> Proof:
    """Interrupts that can be moved go to the others; while disk and network worked, none at all came to a hot core."""
    hot = set(wish.hot)
    devices = seen["load"]["interrupts"]
    strays = [
        f"{each['irq']} {each['name']}: goes to {each['effective']}, {sum(each['new'][cpu] for cpu in hot)} came"
        for each in devices
        if (numbers(each["effective"] or each["allowed"]) & hot and not each["is_managed"])
        or sum(each["new"][cpu] for cpu in hot)
    ]
    total = sum(sum(each["new"]) for each in devices)
    found = "; ".join([f"{len(devices)} interrupts of devices came {total} times, astray: {len(strays)}", *strays[:5]])
    return Proof(f"some came, none to {listed(hot)}", found, total > 0 and not strays)


def balancer(seen: Seen, _: Wish) -> Proof:
    """Nothing moves interrupts back: the image has irqbalance, the role bans it."""
    found = f"{seen['balancer']}, {seen['balancer_runs']} running"
    return Proof("masked, 0 running", found, found == "masked, 0 running")


def slice_holds(seen: Seen, wish: Wish) -> Proof:
    """AllowedCPUs of the pipeline's slice wins over what a process in it asks for, at its start and later."""
    inside, leaving = seen["slices"]["asks_for_all"], seen["slices"]["wants_to_leave"]
    got, moved = (each["printed"] or each["error"] for each in (inside, leaving))
    found = f"asked for all, got {got}; moving out: {moved}"
    is_so = numbers(inside["printed"]) == set(wish.hot) if inside["code"] == 0 else False
    return Proof(
        f"asked for all, got {listed(wish.hot)}; moving out: Invalid argument",
        found,
        is_so and leaving["printed"] == "Invalid argument",
    )


def partition(seen: Seen, wish: Wish) -> Proof:
    """The slice is a partition of its own: its cores are nobody else's, and no unit outside may have them."""
    slices = seen["slices"]
    outside = slices["wants_to_enter"]
    entered = outside["printed"] if outside["code"] == 0 else "did not start"
    found = (
        f"{slices['partition']} with {slices['cpus']}, left to all {slices['left_to_all']}, a unit outside: {entered}"
    )
    is_so = slices["partition"] == "isolated" and numbers(slices["cpus"]) == set(wish.hot)
    is_so = is_so and numbers(slices["left_to_all"]) == set(wish.others) and outside["code"] != 0
    hot, others = listed(wish.hot), listed(wish.others)
    return Proof(f"isolated with {hot}, left to all {others}, a unit outside: did not start", found, is_so)


def kernel_work(seen: Seen, wish: Wish) -> Proof:
    """Work queues, huge pages and, where the machine has any, deep idle states are as the role wants them."""
    mask = f"{sum(1 << cpu for cpu in wish.others):x}"
    found = (
        f"work queues {seen['work_queues']}, huge pages {seen['huge_pages']}, idle states {len(seen['idle_states'])}"
    )
    is_so = int(seen["work_queues"].replace(",", "") or "0", 16) == int(mask, 16) and "[madvise]" in seen["huge_pages"]
    return Proof(f"work queues {mask}, huge pages [madvise]", found, is_so)


def memory(seen: Seen, _: Wish) -> Proof:
    """A unit of trading that eats memory ends at its MemoryMax, all of it; its neighbour in the slice lives."""
    eater, neighbour = seen["memory"]["eater"], seen["memory"]["neighbour"]
    held = [int(line.split()[1]) for line in eater["printed"].splitlines() if line.startswith("holds ")]
    most, limit = max(held, default=0), int(eater["MemoryMax"]) >> 20 if eater["MemoryMax"].isdigit() else 0
    is_same = neighbour["MainPID"] == seen["memory"]["neighbour_before"] and neighbour["ActiveState"] == "active"
    child, other = ("lives" if lives else "ended" for lives in (seen["memory"]["child_lives"], is_same))
    found = (
        f"{eater['Result']} after {most} of {limit} MiB, its child {child}, "
        f"the neighbour in {neighbour['Slice']} {other}"
    )
    is_so = eater["Result"] == "oom-kill" and 0 < most <= limit and not seen["memory"]["child_lives"] and is_same
    return Proof("oom-kill within MemoryMax, its child ended, the neighbour in trading.slice lives", found, is_so)


def egress(seen: Seen, _: Wish) -> Proof:
    """A unit of trading reaches this machine and nobody else, where the firewall itself would let its user out."""
    confined, free = (seen["egress"][name]["printed"].splitlines() for name in ("confined", "free"))
    is_so = [line.endswith(" connected") for line in confined] == [True, False]
    is_so = is_so and [line.endswith(" connected") for line in free] == [True, True]
    found = f"confined: {', '.join(confined)}; free: {', '.join(free)}"
    return Proof("confined: this machine only; free: both", found, is_so)


def kernel_settings(seen: Seen, wish: Wish) -> Proof:
    """Every setting of the base role is in force after the reboot."""
    differing = [
        f"{name} {seen['settings'][name]}" for name, value in wish.settings.items() if seen["settings"][name] != value
    ]
    found = f"{len(wish.settings) - len(differing)} of {len(wish.settings)}"
    return Proof(f"{len(wish.settings)} of {len(wish.settings)}", "; ".join([found, *differing]), not differing)


PROOFS: dict[str, Callable[[Seen, Wish], Proof]] = {
    "command_line": command_line,
    "isolated_cpus": isolated,
    "no_ordinary_task_on_hot_cpus": no_ordinary_task,
    "hot_cpus_idle_under_load": quiet_under_load,
    "irq_affinity": interrupts,
    "irqbalance_banned": balancer,
    "allowed_cpus_of_the_slice": slice_holds,
    "cpuset_partition": partition,
    "kernel_work_and_memory": kernel_work,
    "memory_max": memory,
    "ip_address_deny": egress,
    "sysctls": kernel_settings,
}


def judge(seen: Seen, wish: Wish) -> dict[str, dict[str, Any]]:
    """Return every proof by name."""
    return {name: asdict(proof(seen, wish)) for name, proof in PROOFS.items()}
