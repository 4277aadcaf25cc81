"""Where labs keep what they have: images and one folder a lab, outside the repository, since a host is gigabytes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATE = Path(os.environ.get("HOLDFAST_LAB", "/var/cache/holdfast-lab"))
IMAGES = STATE / "images"
LABS = STATE / "labs"


class LabError(Exception):
    """What the caller can read and act upon; the command ends with it."""


def run(*command: str | Path) -> str:
    """Run a program and return what it printed; raise LabError with its words when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {told}")
    return done.stdout


def say(text: str) -> None:
    """Tell the person at the terminal; stdout is for results."""
    sys.stderr.write(f"lab: {text}\n")
    sys.stderr.flush()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock beside a file or folder; wait for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
