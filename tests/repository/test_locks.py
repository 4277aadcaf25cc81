"""The release's locks name the versions and files that requirements/*.txt pin; nothing drifts apart unseen."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHEELS = json.loads((ROOT / "app/nix/python/wheels.json").read_text())
PURPOSES = {"runtime": "runtime", "test": "dev", "build": "dev", "tools": "nix"}


def pinned(purpose: str) -> dict[str, tuple[str, set[str]]]:
    entries = re.split(r"\n(?=\S)", (ROOT / f"requirements/{purpose}.txt").read_text().strip())
    found = {}
    for entry in entries:
        match = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", entry)
        assert match is not None
        found[match[1]] = (match[2], set(re.findall(r"sha256:([0-9a-f]{64})", entry)))
    return found


@pytest.mark.parametrize("wheel_set", sorted(PURPOSES))
def test_wheels_are_those_that_the_requirements_pin(wheel_set: str) -> None:
    requirements = pinned(PURPOSES[wheel_set])
    for name, pin in WHEELS[wheel_set].items():
        version, hashes = requirements[name]
        assert (name, pin["version"]) == (name, version), "run make lock-base"
        assert pin["sha256"] in hashes, f"{pin['file']}: run make lock-base"


@pytest.mark.parametrize("wheel_set", ["runtime", "tools"])
def test_no_requirement_is_left_out(wheel_set: str) -> None:
    assert WHEELS[wheel_set].keys() == pinned(PURPOSES[wheel_set]).keys(), "run make lock-base"


def test_base_is_pinned_by_hash() -> None:
    lock = json.loads((ROOT / "app/nix/debian/lock.json").read_text())
    pins = [pin for tree in ("seed", "runtime", "tools", "build", "servers") for pin in lock[tree].values()]
    assert len(pins) > 50
    assert [pin for pin in pins if not re.fullmatch(r"[0-9a-f]{64}", pin["sha256"])] == []
