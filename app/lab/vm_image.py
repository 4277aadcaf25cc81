"""The disk of a virtual machine: Debian with a kernel and a boot loader, made once; each machine's lower layer."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import uuid
from pathlib import Path

from lab import image, network
from lab.image import mirror
from lab.place import IMAGES, locked, run, say

SUITE = "bookworm"
# What a hoster's image for virtual machines has beside that of a container.
MACHINE = ["linux-image-cloud-amd64", "initramfs-tools", "grub-pc", "e2fsprogs", "zstd", "irqbalance"]
# What the roles want is there before they ask: unpacking is slow where every instruction is translated. PostgreSQL
# itself is not, since its cluster is made as it is installed; its package waits on the disk.
WANTED = [
    *(
        "openssl",
        "unattended-upgrades",
        "nftables",
        "chrony",
        "prometheus-node-exporter",
        "prometheus-postgres-exporter",
    ),
    *("postgresql-common", "postgresql-client-15", "python3-psycopg2", "ssl-cert", "zlib1g", "libllvm14", "libxslt1.1"),
]
WAITING = ["postgresql-15", "pgbackrest"]
ASLEEP = ["nftables", "chrony", "prometheus-node-exporter", "prometheus-postgres-exporter", "postgresql"]
GRUB_ANSWER = 'echo grub-pc grub-pc/install_devices_empty boolean true | chroot "$1" debconf-set-selections'
DISK_BYTES = 12 << 30
SECTOR_BYTES = 512
# Where GRUB's own partition and the file system begin; the usual alignment.
BOOT_SECTOR, ROOT_SECTOR = 2048, 4096
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
TABLE = f"label: gpt\nstart={BOOT_SECTOR}, size=2048, type={BIOS_BOOT}\nstart={ROOT_SECTOR}, type=linux\n"
GRUB_MODULES = ["biosdisk", "part_gpt", "ext2", "search", "search_fs_uuid", "serial", "normal", "linux", "gzio"]
ADDRESS, GATEWAY = "10.0.2.15", "10.0.2.2"
FILES = {
    "etc/systemd/network/10-wired.network": (
        f"[Match]\nName=en* eth*\n[Network]\nAddress={ADDRESS}/24\nGateway={GATEWAY}\nLinkLocalAddressing=no\n"
    ),
    "etc/default/grub": (
        'GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX="console=ttyS0"\nGRUB_TERMINAL=serial\n'
    ),
    "etc/hostname": "trader\n",
    "etc/machine-id": "",
}
NETWORKD = "/lib/systemd/system/systemd-networkd.service"


def disk() -> Path:
    """Return the folder with the disk and its keys; make it first if there is none of this recipe."""
    source = mirror()
    words = [SUITE, MACHINE, WANTED, WAITING, ASLEEP, DISK_BYTES, TABLE, GRUB_MODULES, sorted(FILES.items()), source]
    recipe = repr((words, image.PACKAGES, image.SETUP_HOOK, image.CUSTOMIZE_HOOK))
    folder = IMAGES / f"vm-{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with locked(folder):
        if folder.is_dir():
            return folder
        say("making the disk of the virtual machine (one to three minutes, once)")
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        tree, identity = part / "tree", str(uuid.uuid4())
        _unpack(tree)
        _settle(tree, part, identity)
        _write(tree, part, identity)
        shutil.rmtree(tree)
        part.rename(folder)
    return folder


def _unpack(tree: Path) -> None:
    source = mirror()
    packages = ",".join([*image.PACKAGES, *MACHINE, *WANTED])
    fetch = f"apt-get -qq --download-only --no-install-recommends -y install {' '.join(WAITING)}"
    download = f'chroot "$1" apt-get clean && chroot "$1" {fetch}'
    asleep = f'chroot "$1" systemctl --quiet disable {" ".join(ASLEEP)}'
    run(
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", f"--setup-hook={image.SETUP_HOOK}"),
        *(f"--essential-hook={GRUB_ANSWER}", f"--customize-hook={asleep}", f"--customize-hook={download}"),
        # Its end would empty the cache of packages and the index, which the roles' own installing is to find.
        *(f"--customize-hook={image.CUSTOMIZE_HOOK}", "--skip=cleanup/apt", SUITE, tree),
        f"deb {source.archive} {SUITE} main",
        f"deb {source.archive} {SUITE}-updates main",
        f"deb {source.security} {SUITE}-security main",
    )


def _settle(tree: Path, folder: Path, identity: str) -> None:
    """Lay out what an installer decides: names, network, keys, and how the first boot finds the kernel."""
    files = FILES | {
        "etc/fstab": f"UUID={identity} / ext4 errors=remount-ro 0 1\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 trader\n"
        + "".join(f"{network.CONTROLLER} {name}\n" for name, _ in sorted(mirror().endpoints)),
        "boot/grub/grub.cfg": (
            "serial\nterminal_output serial\nset timeout=0\nmenuentry Debian {\n"
            f"  linux /vmlinuz root=UUID={identity} ro console=ttyS0\n  initrd /initrd.img\n}}\n"
        ),
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service").symlink_to(NETWORKD)
    (tree / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    for key, comment in ((folder / "id_ed25519", "lab"), (tree / "etc/ssh/ssh_host_ed25519_key", "trader")):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key)
    shutil.copy(folder / "id_ed25519.pub", tree / "root/.ssh/authorized_keys")
    shutil.copy(tree / "etc/ssh/ssh_host_ed25519_key.pub", folder / "host_key.pub")


def _write(tree: Path, folder: Path, identity: str) -> None:
    """Make the disk: a table, GRUB where the BIOS looks for it, the file system. Nothing is mounted."""
    raw = folder / "disk.raw"
    raw.touch()
    os.truncate(raw, DISK_BYTES)
    (folder / "table").write_text(TABLE)
    run("sh", "-c", f"sfdisk --quiet {raw} < {folder}/table")
    shutil.copytree(tree / "usr/lib/grub/i386-pc", tree / "boot/grub/i386-pc")
    prefix = "(hd0,gpt2)/boot/grub"
    run("chroot", tree, "grub-mkimage", "-O", "i386-pc", "-p", prefix, "-o", "/core.img", *GRUB_MODULES)
    core = (tree / "core.img").read_bytes()
    (tree / "core.img").unlink()
    boot = (tree / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    # The table's second copy is at the disk's end.
    kilobytes = (DISK_BYTES - (ROOT_SECTOR + 2048) * SECTOR_BYTES) // 1024
    options = f"offset={ROOT_SECTOR * SECTOR_BYTES},lazy_itable_init=0"
    run("mkfs.ext4", "-q", "-F", "-U", identity, "-L", "root", "-E", options, "-d", tree, raw, f"{kilobytes}k")
    with raw.open("r+b") as file:
        table = file.read(SECTOR_BYTES)
        first, rest = grub(boot, core, table)
        file.seek(0)
        file.write(first)
        file.seek(BOOT_SECTOR * SECTOR_BYTES)
        file.write(rest)
    run("qemu-img", "convert", "-O", "qcow2", raw, folder / "disk.qcow2")
    raw.unlink()


def grub(boot: bytes, core: bytes, table: bytes) -> tuple[bytes, bytes]:
    """Return the first sector and the core image as `grub-install` writes them; it refuses disks that are files.

    Source: GRUB's boot.S and diskboot.S. `table` is the disk's first sector, whose partitions and signature stay.
    """
    core += bytes(-len(core) % SECTOR_BYTES)
    first, rest = bytearray(boot), bytearray(core)
    struct.pack_into("<Q", first, 0x5C, BOOT_SECTOR)
    # Read from the drive that the BIOS booted.
    first[0x64] = 0xFF
    struct.pack_into("<QHH", rest, 0x1F4, BOOT_SECTOR + 1, len(core) // SECTOR_BYTES - 1, 0x820)
    return bytes(first[:0x1B8]) + table[0x1B8:], bytes(rest)
