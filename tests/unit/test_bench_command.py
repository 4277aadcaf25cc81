"""`holdfast bench`: what it finds, what it prints, how it ends."""

import json
import os
import sys
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from holdfast.bench import BenchResult
from holdfast.cli import bench
from holdfast.errors import ConfigError

FAST = BenchResult(
    bench="fast",
    metric="update",
    unit="ns",
    ours=81.25,
    budget=80.0,
    peer=162.0,
    peer_name="nautilus_trader",
    met=False,
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    def module(name: str, results: list[BenchResult] | Exception) -> None:
        made = ModuleType(name)

        def run(*, quick: bool) -> list[BenchResult]:
            sys.stdout.write("a library says something\n")
            os.write(1, b"a process says something\n")
            if isinstance(results, Exception):
                raise results
            return results

        made.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, made)

    module("bench_fast", [FAST])
    module("bench_broken", RuntimeError("no core is free"))
    monkeypatch.setattr(bench, "benchmarks", lambda: {"broken": "bench_broken", "fast": "bench_fast"})
    made = typer.Typer()
    bench.register(made)
    made.callback()(lambda: None)
    return made


def test_json_is_the_list_of_results_and_alone_on_stdout(app: typer.Typer, capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["bench", "fast", "--json"])
    assert done.exit_code == 0
    assert capfd.readouterr() == ("", "a process says something\n")
    (result,) = json.loads(done.stdout)
    assert list(result) == ["bench", "metric", "unit", "ours", "budget", "peer", "peer_name", "met"]
    assert (result["ours"], result["budget"], result["met"]) == (81.25, 80.0, False)


def test_the_table_shows_ours_budget_and_peer(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["bench", "fast"], env={"COLUMNS": "160"})
    assert done.exit_code == 0
    for text in ("81.2", "80", "162", "nautilus_trader", "no"):
        assert text in done.stdout


def test_a_benchmark_that_cannot_run_does_not_hide_the_others(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["bench", "all", "--json"])
    assert done.exit_code == 1
    assert [each["bench"] for each in json.loads(done.stdout)] == ["fast"]
    assert "no core is free" in done.stderr


def test_an_unknown_name_is_refused_with_the_known_ones(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["bench", "slow"])
    assert isinstance(done.exception, ConfigError)
    assert "all | broken | fast" in str(done.exception)
