"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigDir = Annotated[
    Path,
    typer.Option("--config", envvar="HOLDFAST_CONFIG", help="Directory with system.json and risk_limits.toml."),
]
Env = Annotated[str, typer.Option("--env", help="development, staging or production; default: what system.json says.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

DEFAULT_CONFIG_DIR = Path("/etc/holdfast")


def register(_app: typer.Typer) -> None:
    """Register nothing: this file holds no command."""
