"""The wheels of a release, as its target takes them: `python -m nix.python.lock lock` chooses them, `fetch` downloads.

requirements/*.txt stay the source of truth: a wheel is one of the files whose hashes they list, and wheels.json only
says which one the target takes. tests/repository compares the two.
"""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
LOCK = Path(__file__).with_name("wheels.json")
CACHE = ROOT / ".nix/cache/wheels"
PYTHON = "3.13"
GLIBC_MINOR_MAX = 41
# What each set takes from which requirements; None takes all.
TESTS = (
    *("hypothesis", "iniconfig", "packaging", "pluggy", "pytest", "pytest-asyncio", "pytest-timeout"),
    *("pyyaml", "sortedcontainers"),
)
SETS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "runtime": ("runtime", None),
    "test": ("dev", TESTS),
    "build": ("dev", ("maturin",)),
    "tools": ("nix", None),
}


@dataclass(frozen=True)
class Requirement:
    """One pinned package and the hashes of all its files."""

    name: str
    version: str
    hashes: frozenset[str]


def requirements(purpose: str) -> dict[str, Requirement]:
    """Return what requirements/PURPOSE.txt pins, by name."""
    text = (ROOT / f"requirements/{purpose}.txt").read_text()
    found = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        pinned = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", entry)
        assert pinned is not None, f"requirements/{purpose}.txt: expected NAME==VERSION, found {entry[:60]}"
        hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
        found[pinned[1]] = Requirement(pinned[1], pinned[2], hashes)
    return found


def chosen(wheel_set: str) -> list[Requirement]:
    """Return the requirements of a set."""
    purpose, names = SETS[wheel_set]
    pinned = requirements(purpose)
    return list(pinned.values()) if names is None else [pinned[name] for name in names]


def download(wanted: dict[str, tuple[str, frozenset[str]]], directory: Path) -> None:
    """Download the target's wheel of each package, checked by its hashes.

    Raises: SystemExit when there is none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    listed = directory / "requirements.txt"
    listed.write_text(
        "".join(
            f"{name}=={version} {' '.join(f'--hash=sha256:{digest}' for digest in sorted(hashes))}\n"
            for name, (version, hashes) in sorted(wanted.items())
        )
    )
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR_MAX, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    tags = [word for platform in platforms for word in ("--platform", platform)]
    abis = [word for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none") for word in ("--abi", abi)]
    target = ["--python-version", PYTHON, "--implementation", "cp", *abis, *tags]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", *target, "--dest", str(directory), "-r", str(listed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"pip cannot download the wheels of wheels.json: {done.stderr.strip()[-2000:]}")


def lock() -> dict[str, Any]:
    """Return which wheel of each package the target takes."""
    sets: dict[str, Any] = {}
    for wheel_set in SETS:
        directory = CACHE / wheel_set
        wanted = {each.name: (each.version, each.hashes) for each in chosen(wheel_set)}
        download(wanted, directory)
        files = {(_normal(file.name.split("-")[0]), file.name.split("-")[1]): file for file in directory.glob("*.whl")}
        sets[wheel_set] = {
            name: _pin(files[_normal(name), version], version) for name, (version, _) in sorted(wanted.items())
        }
    return sets


def fetch() -> list[Path]:
    """Return the files of all locked wheels, downloading those that are not here."""
    files = []
    for wheel_set, pins in json.loads(LOCK.read_text()).items():
        directory = CACHE / wheel_set
        missing = {
            name: (pin["version"], frozenset({pin["sha256"]}))
            for name, pin in pins.items()
            if not (directory / pin["file"]).exists() or _digest(directory / pin["file"]) != pin["sha256"]
        }
        if missing:
            download(missing, directory)
        files += [directory / pin["file"] for pin in pins.values()]
    return files


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _pin(file: Path, version: str) -> dict[str, str]:
    return {"version": version, "file": file.name, "sha256": _digest(file)}


def main() -> None:
    """Do what the only argument says."""
    match sys.argv[1:]:
        case ["lock"]:
            LOCK.write_text(json.dumps(lock(), indent=1) + "\n")
        case ["fetch"]:
            sys.stdout.write("\n".join(map(str, fetch())) + "\n")
        case _:
            raise SystemExit("usage: python -m nix.python.lock lock|fetch")


if __name__ == "__main__":
    main()
