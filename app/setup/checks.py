"""Run every check of the repository and say at the end which failed.

A part's failure does not stop the others. Exit 0 only if all passed. The last line is pytest's closing line.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = "--manifest-path=app/native/Cargo.toml"
PYTHON_SOURCES = ("app", "tests")


@dataclass(frozen=True)
class Check:
    """One part: a command that exits 0 when all is well."""

    group: str
    name: str
    command: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()


CHECKS = (
    Check("lint", "ruff check", ("ruff", "check", "--quiet", *PYTHON_SOURCES)),
    Check("lint", "ruff format", ("ruff", "format", "--quiet", "--check", "--diff", *PYTHON_SOURCES)),
    Check("lint", "import contracts", ("lint-imports", "--no-cache", "--no-logo")),
    Check("lint", "cargo fmt", ("cargo", "fmt", MANIFEST, "--all", "--check")),
    Check("types", "mypy --strict", ("mypy", *PYTHON_SOURCES)),
    Check(
        "lint",
        "clippy",
        ("cargo", "clippy", MANIFEST, "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"),
    ),
    # The properties draw the same cases each time; another seed explores.
    Check(
        "native",
        "cargo test",
        ("cargo", "test", MANIFEST, "--quiet", "--locked", "--workspace", "--no-fail-fast"),
        (("PROPTEST_RNG_SEED", os.environ.get("PROPTEST_RNG_SEED", "1")),),
    ),
    # Every interleaving of the journal's writer and readers, under a model of the memory.
    Check(
        "native",
        "loom",
        ("cargo", "test", MANIFEST, "--quiet", "--locked", "--release", "--package=holdfast-journal", "--lib"),
        (("RUSTFLAGS", "--cfg loom"), ("CARGO_TARGET_DIR", "app/native/target/loom")),
    ),
    # A thousand seeds in simulated time; the commands that replay failing ones are printed.
    Check(
        "tests",
        "simulation",
        ("python", "-m", "holdfast", "simulate", "--seeds", "1000", "--seed", "1"),
        # That of text is part of a seed: workers need no start of their own where it is so from the beginning.
        (("PYTHONHASHSEED", "0"),),
    ),
    # Real processes under faults and crashes; what a failing run left is kept, with the command that replays it.
    Check("tests", "campaign", ("python", "-m", "holdfast", "campaign", "--runs", "40", "--seed", "1")),
    # Three workers on two cores: most of a test is waiting for processes to start and to come to rest.
    Check("tests", "pytest", ("python", "-m", "pytest", "-n", "3")),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    check: Check
    exit_code: int
    duration_s: float
    closing_line: str


def run(check: Check) -> Outcome:
    """Run one part, showing its output as it comes."""
    sys.stdout.write(f"--- {check.name}: {' '.join(check.command)}\n")
    sys.stdout.flush()
    started_s = time.monotonic()
    line = ""
    with subprocess.Popen(
        check.command,
        cwd=ROOT,
        env=os.environ | dict(check.variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
    return Outcome(check, process.returncode, time.monotonic() - started_s, line.strip())


def summary(outcomes: list[Outcome]) -> str:
    """Return a line for each part; pytest's closing line, if it ran, comes last."""
    width = max(len(outcome.check.name) for outcome in outcomes)
    lines = [
        f"{'ok    ' if outcome.exit_code == 0 else 'FAILED'} {outcome.check.name:{width}} {outcome.duration_s:6.1f} s"
        for outcome in outcomes
    ]
    closing_lines = [outcome.closing_line for outcome in outcomes if outcome.check.name == "pytest"]
    return "\n".join(["", *lines, *closing_lines, ""])


def main() -> int:
    """Run the chosen parts."""
    groups = sorted({check.group for check in CHECKS})
    parser = argparse.ArgumentParser(description="Run every check of the repository.")
    parser.add_argument("--only", choices=groups, help="run one group of checks")
    chosen = parser.parse_args().only
    outcomes = [run(check) for check in CHECKS if chosen in {None, check.group}]
    sys.stdout.write(summary(outcomes))
    return 0 if all(outcome.exit_code == 0 for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
