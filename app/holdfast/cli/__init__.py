"""The command line: one file a command, each with a `register`."""

import importlib
import pkgutil
import sys
from typing import Annotated

import typer

import holdfast
from holdfast.errors import EXIT_CONFIG, ConfigError, HoldfastError

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


def main() -> int:
    """Run the command line; the exit code is 0 only when all is well, 78 for a bad configuration."""
    arguments = sys.argv[1:]
    # Importing every command costs half a second of start-up; a service needs only its own.
    wanted = arguments[0].replace("-", "_") if arguments else ""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    for name in [wanted] if wanted in names else names:
        importlib.import_module(f"holdfast.cli.{name}").register(app)
    try:
        app()
    except ConfigError as error:
        typer.echo(f"configuration error: {error}", err=True)
        return EXIT_CONFIG
    except HoldfastError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    return 0
