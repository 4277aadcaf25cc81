"""`holdfast bench NAME|all`: measured figures beside their budgets and, where there is one, the peer."""

import contextlib
import dataclasses
import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol, cast

import typer
from rich.console import Console
from rich.table import Table

import holdfast.bench
from holdfast.bench import BenchResult
from holdfast.cli.options import Json
from holdfast.errors import ConfigError

ALL = "all"


class Benchmark(Protocol):
    """What a module of `holdfast.bench` offers."""

    NAME: str

    def run(self, *, quick: bool) -> list[BenchResult]:
        """Measure; `quick` takes a second or two and is less steady."""


def benchmarks() -> dict[str, str]:
    """Return the module of each benchmark by its name, without importing any: some load heavy peers."""
    names = [module.name for module in pkgutil.iter_modules(holdfast.bench.__path__) if not module.name.startswith("_")]
    return {name.replace("_", "-"): f"holdfast.bench.{name}" for name in names}


def table(results: Sequence[BenchResult]) -> Table:
    """Return the results as a table, one line each."""
    drawn = Table(title="Benchmarks")
    for heading in ("bench", "metric", "unit"):
        drawn.add_column(heading)
    for heading in ("ours", "budget", "peer"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("of")
    drawn.add_column("met")
    for each in results:
        met = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[each.met]
        figures = [_figure(each.ours), _figure(each.budget), _figure(each.peer)]
        drawn.add_row(each.bench, each.metric, each.unit, *figures, each.peer_name, met)
    return drawn


def _figure(value: float | None) -> str:
    """Return a number with three digits that matter, thousands grouped."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@contextlib.contextmanager
def _stdout_kept_for_results() -> Iterator[None]:
    """Send to stderr what benchmarks, their processes and the peers print meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 1)
        os.close(kept)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="bench")
    def bench(
        name: Annotated[
            str, typer.Argument(help="A benchmark, or `all`.", autocompletion=lambda: [ALL, *benchmarks()])
        ],
        quick: Annotated[bool, typer.Option("--quick", help="A second or two each, less steady.")] = False,
        is_json: Json = False,
    ) -> None:
        """Measure. The exit code says whether every benchmark ran; whether a budget is met stands in the results."""
        known = benchmarks()
        if name != ALL and name not in known:
            expected = " | ".join([ALL, *known])
            raise ConfigError(file="holdfast bench", key="NAME", expected=expected, found=name)
        results: list[BenchResult] = []
        failures = 0
        for each in known if name == ALL else [name]:
            if not is_json:
                typer.echo(f"running {each} ...", err=True)
            try:
                with _stdout_kept_for_results():
                    module = cast("Benchmark", importlib.import_module(known[each]))
                    results += module.run(quick=quick)
            except Exception as error:  # noqa: BLE001 - one benchmark that cannot run must not hide the others
                failures += 1
                typer.echo(f"{each} did not run: {type(error).__name__}: {error}", err=True)
        if is_json:
            typer.echo(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
        else:
            Console().print(table(results))
        if failures:
            raise typer.Exit(1)
