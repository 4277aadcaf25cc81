"""The base image: what an installer leaves of Debian, made once by mmdebstrap; the lower layer of every host."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab.place import IMAGES, LabError, locked, run, say

PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "udev", "libpam-systemd", "libnss-systemd"),
    *("openssh-server", "python3", "python3-apt", "sudo", "ca-certificates", "tzdata"),
    *("iproute2", "less", "procps", "kmod"),
]
SETUP_HOOK = (
    'mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && '
    'printf "path-exclude=/usr/share/doc/*\\npath-exclude=/usr/share/man/*\\n" > "$1/etc/dpkg/dpkg.cfg.d/nodoc"'
)
CUSTOMIZE_HOOK = 'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname" "$1/etc/resolv.conf"; : > "$1/etc/machine-id"'


@dataclass(frozen=True)
class Mirror:
    """The package mirror that this machine itself uses, as apt knows it."""

    archive: str
    security: str

    @property
    def endpoints(self) -> set[tuple[str, int]]:
        """Return the host and port of each part."""
        parts = [urlsplit(uri) for uri in (self.archive, self.security)]
        return {(part.hostname or "", part.port or {"http": 80, "https": 443}[part.scheme]) for part in parts}


def mirror() -> Mirror:
    """Ask apt for the mirror."""
    told = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Origin: Debian", "Created-By: Packages")
    by_label = {label: uri.rstrip("/") for uri, _, label in (line.partition(" ") for line in told.splitlines())}
    try:
        return Mirror(by_label["Debian"], by_label["Debian-Security"])
    except KeyError as missing:
        raise LabError(f"apt knows no repository labelled {missing}; run apt-get update, then again") from None


def image(suite: str) -> Path:
    """Return the folder of a suite's base image; make it first if there is none of this recipe."""
    source = mirror()
    recipe = repr((suite, PACKAGES, SETUP_HOOK, CUSTOMIZE_HOOK, source))
    folder = IMAGES / f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with locked(folder):
        if folder.is_dir():
            return folder
        say(f"making the base image of Debian {suite} (half a minute)")
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        run(
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *(f"--setup-hook={SETUP_HOOK}", f"--customize-hook={CUSTOMIZE_HOOK}", suite, part),
            f"deb {source.archive} {suite} main",
            f"deb {source.archive} {suite}-updates main",
            f"deb {source.security} {suite}-security main",
        )
        # The index is empty. Were it dated today, `cache_valid_time` would take it for fresh.
        os.utime(part / "var/lib/apt/lists", (0, 0))
        part.rename(folder)
    return folder
