"""The set-up's choices, on folders of pretended tools; its steps run for real in every `make`."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from repository.tree import ROOT, tracked_files

TOOLCHAIN = ROOT / "app/setup/toolchain.sh"
RUST_MIN = re.search(r'^rust-version = "(.*)"$', (ROOT / "app/native/Cargo.toml").read_text(), re.MULTILINE)


def shell(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f". {TOOLCHAIN}; {script}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables)


def pretend(folder: Path, name: str, answer: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("found", "wanted", "is_enough"),
    [("1.88.0", "1.88", True), ("1.100.0", "1.88", True), ("1.9.0", "1.88", False), ("1.85.1", "1.88", False)],
)
def test_versions_compare_by_number(found: str, wanted: str, is_enough: bool) -> None:
    assert (shell(f"version_at_least {found} {wanted}").returncode == 0) == is_enough


def test_rust_on_the_path_is_taken_when_new_enough(tmp_path: Path) -> None:
    assert RUST_MIN is not None
    for name in ("cargo", "rustc"):
        pretend(tmp_path / "new", name, f"{name} {RUST_MIN[1]}.0 (of today)")
        pretend(tmp_path / "old", name, f"{name} 1.70.0 (of yesterday)")
    path = f"{tmp_path}/new:{os.environ['PATH']}"
    assert shell("find_rust", PATH=path).stdout.strip() == f"{tmp_path}/new"
    path = f"{tmp_path}/old:/usr/bin:/bin"
    assert shell("find_rust", PATH=path, CARGO_HOME=f"{tmp_path}/absent").stdout.strip() in {"", "/usr/bin"}


def test_python_that_cannot_make_environments_is_passed_over(tmp_path: Path) -> None:
    pretend(tmp_path / "bin", "python3", "Python 2.7")
    (tmp_path / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    found = shell("find_python", PATH=f"{tmp_path}/bin:{os.environ['PATH']}", PYTHON="")
    assert found.returncode == 0
    assert not found.stdout.startswith(str(tmp_path))


@pytest.mark.parametrize("script", [path for path in tracked_files() if path.endswith(".sh") or path == ".ci/run"])
def test_script_is_valid_and_stops_at_the_first_error(script: str) -> None:
    text = (ROOT / script).read_text()
    assert subprocess.run(["bash", "-n", str(ROOT / script)], check=False).returncode == 0
    is_sourced = not text.startswith("#!")
    assert is_sourced or "set -euo pipefail" in text


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(re.findall(r"^  make (\S+)", told.stdout, re.MULTILINE)) == set(phony[1].split())


@pytest.mark.parametrize("name", ["runtime", "dev", "bench"])
def test_every_dependency_is_pinned_by_hash(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert len(requirements) > 10
    assert [r for r in requirements if not re.match(r"[\w.\[\],-]+==\S+ ", r) or "--hash=sha256:" not in r] == []
