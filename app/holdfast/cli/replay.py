"""`holdfast replay`: a recorded day again, byte for byte."""

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from holdfast import clock
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.replay import replay_decisions, replay_signals
from holdfast.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="replay")
    def replay(config: ConfigDir = DEFAULT_CONFIG_DIR, env: Env = "", json_output: Json = False) -> None:
        """Run the recorded inputs through strategies and risk gate again and compare every output."""
        settings = load_settings(config, env=env)
        started_ns = clock.monotonic_ns()
        results = [replay_signals(settings), replay_decisions(settings)]
        duration_s = (clock.monotonic_ns() - started_ns) / 1e9
        is_identical = not any(result.difference for result in results)
        if json_output:
            journals = [asdict(result) for result in results]
            typer.echo(json.dumps({"journals": journals, "duration_s": duration_s, "ok": is_identical}))
        else:
            table = Table("journal", "inputs", "records compared", "difference")
            for result in results:
                table.add_row(result.journal, f"{result.inputs:,}", f"{result.records:,}", result.difference or "none")
            console = Console()
            console.print(table)
            console.print(f"{'identical' if is_identical else 'different'} after {duration_s:.2f} s")
        raise typer.Exit(0 if is_identical else 1)
