"""`make vm`: a virtual machine with a kernel and a boot loader of its own, and what is enforced there, as seen."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lab import appliance, machine, scan, vm_judge, vm_power
from lab.host import Host
from lab.image import mirror
from lab.place import LABS, LabError, say
from lab.vm_image import disk

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = "local_vm"
PARTS = "hosts,cores,postgresql"
PROBE_TIMEOUT_S = 1200
# By the matrix of flows it may fetch packages; the address deny list of a unit is all that stands in its way.
FETCHER = "_apt"


class Phases:
    """How long each part of the run took."""

    def __init__(self) -> None:
        """Start with none."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[None]:
        """Tell what begins, and note how long it took."""
        say(text)
        started_s = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started_s, 1)
        say(f"{name}: {self.seconds[name]:.0f} s")


def wish(host: Host) -> vm_judge.Wish:
    """Return what the machine has to be: the cores that the role chose there, the settings that the base role names."""
    told = appliance.on(host, "/usr/local/lib/holdfast/cpus.py choose")
    if told.returncode != 0:
        raise LabError(f"cpus.py choose on {host.name}: {told.stderr}")
    chosen = json.loads(told.stdout)
    settings = yaml.safe_load((ROOT / "roles/base/defaults/main.yml").read_text())["base_sysctl"]
    return vm_judge.Wish(
        sorted(vm_judge.numbers(chosen["hot"])),
        sorted(vm_judge.numbers(chosen["others"])),
        {name: str(value) for name, value in settings.items()},
    )


def units(host: Host) -> None:
    """Give the machine the units' common part until its next boot, where the services themselves are not installed."""
    archive = subprocess.run(
        ["tar", "-C", str(ROOT / "systemd"), "-c", "trading.slice", "trading-.service.d"],
        capture_output=True,
        check=True,
    )
    _ssh(host, "tar -C /run/systemd/system -x && systemctl daemon-reload", archive.stdout)


def look(host: Host, wanted: vm_judge.Wish) -> vm_judge.Seen:
    """Run the probe in the machine and return what it saw."""
    endpoint = min(mirror().endpoints, key=lambda each: each[1])
    wishes = {
        "hot": vm_judge.listed(wanted.hot),
        "settings": list(wanted.settings),
        "egress": [FETCHER, "10.0.0.1", endpoint[1]],
    }
    program = (Path(__file__).parent / "vm_probe.py").read_bytes()
    seen: vm_judge.Seen = json.loads(_ssh(host, f"python3 - '{json.dumps(wishes)}'", program))
    return seen


def _ssh(host: Host, command: str, given: bytes) -> str:
    done = subprocess.run(
        [*host.login(), command], input=given, capture_output=True, check=False, timeout=PROBE_TIMEOUT_S
    )
    if done.returncode != 0:
        raise LabError(f"{command[:40]} on {host.name}: {done.stderr.decode()[-2000:]}")
    return done.stdout.decode()


def firewall_first(host: Host) -> dict[str, Any]:
    """Return the proof that the rules were in force before any unit that listens had begun, in this boot."""
    found = scan.precedence(host)
    first = f"{found['first_unit']} {found['first_unit_us']} us"
    return {
        "expected": "rules in force before the first unit that listens began",
        "seen": f"rules {found['rules_us']} us, first of {found['units']} units {first}",
        "ok": found["ok"],
    }


def prove(lab: str) -> dict[str, Any]:
    """Boot, provision, boot again, look; pull the plug, boot, look."""
    run = Phases()
    host = Host(lab, "trader")
    with run.phase("image", "looking for the disk"):
        image = disk()
    if not (host.folder / "address").exists():
        machine.create(host, image)
    if not machine.is_running(host):
        with run.phase("boot", "booting it: GRUB, kernel, ssh"):
            machine.boot(host)
    with run.phase("provision", f"running site.yml for {PARTS}, with a reboot for the kernel's command line"):
        appliance.play(lab, INVENTORY, "site.yml", LABS / lab / "provision.log", "--tags", PARTS)
    wanted = wish(host)
    with run.phase("proofs", "looking at what holds"):
        units(host)
        seen = look(host, wanted)
        (LABS / lab / "seen.json").write_text(json.dumps(seen, indent=1))
        proofs = vm_judge.judge(seen, wanted) | {"firewall_before_services": firewall_first(host)}
    with run.phase("power_cut", "pulling the plug under writers, with rules that do not load; booting again"):
        proofs |= vm_power.prove(host, machine.boot)
    return {"proofs": proofs, "seconds": run.seconds, "ok": all(proof["ok"] for proof in proofs.values())}


def tell(answer: dict[str, Any], *, is_json: bool) -> int:
    """Print the answer and return the exit code."""
    if is_json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        for name, proof in answer["proofs"].items():
            word = "ok    " if proof["ok"] else "FAILED"
            sys.stdout.write(f"{word} {name}: {proof['seen']} (expected: {proof['expected']})\n")
        seconds = ", ".join(f"{name} {seconds:.0f}" for name, seconds in answer["seconds"].items())
        sys.stdout.write(f"seconds: {seconds}\n{'all is well' if answer['ok'] else 'NOT ALL IS WELL'}\n")
    return 0 if answer["ok"] else 1
