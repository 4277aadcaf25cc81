"""`holdfast demo`: a trading day on this machine."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from holdfast.cli.options import Json
from holdfast.demo.configuration import DemoOptions
from holdfast.demo.display import Display
from holdfast.demo.report import print_summary
from holdfast.demo.run import run_demo

DEFAULT_STATE_DIR = Path("state") / "demo"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="demo")
    def demo(
        *,
        duration: Annotated[float, typer.Option(help="Seconds to trade; 0: until the session ends or Ctrl-C.")] = 0,
        session: Annotated[str, typer.Option(help="Directory of recorded ticks; default: a synthetic market.")] = "",
        speed: Annotated[str, typer.Option(help="1, a factor, or max.")] = "1",
        seed: Annotated[int, typer.Option(help="Seed of the synthetic market and of the venue's matching.")] = 1,
        state_dir: Annotated[Path, typer.Option(help="Where the demo keeps its state; emptied at start.")] = (
            DEFAULT_STATE_DIR
        ),
        json_output: Json = False,
    ) -> None:
        """Start PostgreSQL, the simulated venue and every service here, trade, and check the result."""
        options = DemoOptions(
            state_dir=state_dir.resolve(),
            duration_s=duration or None,
            session=Path(session).resolve() if session else None,
            speed=speed,
            seed=seed,
        )
        console = Console(file=sys.stderr if json_output else sys.stdout)
        with Display(console) as display:
            summary = asyncio.run(run_demo(options, display.show))
        if json_output:
            typer.echo(json.dumps(summary))
        else:
            print_summary(console, summary)
        raise typer.Exit(0 if summary["ok"] else 1)
