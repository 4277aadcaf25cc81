"""`holdfast simulate`: every service in one process under simulated faults, seed by seed."""

import json
import os
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from holdfast.cli.options import Json
from holdfast.simulation.fleet import run_fleet, scratch, summarise
from holdfast.simulation.run import run_seed, show_logs

VIOLATIONS_SHOWN_MAX = 20


def _show(console: Console, summary: dict[str, Any]) -> None:
    table = Table(title="The simulation", show_header=False)
    first, count = summary["first_seed"], summary["seeds"]
    table.add_row("seeds", f"{first}..{first + count - 1}: {count} in {summary['duration_s']} s")
    table.add_row("simulated time", f"{summary['simulated_s']:,} s")
    table.add_row("orders, fills", f"{summary['orders']:,}, {summary['fills']:,}")
    table.add_row("faults", ", ".join(f"{name} {number:,}" for name, number in summary["faults"].items()) or "none")
    table.add_row("violations", str(len(summary["violations"])))
    if count == 1:
        table.add_row("event hash", ", ".join(summary["event_hashes"].values()))
    console.print(table)
    for violation in summary["violations"][:VIOLATIONS_SHOWN_MAX]:
        what = f"invariant {violation['invariant']}, {violation['name'].replace('_', ' ')}: {violation['detail']}"
        console.print(f"[red]✗[/] seed {violation['seed']}: {what}\n  again: {violation['replay']}")
    console.print("[green]all is well[/]" if summary["ok"] else "[red]not well[/]")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="simulate")
    def simulate(
        *,
        seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds to run.")] = 1000,
        seed: Annotated[int, typer.Option("--seed", min=0, help="The first of them.")] = 1,
        jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes; 0: one a core.")] = 0,
        is_logged: Annotated[bool, typer.Option("--logs", help="Run one seed here and show the logs.")] = False,
        as_json: Json = False,
    ) -> None:
        """Let seeded days with faults happen in simulated time; exit 1 when an invariant does not hold."""
        errors = Console(stderr=True)
        if is_logged:
            show_logs()
            with scratch() as directory:
                outcome = run_seed(seed, directory)
            summary = summarise([outcome], first_seed=seed, duration_s=0.0)
        else:
            with Progress(
                console=errors, transient=True, disable=not errors.is_terminal, auto_refresh=False
            ) as progress:
                task = progress.add_task("seeds", total=seeds)

                def tell(done: int, broken: int) -> None:
                    progress.update(task, completed=done, description=f"seeds, {broken} with violations", refresh=True)

                summary = run_fleet(seed, seeds, jobs=jobs or os.cpu_count() or 1, on_progress=tell)
        if as_json:
            typer.echo(json.dumps(summary))
        else:
            _show(Console(), summary)
        if not summary["ok"]:
            raise typer.Exit(1)
