"""One host: an overlay on the base image, a cgroup of its own, nspawn and the supervisor that boots it again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab import network
from lab.image import mirror
from lab.place import LABS, LabError, run

EXIT_OF_REBOOT = 133
BOOT_TIMEOUT_S = 60
# Sparse: what nobody writes takes no room on this machine.
LOG_DISK_BYTES = 3 << 30
IS_SYSTEMD_HERE = Path("/run/systemd/system").is_dir()
# Where this machine's first process is not systemd, nobody hands out groups: a host gets one in each tree it uses.
CGROUPS = [] if IS_SYSTEMD_HERE else [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd")]
NETWORKD = "/lib/systemd/system/systemd-networkd.service"


@dataclass(frozen=True)
class Host:
    """A host of a lab and its files."""

    lab: str
    name: str

    @property
    def folder(self) -> Path:
        """Return where its files are."""
        return LABS / self.lab / "hosts" / self.name

    @property
    def address(self) -> str:
        """Return its address in the lab's network."""
        return (self.folder / "address").read_text()

    @property
    def machine(self) -> str:
        """Return its name among everything on this machine."""
        return f"holdfast-{self.lab}-{self.name}"

    @property
    def cgroups(self) -> list[Path]:
        """Return its own groups, made by us."""
        return [root / self.machine for root in CGROUPS if root.is_dir()]

    def login(self, *options: str) -> list[str]:
        """Return the command that a command on this host is added to."""
        return ["ssh", "-F", str(LABS / self.lab / "ssh_config"), *options, self.name]


def hosts(lab: str) -> list[Host]:
    """Return the hosts of a lab, by name."""
    return [Host(lab, file.parent.name) for file in sorted((LABS / lab / "hosts").glob("*/address"))]


def create(host: Host, image: Path, address: str, options: list[str], *, has_log_disk: bool = False) -> None:
    """Lay out a host as a hoster's installer would have left it, and start it."""
    for part in ("upper", "work", "root"):
        (host.folder / part).mkdir(parents=True)
    _seed(host, address)
    disks = [_log_disk(host, image)] if has_log_disk else []
    (host.folder / "options").write_text("\n".join([*options, *disks]))
    layers = f"lowerdir={image},upperdir={host.folder}/upper,workdir={host.folder}/work"
    run("mount", "-t", "overlay", host.machine, "-o", layers, host.folder / "root")
    (host.folder / "address").write_text(address)
    with (host.folder / "console.log").open("ab") as console:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "lab", "supervise", host.lab, host.name],
            env=network.environment(),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
    (host.folder / "supervisor.pid").write_text(str(supervisor.pid))


def _log_disk(host: Host, image: Path) -> str:
    """Give a host a disk of its own for its logs, one that can be filled; return nspawn's option."""
    disk, place = host.folder / "log.ext4", host.folder / "log"
    place.mkdir()
    disk.touch()
    os.truncate(disk, LOG_DISK_BYTES)
    run("mkfs.ext4", "-q", "-m", "0", disk)
    run("mount", "-o", "loop", disk, place)
    run("cp", "-a", f"{image}/var/log/.", place)
    return f"--bind={place}:/var/log"


def _seed(host: Host, address: str) -> None:
    upper = host.folder / "upper"
    wants = "etc/systemd/system/multi-user.target.wants"
    for part in ("etc/systemd/network", wants, "root/.ssh", "etc/ssh"):
        (upper / part).mkdir(parents=True)
    (upper / "root").chmod(0o700)
    (upper / "root/.ssh").chmod(0o700)
    shutil.copy(LABS / host.lab / "id_ed25519.pub", upper / "root/.ssh/authorized_keys")
    (upper / "etc/hostname").write_text(f"{host.name}\n")
    names = "".join(f"{network.CONTROLLER} {name}\n" for name, _ in sorted(mirror().endpoints))
    (upper / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n{names}")
    (upper / "etc/systemd/network/10-host0.network").write_text(
        f"[Match]\nName=host0\n[Network]\nAddress={address}/24\nGateway={network.CONTROLLER}\nLinkLocalAddressing=no\n"
    )
    (upper / wants / "systemd-networkd.service").symlink_to(NETWORKD)
    key = upper / "etc/ssh/ssh_host_ed25519_key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", key)
    public = key.with_name(f"{key.name}.pub").read_text().split()
    with (LABS / host.lab / "known_hosts").open("a") as known:
        known.write(f"{address} {public[0]} {public[1]}\n")


