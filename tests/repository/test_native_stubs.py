import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import _native
from repository.tree import ROOT

# Constructors are `__new__` in the module; the checker synthesises an `__init__` for each record in the stub. Their
# fields are compared by the generator. A list of names is no use in a stub that has each name once.
ALLOWED = [f"holdfast._native.{record.__name__}.__init__" for record in _native.RECORDS] + ["holdfast._native.__all__"]


@pytest.mark.timeout(180)
def test_stubs_equal_the_module(tmp_path: Path) -> None:
    allowlist = tmp_path / "allowed"
    allowlist.write_text("\n".join(ALLOWED))
    command = [sys.executable, "-m", "mypy.stubtest", "holdfast._native", "--concise", "--allowlist", str(allowlist)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_generated_stubs_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "app/native/stubs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
