"""The base trees' Debian packages: `python -m nix.debian.lock lock` resolves and pins them, `fetch` downloads them.

They come from the suite with its updates and its security archive, whatever the host itself runs.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nix.debian.private_apt import ROOT, apt_environment, run

SUITE = "trixie"
LOCK = Path(__file__).with_name("lock.json")
CACHE = ROOT / ".nix/cache/debian"
# What runs, what assembles a release, what compiles: each has all of the one before.
STACKED = {
    "runtime": ("python3.13", "libstdc++6", "tzdata", "ca-certificates", "netbase", "media-types"),
    "tools": (
        *("bash", "coreutils", "tar", "xz-utils", "gzip", "findutils", "diffutils"),
        *("sed", "grep", "mawk", "binutils"),
    ),
    "build": ("gcc-14", "libc6-dev", "cargo-web", "rustc-web"),
}
# PostgreSQL, for the demo that checks a release; no release holds it.
SERVERS = ("postgresql-17",)
TREES = (*STACKED, "servers")
# Wanted by Debian's own installation steps, for cross compilers or for documentation: nothing when only unpacked.
DROPPED = {
    *("debconf", "dpkg", "dpkg-dev", "libdpkg-perl", "perl", "perl-base", "perl-modules-5.40", "libperl5.40"),
    *("base-files", "debianutils", "openssl", "readline-common", "patch", "rpcsvc-proto", "libdb5.3t64-doc"),
    *("binutils-mingw-w64-i686", "binutils-mingw-w64-x86-64", "libgdbm6t64", "libgdbm-compat4t64"),
    *("libjs-jquery", "libjs-underscore", "libjs-sphinxdoc"),
}
# Likewise for PostgreSQL; and what compiles its queries to machine code, which the demo switches off.
DROPPED_SERVERS = {
    *("adduser", "base-passwd", "init-system-helpers", "libc-bin", "libc-l10n", "libdebconfclient0", "libio-pty-perl"),
    *("libipc-run-perl", "libjson-perl", "libllvm19", "libpam-modules", "libpam-modules-bin", "libproc2-0"),
    *("libsemanage-common", "libsemanage2", "libsepol2", "libtext-charwidth-perl", "libtext-wrapi18n-perl", "libz3-4"),
    *("locales", "login.defs", "passwd", "postgresql-client-17", "postgresql-client-common", "postgresql-common"),
    *("postgresql-common-dev", "procps", "sensible-utils", "ssl-cert", "sysvinit-utils", "tzdata", "ucf"),
}
# Unpacks the first tree: a static busybox needs nothing.
SEED = "busybox-static"

Pins = dict[str, dict[str, Any]]


def resolve() -> dict[str, Any]:
    """Return the lock of what the suite has now."""
    environment = apt_environment(SUITE)
    trees: dict[str, Any] = {}
    wanted: list[str] = []
    taken: set[str] = set()
    for tree, roots in STACKED.items():
        wanted += roots
        names = _wanted_by(wanted, environment) - taken
        taken |= names
        trees[tree] = _pins(sorted(names), environment)
    trees["servers"] = _pins(sorted(_wanted_by(SERVERS, environment) - DROPPED_SERVERS), environment)
    seed = _pins([SEED], environment)
    _download({SEED: seed[SEED]["version"]}, SUITE)
    seed[SEED]["tree_sha256"] = _tree_digest(unpack_seed(CACHE / file_name(SEED, seed[SEED]["version"])))
    return {"suite": SUITE, "seed": seed, **trees}


def _wanted_by(roots: Iterable[str], environment: dict[str, str]) -> set[str]:
    """Return the names of packages and of what they depend on."""
    planned = run(["apt-get", "install", "--simulate", *roots], environment)
    return {match[1] for match in re.finditer(r"^Inst (\S+) ", planned, re.MULTILINE)} - DROPPED


def unpack_seed(package: Path) -> Path:
    """Return the directory that holds the seed's one program."""
    tree = CACHE / "debian-seed"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "bin").mkdir(parents=True)
    unpacked = CACHE / "incoming/unpacked"
    run(["dpkg-deb", "--extract", str(package), str(unpacked)], dict(os.environ))
    shutil.copyfile(unpacked / "usr/bin/busybox", tree / "bin/busybox")
    (tree / "bin/busybox").chmod(0o555)
    shutil.rmtree(unpacked)
    return tree