def supervise(host: Host) -> int:
    """Run a host until it is powered off: nspawn ends with 133 when the host reboots. Return nspawn's exit code."""
    for group in host.cgroups:
        group.mkdir(exist_ok=True)
    options = (host.folder / "options").read_text().split("\n")
    scope = ["systemd-run", "--scope", "--quiet", "--property=Delegate=yes", f"--unit={host.machine}"]
    command = [
        *(scope if IS_SYSTEMD_HERE else []),
        *network.enter(host.lab),
        *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", f"--network-bridge={network.BRIDGE}"),
        *(f"--directory={host.folder}/root", f"--machine={host.machine}", f"--hostname={host.name}"),
        *("--capability=CAP_IPC_LOCK", "--resolv-conf=off", "--timezone=off", "--console=pipe"),
        *(option for option in options if option),
    ]
    # cgroup v2 in the host also where this machine has both versions.
    environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"}

    def join() -> None:
        for group in host.cgroups:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    while True:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=join)  # noqa: PLW1509
        (host.folder / "nspawn.pid").write_text(str(process.pid))
        if process.wait() != EXIT_OF_REBOOT:
            return process.returncode


def wait_for_ssh(host: Host) -> None:
    """Wait until a host answers at port 22."""
    deadline_s = time.monotonic() + BOOT_TIMEOUT_S
    probe = [*network.enter(host.lab), "ssh-keyscan", "-T", "1", "-t", "ed25519", host.address]
    while b"ed25519" not in subprocess.run(probe, capture_output=True, check=False).stdout:
        if time.monotonic() > deadline_s:
            console = (host.folder / "console.log").read_text(errors="replace")[-2000:]
            raise LabError(f"{host.name} did not answer at {host.address}:22 within {BOOT_TIMEOUT_S} s:\n{console}")
        time.sleep(0.1)


def leader(host: Host) -> int:
    """Return the process that is a host's systemd."""
    nspawn = (host.folder / "nspawn.pid").read_text()
    children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
    if not children:
        raise LabError(f"{host.name} does not run; see {host.folder}/console.log")
    return int(children[0])


def power_off(host: Host) -> None:
    """End a host at once, as if its plug were pulled, and remove its files."""
    cut_power(host)
    for place in (host.folder / "root", host.folder / "log"):
        if os.path.ismount(place):
            run("umount", "--lazy", place)
    shutil.rmtree(host.folder)


def cut_power(host: Host) -> None:
    """End a host at once; its disk stays, at `folder/root`."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # The supervisor first: it would take the end for a reboot.
        os.kill(int((host.folder / "supervisor.pid").read_text()), signal.SIGKILL)
    if IS_SYSTEMD_HERE:
        with contextlib.suppress(LabError):
            run("systemctl", "kill", "--signal=KILL", "--kill-whom=all", f"{host.machine}.scope")
    for switch in (group / "cgroup.kill" for group in host.cgroups):
        if switch.exists():
            switch.write_text("1")
    deadline_s = time.monotonic() + BOOT_TIMEOUT_S
    while any(not _removed(group) for group in host.cgroups):
        if time.monotonic() > deadline_s:
            raise LabError(f"{host.name}: its processes do not end; see {host.cgroups[0]}/cgroup.procs")
        time.sleep(0.02)


def _removed(group: Path) -> bool:
    """Remove a group and those below it; False while a process is left in one."""
    if not group.is_dir():
        return True
    for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.is_dir()
