#!/usr/bin/env python3
"""What of a host belongs to its current release beside the release itself. Standard library only; as root.

holdfast-generation save        keeps the configuration and the links to units as those of the current generation
holdfast-generation restore     makes them what they were when this generation was current last
holdfast-generation snapshot    keeps latch, audit trail and the heads of the journals: what was before a change
holdfast-generation stale       tells which services run with an older release, configuration or secret
holdfast-generation drift       tells what differs from the configuration that was kept of the current generation

Kept is what services read in /etc/holdfast, without secrets, certificates and keys: going back to a release must not
bring back a secret that was changed since. Journals, latch and trail never go back: they say what happened. Each prints one JSON
object; `changed` says whether anything was done.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CONFIGURATION = ("system*.json", "risk_limits.toml", "environment", "venue-ca.pem", "strategies")
UNITS = "trading*"
CACHE = "__pycache__"
STAMP = "%a %Y-%m-%d %H:%M:%S.%f UTC"
FILE, FOLDER, LINK = "file", "folder", "link"


class Host:
    """The parts of a host, below a root."""

    def __init__(self, root: Path) -> None:
        self.current = root / "nix/var/holdfast/current"
        self.generations = root / "nix/var/holdfast/generations"
        self.release = root / "opt/holdfast/current"
        self.kept = root / "var/lib/holdfast-generations"
        self.state = root / "var/lib/holdfast"
        self.folders = {"configuration": root / "etc/holdfast", "units": root / "etc/systemd/system"}

    def number(self) -> str:
        """Return the current generation."""
        try:
            return self.current.readlink().name
        except FileNotFoundError:
            sys.exit(f"holdfast-generation: {self.current} is missing: install a release first")

    def live(self, part: str) -> Iterator[Path]:
        """Yield what of a folder of the host belongs to a generation."""
        patterns = [UNITS] if part == "units" else CONFIGURATION
        yield from sorted(entry for pattern in patterns for entry in self.folders[part].glob(pattern))


def described(tops: Iterator[Path], folder: Path) -> dict[str, tuple[object, ...]]:
    """Return each entry below some of a folder by its name: kind, owner, mode and content."""
    found: dict[str, tuple[object, ...]] = {}
    for top in tops:
        inner = top.rglob("*") if top.is_dir() and not top.is_symlink() else ()
        for path in (top, *sorted(path for path in inner if CACHE not in path.parts)):
            status = path.lstat()
            owner = (status.st_uid, status.st_gid)
            if path.is_symlink():
                found[str(path.relative_to(folder))] = (LINK, owner, 0, os.fspath(path.readlink()))
            elif path.is_dir():
                found[str(path.relative_to(folder))] = (FOLDER, owner, status.st_mode, None)
            else:
                found[str(path.relative_to(folder))] = (FILE, owner, status.st_mode, path.read_bytes())
    return found


def put(path: Path, entry: tuple[object, ...]) -> None:
    """Put an entry in the place of what is there, by a rename where it is no folder."""
    kind, (uid, gid), mode, content = entry  # type: ignore[misc]
    if kind == FOLDER:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        path.mkdir(exist_ok=True)
        os.chown(path, uid, gid)
        path.chmod(mode & 0o7777)
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    if kind == LINK:
        staged.symlink_to(str(content))
    else:
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        staged.chmod(mode & 0o7777)
    os.chown(staged, uid, gid, follow_symlinks=False)
    staged.rename(path)


def save(host: Host, number: str) -> dict[str, Any]:
    """Keep the configuration and the units under a generation; forget those of generations that are gone."""
    place = host.kept / number
    is_changed = False
    for part, folder in host.folders.items():
        now, then = described(host.live(part), folder), kept(host, number, part)
        if now == then:
            continue
        is_changed = True
        host.kept.mkdir(mode=0o700, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        staged = place / f".{part}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        for name, entry in now.items():
            put(staged / name, entry)
        shutil.rmtree(place / part, ignore_errors=True)
        staged.rename(place / part)
    for old in host.kept.glob("[0-9]*"):
        if not (host.generations / old.name).is_dir():
            shutil.rmtree(old)
            is_changed = True
    return {"changed": is_changed}


def kept(host: Host, number: str, part: str) -> dict[str, tuple[object, ...]] | None:
    """Return what is kept of a part, None when nothing was ever."""
    folder = host.kept / number / part
    return described(iter(sorted(folder.iterdir())), folder) if folder.is_dir() else None


def restore(host: Host, number: str) -> dict[str, Any]:
    """Make the configuration and the units those that are kept; what the generation did not have goes."""
    names = []
    wanted = {part: kept(host, number, part) for part in host.folders}
    if None in wanted.values():
        return {"changed": False, "kept": False, "restored": []}
    for part, folder in host.folders.items():
        now, then = described(host.live(part), folder), wanted[part] or {}
        for name in sorted(now.keys() - then.keys(), reverse=True):
            path = folder / name
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            names.append(str(path))
        for name, entry in then.items():
            if now.get(name) != entry:
                put(folder / name, entry)
                names.append(str(folder / name))
    return {"changed": bool(names), "kept": True, "restored": names}


def snapshot(host: Host, number: str) -> dict[str, Any]:
    """Keep what says how trading stood: small files, whole."""
    place = host.kept / number / "state"
    staged = place.with_name(".state")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700, parents=True)
    names = [host.state / "latch", *host.state.glob("audit/*"), *host.state.glob("journals/*/header")]
    for source in filter(Path.is_file, names):
        target = staged / source.relative_to(host.state)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(source, target)
    shutil.rmtree(place, ignore_errors=True)
    staged.rename(place)
    return {"changed": True, "generation": number, "files": len(names)}


def drift(host: Host, number: str) -> dict[str, Any]:
    """Tell what somebody changed since the configuration was kept."""
    names = []
    for part, folder in host.folders.items():
        now, then = described(host.live(part), folder), kept(host, number, part) or {}
        names += [str(folder / name) for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)]
    return {"changed": False, "differs": names}


def stale(host: Host) -> dict[str, Any]:
    """Tell which services have to be started again, and why."""
    listed = ["systemctl", "list-units", "--plain", "--no-legend", "--state=running", f"{UNITS}.service"]
    units = [line.split()[0] for line in told(*listed).splitlines()]
    found = {unit: why for unit in units if (why := stale_part(host, unit))}
    return {"changed": False, "stale": found}


def stale_part(host: Host, unit: str) -> str:
    """Return what of a running service is older than the host's; empty text: nothing."""
    asked = ("MainPID", "ExecMainStartTimestamp")
    shown = told("systemctl", "show", "--timestamp=us+utc", *(f"--property={name}" for name in asked), unit)
    facts = dict(line.partition("=")[::2] for line in shown.splitlines())
    try:
        program = Path("/proc", facts["MainPID"], "cmdline").read_bytes().partition(b"\0")[0].decode()
    except FileNotFoundError:
        return ""
    if not program.startswith(f"{host.release.resolve()}/"):
        return "release"
    started = datetime.strptime(facts["ExecMainStartTimestamp"], STAMP).replace(tzinfo=UTC)
    files = {"configuration": configuration_files(host), "secret": secret_files(told("systemctl", "cat", unit))}
    for what, paths in files.items():
        if any(path.stat().st_mtime > started.timestamp() for path in paths if path.exists()):
            return what
    return ""


def secret_files(unit: str) -> list[Path]:
    """Return the files of the credentials in a unit's text: `systemctl show` calls them unprintable on Debian 12."""
    loaded = (line.partition("=")[2].strip() for line in unit.splitlines() if line.startswith("LoadCredential="))
    return [path for value in loaded if (path := Path(value.partition(":")[2])).is_absolute()]


def configuration_files(host: Host) -> list[Path]:
    """Return the files that a service reads when it starts."""
    every = (path for top in host.live("configuration") for path in (top, *top.rglob("*")))
    return [path for path in every if path.is_file() and CACHE not in path.parts]


def told(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Do what was asked and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/"), help="the host's root directory, if not /")
    parser.add_argument("command", choices=["save", "restore", "snapshot", "drift", "stale"])
    options = parser.parse_args()
    host = Host(options.root)
    if options.command == "stale":
        answer = stale(host)
    else:
        commands = {"save": save, "restore": restore, "snapshot": snapshot, "drift": drift}
        answer = commands[options.command](host, host.number())
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
