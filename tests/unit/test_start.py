"""`holdfast run SERVICE`: the short way of a service manager's line, and what is left to the command itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.cli._start import DEFAULT_CONFIG_DIR, plain_arguments


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run recorder", ("recorder", DEFAULT_CONFIG_DIR, "")),
        ("run recorder --config /a", ("recorder", Path("/a"), "")),
        ("run recorder --config=/a --env production", ("recorder", Path("/a"), "production")),
        ("run recorder --config", None),
        ("run recorder --help", None),
        ("run --config /a recorder", None),
        ("run", None),
        ("status --json", None),
        ("", None),
    ],
)
def test_only_a_plain_line_is_taken_the_short_way(
    line: str, expected: tuple[str, Path, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    assert plain_arguments(line.split()) == expected


def test_the_configuration_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_CONFIG", "/elsewhere")
    assert plain_arguments(["run", "relay"]) == ("relay", Path("/elsewhere"), "")


@pytest.mark.parametrize(
    "line", [["run", "recorder"], ["run", "recorders"], ["run", "--config", "/nowhere", "recorder"]]
)
def test_either_way_a_bad_configuration_is_exit_code_78(line: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", *line],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOLDFAST_CONFIG": "/nowhere"},
    )
    assert done.returncode == 78
    assert done.stderr.startswith("configuration error: ")


def test_a_service_loads_neither_typer_nor_rich() -> None:
    script = (
        "import sys; sys.argv = ['holdfast', 'run', 'recorder', '--config', '/nowhere']\n"
        "from holdfast.cli import main\n"
        "assert main() == 78\n"
        "import holdfast.services.recorder\n"
        "print(sorted({'typer', 'rich', 'click', 'fastapi', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
