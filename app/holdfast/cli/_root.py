"""The command line as typer sees it: what stands before the commands."""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Annotated

import typer

import holdfast
import holdfast.cli

app = typer.Typer(
    name="holdfast",
    help=holdfast.__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"holdfast {holdfast.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Run a trader's strategies on Alpaca behind limits they cannot talk their way past."""


def run_command(arguments: Sequence[str]) -> None:
    """Run a command; only its own module is imported, since all of them cost half a second of start-up."""
    wanted = arguments[0].replace("-", "_") if arguments else ""
    found = (module.name for module in pkgutil.iter_modules(holdfast.cli.__path__))
    names = [name for name in found if not name.startswith("_")]
    for name in [wanted] if wanted in names else names:
        importlib.import_module(f"holdfast.cli.{name}").register(app)
    app()
