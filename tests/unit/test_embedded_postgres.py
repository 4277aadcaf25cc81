"""Which PostgreSQL the demo starts."""

from pathlib import Path

import pytest

from holdfast.store.embedded import find_binaries


def test_server_on_path_goes_before_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "initdb"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binaries() == tmp_path.resolve()
