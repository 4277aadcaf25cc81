"""Each proof of the virtual machine holds for what should be seen, and fails for the one thing that it is about."""

import copy
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lab import vm_image, vm_power
from lab.machine import command
from lab.vm_judge import PROOFS, Wish, judge, numbers

WISH = Wish([3], [0, 1, 2], {"vm.swappiness": "1"})


def task(
    name: str, allowed: str, last_on: int, group: str = "/system.slice", *, is_kernel: bool = False
) -> dict[str, Any]:
    return {"name": name, "allowed": allowed, "last_on": last_on, "group": group, "is_kernel": is_kernel}


def interrupt(allowed: str, effective: str, new: list[int], *, is_managed: bool = False) -> dict[str, Any]:
    return {"irq": 24, "name": "x", "allowed": allowed, "effective": effective, "new": new, "is_managed": is_managed}


def unit(printed: str, code: int = 0, **shown: str) -> dict[str, Any]:
    return {"printed": printed, "error": "", "code": code, "Result": "success", **shown}


SOUND: dict[str, Any] = {
    "command_line": "root=/ isolcpus=managed_irq,domain,3 nohz_full=3 rcu_nocbs=3 irqaffinity=0,1,2",
    "isolated": "3",
    "tickless": "3",
    "balancer": "masked",
    "balancer_runs": "0",
    "huge_pages": "always [madvise] never",
    "idle_states": [],
    "work_queues": "7",
    "load": {
        "tasks": [
            task("sshd", "0-2", 1),
            task("kworker/3:0", "3", 3, "/", is_kernel=True),
            task("python", "3", 3, "/pipeline.slice/trading-risk-manager.service"),
        ],
        "interrupts": [
            interrupt("0-2", "1", [0, 9, 0, 0]),
            interrupt("3", "3", [0, 0, 0, 0], is_managed=True),
        ],
        "busy_jiffies": [500, 510, 490, 1],
    },
    "slices": {
        "asks_for_all": unit("3"),
        "wants_to_leave": unit("Invalid argument"),
        "wants_to_enter": unit("", 1),
        "cpus": "3",
        "partition": "isolated",
        "left_to_all": "0-2",
    },
    "memory": {
        "eater": unit("child 7\nholds 64\nholds 448", 1, Result="oom-kill", MemoryMax=str(512 << 20)),
        "child_lives": False,
        "neighbour_before": "12",
        "neighbour": {"MainPID": "12", "ActiveState": "active", "Slice": "trading.slice"},
    },
    "egress": {
        "confined": unit("127.0.0.1 connected\n10.0.0.1 TimeoutError"),
        "free": unit("127.0.0.1 connected\n10.0.0.1 connected"),
    },
    "settings": {"vm.swappiness": "1"},
}
# What a machine would show on which one thing is not enforced, and the proofs that must see it.
BROKEN: list[tuple[str, str, Any]] = [
    ("command_line", "command_line", "root=/ isolcpus=domain,3 nohz_full=3 rcu_nocbs=3 irqaffinity=0,1,2"),
    ("isolated_cpus", "isolated", ""),
    ("isolated_cpus", "tickless", "2-3"),
    ("no_ordinary_task_on_hot_cpus", "load.tasks", [task("cron", "0-3", 1)]),
    ("no_ordinary_task_on_hot_cpus", "load.tasks", [task("cron", "0-2", 3)]),
    ("no_ordinary_task_on_hot_cpus", "load.tasks", []),
    ("hot_cpus_idle_under_load", "load.busy_jiffies", [500, 510, 490, 40]),
    ("hot_cpus_idle_under_load", "load.busy_jiffies", [0, 0, 0, 0]),
    ("irq_affinity", "load.interrupts", [interrupt("0-3", "3", [5, 0, 0, 0])]),
    ("irq_affinity", "load.interrupts", [interrupt("0", "0", [5, 0, 0, 1])]),
    ("irq_affinity", "load.interrupts", [interrupt("3", "3", [5, 0, 0, 1], is_managed=True)]),
    ("irq_affinity", "load.interrupts", [interrupt("0", "0", [0, 0, 0, 0])]),
    ("irqbalance_banned", "balancer", "enabled"),
    ("irqbalance_banned", "balancer_runs", "1"),
    ("allowed_cpus_of_the_slice", "slices.asks_for_all", unit("0,1,2,3")),
    ("allowed_cpus_of_the_slice", "slices.asks_for_all", unit("", 214)),
    ("allowed_cpus_of_the_slice", "slices.wants_to_leave", unit("moved to [0, 1, 2]")),
    ("cpuset_partition", "slices.partition", "member"),
    ("cpuset_partition", "slices.partition", "isolated invalid (Cpu list in cpuset.cpus not exclusive)"),
    ("cpuset_partition", "slices.left_to_all", "0-3"),
    ("cpuset_partition", "slices.wants_to_enter", unit("3")),
    ("kernel_work_and_memory", "work_queues", "f"),
    ("kernel_work_and_memory", "huge_pages", "[always] madvise never"),
    ("memory_max", "memory.eater", unit("child 7\nholds 2048", MemoryMax=str(512 << 20))),
    ("memory_max", "memory.eater", unit("holds 2048", 1, Result="oom-kill", MemoryMax="infinity")),
    ("memory_max", "memory.child_lives", True),
    ("memory_max", "memory.neighbour", {"MainPID": "0", "ActiveState": "inactive", "Slice": "trading.slice"}),
    ("ip_address_deny", "egress.confined", unit("127.0.0.1 connected\n10.0.0.1 connected")),
    ("ip_address_deny", "egress.free", unit("127.0.0.1 connected\n10.0.0.1 TimeoutError")),
    ("sysctls", "settings", {"vm.swappiness": "60"}),
]


