"""Runs inside the virtual machine, as `python3 - WISHES`: looks and tells as JSON; judges nothing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KERNEL_THREAD = 0x00200000
LOAD_S = 6
PROC_SYS = Path("/proc/sys")


def read(path: str | Path) -> str:
    """Return what a file says, without its end of line; empty where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def told(*command: str) -> str:
    """Return what a command prints, whatever came of it."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def tasks() -> list[dict[str, Any]]:
    """Return every thread: the processors it may use, the one it last ran on, its group, whether it is the kernel's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        with contextlib.suppress(OSError):
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            status = dict(
                line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line
            )
            found.append(
                {
                    "name": name,
                    "allowed": status["Cpus_allowed_list"].strip(),
                    "last_on": int(fields[36]),
                    "group": (folder / "cgroup").read_text().strip().rpartition(":")[2],
                    "is_kernel": bool(int(fields[6]) & KERNEL_THREAD),
                }
            )
    return found


def is_managed(folder: str) -> bool:
    """Say whether the kernel alone places an interrupt: it refuses even the place where the interrupt is."""
    file = Path(folder, "smp_affinity_list")
    try:
        file.write_text(file.read_text())
    except OSError:
        return True
    return False


def interrupts() -> list[dict[str, Any]]:
    """Return every interrupt of a device: where it may go, where it goes, how often each processor had it."""
    lines = read("/proc/interrupts").splitlines()
    cpus = len(lines[0].split())
    found = []
    for line in lines[1:]:
        number, _, rest = line.strip().partition(":")
        if number.isdigit():
            fields = rest.split()
            folder = f"/proc/irq/{number}"
            found.append(
                {
                    "irq": int(number),
                    "name": " ".join(fields[cpus + 2 :]) or fields[-1],
                    "allowed": read(f"{folder}/smp_affinity_list"),
                    "effective": read(f"{folder}/effective_affinity_list"),
                    "is_managed": is_managed(folder),
                    "counts": [int(count) for count in fields[:cpus]],
                }
            )
    return found


def busy_jiffies() -> list[int]:
    """Return how long each processor has run programs."""
    lines = [line.split() for line in read("/proc/stat").splitlines() if line[:3] == "cpu" and line[3].isdigit()]
    return [int(fields[1]) + int(fields[2]) for fields in lines]


def under_load() -> dict[str, Any]:
    """Keep more programs busy than there are processors, and the disk and the network besides; tell who ran where."""
    before, interrupts_before = busy_jiffies(), interrupts()
    spin = f"import time\nend = time.monotonic() + {LOAD_S}\nwhile time.monotonic() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2 * (os.cpu_count() or 1))]
    with contextlib.suppress(OSError), Path("/var/tmp/vm-probe").open("wb") as file:  # noqa: S108
        for _ in range(16):
            file.write(os.urandom(1 << 18))
            os.fsync(file.fileno())
    sampled = tasks()
    for process in busy:
        process.wait()
    Path("/var/tmp/vm-probe").unlink(missing_ok=True)  # noqa: S108
    after, interrupts_after = busy_jiffies(), interrupts()
    was = {each["irq"]: each["counts"] for each in interrupts_before}
    for each in interrupts_after:
        each["new"] = [
            now - then for now, then in zip(each["counts"], was.get(each["irq"], each["counts"]), strict=True)
        ]
    return {
        "tasks": sampled,
        "interrupts": interrupts_after,
        "busy_jiffies": [now - then for now, then in zip(after, before, strict=True)],
    }


def unit_run(name: str, properties: list[str], program: str) -> dict[str, Any]:
    """Run a Python program as a unit until it ends; return what it printed and how systemd says that it ended."""
    unit = f"{name}-{time.monotonic_ns()}"
    words = ["systemd-run", "--quiet", "--wait", "--pipe", f"--unit={unit}"]
    words += [f"--property={each}" for each in properties]
    done = subprocess.run([*words, "/usr/bin/python3", "-c", program], capture_output=True, text=True, check=False)
    shown = told("systemctl", "show", unit, "--property=Result,MemoryMax,Slice,OOMPolicy")
    subprocess.run(["systemctl", "reset-failed", unit], capture_output=True, check=False)
    return {
        "printed": done.stdout.strip(),
        "error": done.stderr.strip()[-300:],
        "code": done.returncode,
        **dict(line.split("=", 1) for line in shown.splitlines()),
    }


SHOW_PLACE = "import os; print(','.join(map(str, sorted(os.sched_getaffinity(0)))))"