def _tree_digest(tree: Path) -> str:
    """Return the hash that Nix knows a tree of one program by. Source: Nix manual, Nix Archive format."""

    def text(*words: str | bytes) -> bytes:
        raw = [word.encode() if isinstance(word, str) else word for word in words]
        return b"".join(len(word).to_bytes(8, "little") + word + bytes(-len(word) % 8) for word in raw)

    program = text("(", "type", "regular", "executable", "", "contents", (tree / "bin/busybox").read_bytes(), ")")
    inner = text("(", "type", "directory", "entry", "(", "name", "busybox", "node") + program + text(")", ")")
    outer = text("(", "type", "directory", "entry", "(", "name", "bin", "node") + inner + text(")", ")")
    return hashlib.sha256(text("nix-archive-1") + outer).hexdigest()


def _pins(names: list[str], environment: dict[str, str]) -> Pins:
    text = run(["apt-cache", "show", "--no-all-versions", *names], environment)
    paragraphs = [
        dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        for paragraph in text.strip().split("\n\n")
    ]
    found = {
        fields["Package"]: {"version": fields["Version"], "sha256": fields["SHA256"], "size": int(fields["Size"])}
        for fields in paragraphs
    }
    return {name: found[name] for name in names}


def file_name(name: str, version: str) -> str:
    """Return a package's name in the store, which allows fewer characters than Debian's versions have."""
    return re.sub("[~+:]", "-", f"{name}_{version}.deb")


def fetch() -> list[Path]:
    """Return the files of all pinned packages, downloading those that are not here.

    Raises: SystemExit saying how to lock again when a package is no longer offered.
    """
    lock = json.loads(LOCK.read_text())
    pins = {name: pin for tree in ("seed", *TREES) for name, pin in lock[tree].items()}
    CACHE.mkdir(parents=True, exist_ok=True)
    files = {name: CACHE / file_name(name, pin["version"]) for name, pin in pins.items()}
    missing = [name for name, file in files.items() if not file.exists()]
    if missing:
        _download({name: pins[name]["version"] for name in missing}, lock["suite"])
    for name, file in files.items():
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != pins[name]["sha256"]:
            file.unlink()
            raise SystemExit(f"{name}: sha256 {found}, expected {pins[name]['sha256']}: run again, or `make lock-base`")
    unpack_seed(files[SEED])
    return list(files.values())


def _download(versions: dict[str, str], suite: str) -> None:
    environment = apt_environment(suite)
    staging = CACHE / "incoming"
    staging.mkdir(parents=True, exist_ok=True)
    try:
        words = [f"{name}={version}" for name, version in versions.items()]
        run(["apt-get", "-qq", "download", *words], environment, staging)
    except SystemExit as error:
        raise SystemExit(
            f"{error}\nThe archive no longer has some pinned version: run `make lock-base`, read the difference of "
            f"{LOCK.relative_to(ROOT)}, commit it"
        ) from None
    for package in staging.glob("*.deb"):
        name, version = run(
            ["dpkg-deb", "--showformat=${Package} ${Version}", "-W", str(package)], dict(os.environ)
        ).split()
        package.rename(CACHE / file_name(name, version))


def main() -> None:
    """Do what the arguments say."""
    match sys.argv[1:]:
        case ["lock"]:
            LOCK.write_text(json.dumps(resolve(), indent=1) + "\n")
        case ["fetch"]:
            sys.stdout.write("\n".join(map(str, fetch())) + "\n")
        case ["apt-config", suite]:
            sys.stdout.write(apt_environment(suite)["APT_CONFIG"] + "\n")
        case _:
            raise SystemExit("usage: python -m nix.debian.lock lock|fetch|apt-config SUITE")


if __name__ == "__main__":
    main()
