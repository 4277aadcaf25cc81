"""A virtual machine in a lab's network: QEMU without KVM, ssh by the network's own loopback, a plug to pull.

It stands in the lab as a host of its name, so inventory, `play` and `on` reach it like every other. Its user-mode
network is QEMU's own; what it opens comes from inside the lab's namespace, which has no way out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from lab import inventory, network
from lab.host import Host
from lab.place import LABS, LabError, locked, run
from lab.vm_image import ADDRESS

# ssh listens there, inside the lab's namespace only.
LOOPBACK = "127.0.0.1"
BOOT_TIMEOUT_S = 600
LOGIN_TIMEOUT_S = 20
END_TIMEOUT_S = 60
CPUS = 4
MEMORY_MIB = 4096


def command(folder: Path, *, cpus: int = CPUS, memory_mib: int = MEMORY_MIB) -> list[str]:
    """Return the command that boots the disk of a folder.

    Translation is named: where KVM is there and does not work, QEMU would hang. `cache=unsafe` spares flushes to
    this machine's disk; to the guest a killed QEMU is a power cut all the same.
    """
    return [
        *("nice", "-n", "15", "qemu-system-x86_64", "-name", "holdfast-vm", "-machine", "q35"),
        *("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Haswell-noTSX"),
        *("-smp", f"{cpus},sockets=1,cores={cpus},threads=1", "-m", str(memory_mib)),
        *("-drive", f"file={folder}/disk.qcow2,if=virtio,cache=unsafe,discard=unmap"),
        *("-netdev", f"user,id=n0,hostfwd=tcp:{LOOPBACK}:22-{ADDRESS}:22"),
        *("-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci"),
        *("-display", "none", "-serial", f"file:{folder}/console.log", "-monitor", "none"),
    ]


def create(host: Host, image: Path) -> None:
    """Lay out a machine and its lab; what it writes is on a layer of its own."""
    lab = LABS / host.lab
    with locked(lab):
        host.folder.mkdir(parents=True)
        shutil.copy(image / "id_ed25519", lab / "id_ed25519")
        shutil.copy(image / "id_ed25519.pub", lab / "id_ed25519.pub")
        key = (image / "host_key.pub").read_text().split()
        (lab / "known_hosts").write_text(f"{LOOPBACK} {key[0]} {key[1]}\n")
        if not network.exists(host.lab):
            network.create(host.lab)
        layer = host.folder / "disk.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", image / "disk.qcow2", "-F", "qcow2", layer)
        (host.folder / "address").write_text(LOOPBACK)
        inventory.write(host.lab)


def boot(host: Host) -> float:
    """Start a machine and wait for ssh; return how long it took."""
    started_s = time.monotonic()
    with (host.folder / "qemu.log").open("ab") as log:
        process = subprocess.Popen(
            [*network.enter(host.lab), *command(host.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (host.folder / "qemu.pid").write_text(str(process.pid))
    wait_for_ssh(host)
    return round(time.monotonic() - started_s, 1)


def is_running(host: Host) -> bool:
    """Say whether QEMU runs; it is buried if it was a child of ours."""
    try:
        process = int((host.folder / "qemu.pid").read_text())
    except FileNotFoundError:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
    try:
        return b"qemu-system" in Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_ssh(host: Host) -> None:
    """Wait until a login works. QEMU accepts connections before anybody inside does, so only a command's end counts."""
    deadline_s = time.monotonic() + BOOT_TIMEOUT_S
    while not _answers(host):
        if not is_running(host):
            raise LabError(f"QEMU ended: {(host.folder / 'qemu.log').read_text()[-2000:]}")
        if time.monotonic() > deadline_s:
            console = (host.folder / "console.log").read_text(errors="replace")[-2000:]
            raise LabError(f"{host.name} did not answer by ssh within {BOOT_TIMEOUT_S} s:\n{console}")
        time.sleep(0.5)


def _answers(host: Host) -> bool:
    login = host.login("-o", f"ConnectTimeout={LOGIN_TIMEOUT_S}")
    try:
        # Connected is not answered: a guest that hangs must not hold up who waits.
        done = subprocess.run([*login, "true"], capture_output=True, check=False, timeout=2 * LOGIN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def cut_power(host: Host) -> None:
    """End a machine at once: nothing inside it hears of it, nothing is written any more.

    A killed QEMU gives its memory back first and its disk last: only a disk that can be opened is at rest.
    """
    os.kill(int((host.folder / "qemu.pid").read_text()), signal.SIGKILL)
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while is_running(host) or not _is_at_rest(host.folder / "disk.qcow2"):
        if time.monotonic() > deadline_s:
            raise LabError(f"QEMU does not end; see process {(host.folder / 'qemu.pid').read_text()}")
        time.sleep(0.02)


def _is_at_rest(disk: Path) -> bool:
    return subprocess.run(["qemu-img", "info", str(disk)], capture_output=True, check=False).returncode == 0