def slices(hot: str, cpus: str) -> dict[str, Any]:
    """Run programs in the slice of the hot cores and outside it, asking each time for what they must not get."""
    leave = (
        "import os\n"
        f"others = set(range(os.cpu_count())) - {{{hot}}}\n"
        "try: os.sched_setaffinity(0, others); print('moved to', sorted(os.sched_getaffinity(0)))\n"
        "except OSError as error: print(error.strerror)"
    )
    group = Path("/sys/fs/cgroup/pipeline.slice")
    return {
        "asks_for_all": unit_run(
            "vm-inside", ["Slice=pipeline.slice", "CPUAffinity=", f"CPUAffinity={cpus}"], SHOW_PLACE
        ),
        "wants_to_leave": unit_run(
            "vm-leaving", ["Slice=pipeline.slice", "CPUAffinity=", f"CPUAffinity={cpus}"], leave
        ),
        "wants_to_enter": unit_run("vm-outside", ["CPUAffinity=", f"CPUAffinity={hot}"], SHOW_PLACE),
        "cpus": read(group / "cpuset.cpus.effective"),
        "partition": read(group / "cpuset.cpus.partition"),
        "left_to_all": read("/sys/fs/cgroup/cpuset.cpus.effective"),
    }


GROW = """
import os, subprocess, sys
print("child", subprocess.Popen(["/bin/sleep", "600"]).pid, flush=True)
held = []
for step in range(1, 33):
    held.append(bytearray(os.urandom(1 << 20)) * 64)
    print("holds", 64 * step, flush=True)
"""
CONNECT = """
import socket
for host, port in {targets}:
    try:
        socket.create_connection((host, port), timeout=8).close()
        print(host, "connected")
    except OSError as error:
        print(host, type(error).__name__)
"""


def memory() -> dict[str, Any]:
    """Let a unit of trading eat memory beside another one; tell how each ended."""
    neighbour = f"trading-probe-neighbour-{time.monotonic_ns()}"
    subprocess.run(
        ["systemd-run", "--quiet", "--collect", f"--unit={neighbour}", "--property=User=holdfast", "/bin/sleep", "600"],
        check=True,
    )
    before = told("systemctl", "show", neighbour, "--property=MainPID", "--value")
    eater = unit_run("trading-probe-eater", ["User=holdfast"], GROW)
    child = str(eater["printed"]).partition("child ")[2].split()[:1]
    after = told("systemctl", "show", neighbour, "--property=MainPID,ActiveState,Slice")
    subprocess.run(["systemctl", "stop", neighbour], check=True)
    return {
        "eater": eater,
        "child_lives": bool(child) and Path(f"/proc/{child[0]}").exists(),
        "neighbour_before": before,
        "neighbour": dict(line.split("=", 1) for line in after.splitlines()),
    }


def egress(user: str, host: str, port: int) -> dict[str, Any]:
    """Connect to this machine and to another one, as a unit of trading and as an ordinary one of the same user."""
    program = CONNECT.format(targets=[("127.0.0.1", 22), (host, port)])
    return {
        "confined": unit_run("trading-probe-egress", [f"User={user}"], program),
        "free": unit_run("vm-egress", [f"User={user}"], program),
    }


def settings(names: list[str]) -> dict[str, str]:
    """Return what the kernel has for each name."""
    return {name: " ".join(read(PROC_SYS / name.replace(".", "/")).split()) for name in names}


def main() -> None:
    """Print everything that was seen."""
    wishes = json.loads(sys.argv[1])
    hot, cpus = wishes["hot"], read("/sys/devices/system/cpu/present")
    seen = {
        "command_line": read("/proc/cmdline"),
        "isolated": read("/sys/devices/system/cpu/isolated"),
        "tickless": read("/sys/devices/system/cpu/nohz_full"),
        "balancer": told("systemctl", "is-enabled", "irqbalance.service"),
        "balancer_runs": told("pgrep", "-c", "irqbalance"),
        "huge_pages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "idle_states": [read(path) for path in Path(f"/sys/devices/system/cpu/cpu{hot}/cpuidle").glob("state*/name")],
        "work_queues": read("/sys/devices/virtual/workqueue/cpumask"),
        "tool": told("/usr/local/lib/holdfast/cpus.py", "check"),
        "load": under_load(),
        "slices": slices(hot, cpus),
        "memory": memory(),
        "egress": egress(*wishes["egress"]),
        "settings": settings(wishes["settings"]),
    }
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