def test_sound_machine_passes_every_proof() -> None:
    assert [name for name, proof in judge(SOUND, WISH).items() if not proof["ok"]] == []


@pytest.mark.parametrize(("proof", "path", "value"), BROKEN)
def test_proof_fails_for_what_it_is_about(proof: str, path: str, value: object) -> None:
    seen = copy.deepcopy(SOUND)
    *folders, last = path.split(".")
    place = seen
    for folder in folders:
        place = place[folder]
    place[last] = value
    assert [name for name, found in judge(seen, WISH).items() if not found["ok"]] == [proof]


def test_every_proof_is_seen_to_fail() -> None:
    assert {proof for proof, _, _ in BROKEN} == set(PROOFS)


def test_verdict_can_be_printed_as_json() -> None:
    assert set(json.loads(json.dumps(judge(SOUND, WISH)))["sysctls"]) == {"expected", "seen", "ok"}


def test_lists_of_processors_are_read_as_the_kernel_writes_them() -> None:
    assert numbers("0-2,5\n") == {0, 1, 2, 5}
    assert numbers("") == set()


def test_machine_is_translated_and_reached_on_loopback_only() -> None:
    words = command(Path("/x"))
    assert "tcg,thread=multi,tb-size=512" in words
    assert not [word for word in words if "kvm" in word]
    forwards = [word for word in words if "hostfwd" in word]
    assert forwards == ["user,id=n0,hostfwd=tcp:127.0.0.1:22-10.0.2.15:22"]


def test_boot_loader_says_where_its_rest_is_and_keeps_the_table() -> None:
    table = bytes(range(256)) * 2
    first, rest = vm_image.grub(bytes(512), bytes(1300), table)
    assert len(first) == 512
    assert first[0x1B8:] == table[0x1B8:]
    assert struct.unpack_from("<Q", first, 0x5C) == (vm_image.BOOT_SECTOR,)
    assert len(rest) == 1536
    assert struct.unpack_from("<QHH", rest, 0x1F4) == (vm_image.BOOT_SECTOR + 1, 2, 0x820)


def test_number_that_came_in_part_was_not_acknowledged() -> None:
    assert vm_power.acknowledged("98\n99\n10") == 99
    assert vm_power.acknowledged("") == 0


@pytest.mark.parametrize(
    ("before", "told", "is_ok"),
    [
        (99, "99 99", True),
        (99, "101 101", True),
        (99, "98 98", False),
        (99, "101 100", False),
        (99, "", False),
        (0, "0 0", False),
    ],
)
def test_acknowledged_is_kept_without_a_gap(before: int, told: str, is_ok: bool) -> None:
    assert vm_power.kept("file", before, told)["ok"] is is_ok


def test_what_starts_without_the_rules_was_not_held_back() -> None:
    running = "active active active active"
    assert vm_power.held_back("failed inactive inactive active", running)["ok"]
    assert not vm_power.held_back("failed active inactive active", running)["ok"]
    assert not vm_power.held_back("failed inactive inactive inactive", running)["ok"]
    assert not vm_power.held_back("failed inactive inactive active", "active inactive active active")["ok"]
