"""A power cut under writers, with firewall rules that do not load any more; what the boot after it finds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import appliance, machine
from lab.host import Host
from lab.place import LabError, run
from lab.vm_image import ROOT_SECTOR, SECTOR_BYTES

RULES = "/etc/nftables.d/holdfast.nft"
# A unit of trading that the machine starts by itself.
HELD = "trading-probe-held.service"
HELD_UNIT = (
    "[Unit]\\nDescription=A unit of trading\\n[Service]\\nUser=holdfast\\nExecStart=/bin/sleep infinity\\n"
    "[Install]\\nWantedBy=multi-user.target\\n"
)
ACKNOWLEDGED_MIN = 100
ACKNOWLEDGING_TIMEOUT_S = 600
FILE = "/var/lib/vm-acknowledged"
FILE_WRITER = (
    "import itertools, os\n"
    f"file = os.open('{FILE}', os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
    "for number in itertools.count(1):\n"
    "    os.write(file, b'%d\\n' % number)\n"
    "    os.fsync(file)\n"
    "    print(number, flush=True)\n"
)
TABLE = "CREATE TABLE IF NOT EXISTS vm_acknowledged (number BIGSERIAL PRIMARY KEY, filler TEXT)"
INSERT = "INSERT INTO vm_acknowledged (filler) VALUES (repeat('x', 500)) RETURNING number;"


@dataclass(frozen=True)
class Writer:
    """What writes in the machine, and what it leaves there: the highest number and how many there are."""

    name: str
    start: str
    given: str
    found: str


WRITERS = [
    Writer("file", "python3 -", FILE_WRITER, f"echo $(tail -n 1 {FILE}) $(wc -l < {FILE})"),
    Writer(
        "postgresql",
        f'cd / && yes "{INSERT}" | runuser -u postgres -- psql -AtqX',
        "",
        "cd / && runuser -u postgres -- psql -AtX -F ' ' -c 'SELECT max(number), count(*) FROM vm_acknowledged'",
    ),
]


def acknowledged(text: str) -> int:
    """Return the last number that came whole, with its end of line."""
    lines = [line for line in text.split("\n")[:-1] if line.isdigit()]
    return int(lines[-1]) if lines else 0


def kept(writer: str, before: int, told: str) -> dict[str, Any]:
    """Return the proof that everything acknowledged is there, and nothing in between is missing."""
    words = told.split()
    highest, count = (int(word) for word in words) if len(words) == 2 and all(map(str.isdigit, words)) else (0, 0)
    return {
        "expected": f"{writer}: the {before} acknowledged, no gap",
        "seen": f"highest {highest}, {count} of them",
        "ok": before > 0 and highest == count >= before,
    }


@contextmanager
def writing(host: Host) -> Iterator[dict[str, Path]]:
    """Let every writer write; yield the files that grow by what each acknowledged."""
    files, processes = {}, []
    for writer in WRITERS:
        files[writer.name] = host.folder / f"acknowledged-{writer.name}"
        with files[writer.name].open("wb") as file:
            process = subprocess.Popen(
                [*host.login(), writer.start], stdin=subprocess.PIPE, stdout=file, stderr=subprocess.DEVNULL
            )
        if process.stdin is None:
            raise LabError("ssh was started without its input")
        process.stdin.write(writer.given.encode())
        process.stdin.close()
        processes.append(process)
    try:
        yield files
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()


def prepare(host: Host) -> None:
    """Make the table, a unit of trading that is started at boot, and rules that do not load."""
    script = (
        f"cd / && runuser -u postgres -- psql -qX -c '{TABLE}'; rm -f {FILE}; cp {RULES} /var/lib/vm-rules;"
        f"printf '{HELD_UNIT}' > /etc/systemd/system/{HELD} && systemctl --quiet enable {HELD};"
        f"echo 'this does not parse' >> {RULES}; sync"
    )
    done = appliance.on(host, script)
    if done.returncode != 0:
        raise LabError(f"preparing the power cut on {host.name}: {done.stderr}")


def cut(host: Host) -> dict[str, int]:
    """Pull the plug while all writers are heard; return what each had acknowledged."""
    deadline_s = time.monotonic() + ACKNOWLEDGING_TIMEOUT_S
    with writing(host) as files:
        while any(acknowledged(file.read_text()) < ACKNOWLEDGED_MIN for file in files.values()):
            if time.monotonic() > deadline_s:
                raise LabError(
                    f"not every writer was heard {ACKNOWLEDGED_MIN} times within {ACKNOWLEDGING_TIMEOUT_S} s"
                )
            time.sleep(0.2)
        machine.cut_power(host)
    return {name: acknowledged(file.read_text()) for name, file in files.items()}


def file_system(host: Host) -> dict[str, Any]:
    """Return the proof that the disk as the cut left it is whole once its journal is replayed; looks at a copy."""
    raw = host.folder / "after-the-cut.raw"
    run("qemu-img", "convert", "-O", "raw", host.folder / "disk.qcow2", raw)
    place = f"{raw}?offset={ROOT_SECTOR * SECTOR_BYTES}"
    subprocess.run(["e2fsck", "-y", "-E", "journal_only", place], capture_output=True, check=False)
    done = subprocess.run(["e2fsck", "-f", "-n", place], capture_output=True, text=True, check=False)
    raw.unlink()
    last = done.stdout.strip().splitlines()[-1:] or [done.stderr.strip()[-200:]]
    return {
        "expected": "e2fsck finds nothing after the journal's replay (exit code 0)",
        "seen": f"exit code {done.returncode}: {last[0]}",
        "ok": done.returncode == 0,
    }


def held_back(before: str, after: str) -> dict[str, Any]:
    """Return the proof that what trades and the database wait for the rules; each text is the states of four units."""
    wanted = ("failed inactive inactive active", "active active active active")
    return {
        "expected": f"nftables, a unit of trading, PostgreSQL, ssh: {wanted[0]}; with rules again: {wanted[1]}",
        "seen": f"{before}; with rules again: {after}",
        "ok": (before, after) == wanted,
    }


def states(host: Host) -> str:
    """Return whether firewall, the unit of trading, PostgreSQL and ssh run."""
    units = f"nftables.service {HELD} postgresql@15-main.service ssh.service"
    return " ".join(appliance.on(host, f"systemctl is-active {units}").stdout.split())


def mend(host: Host) -> None:
    """Do what an operator does: mend the rules, start what waited."""
    waiting = f"{HELD} postgresql@15-main.service"
    script = f"cp /var/lib/vm-rules {RULES} && systemctl restart nftables.service && systemctl start {waiting}"
    done = appliance.on(host, script)
    if done.returncode != 0:
        raise LabError(f"after the rules were mended on {host.name}: {done.stderr}")


def prove(host: Host, boot: Callable[[Host], float]) -> dict[str, dict[str, Any]]:
    """Cut the power, look at the disk, boot, look at what runs and what was kept."""
    prepare(host)
    before = cut(host)
    proofs = {"power_cut_file_system": file_system(host)}
    boot(host)
    waiting = states(host)
    mend(host)
    proofs["held_back_without_firewall"] = held_back(waiting, states(host))
    for writer in WRITERS:
        told = appliance.on(host, writer.found).stdout
        proofs[f"power_cut_{writer.name}"] = kept(writer.name, before[writer.name], told)
    return proofs
