"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli._start import CONFIG_VARIABLE, DEFAULT_CONFIG_DIR

__all__ = ["DEFAULT_CONFIG_DIR", "ConfigDir", "Env", "Json"]

ConfigDir = Annotated[
    Path,
    typer.Option("--config", envvar=CONFIG_VARIABLE, help="Directory with system.json and risk_limits.toml."),
]
Env = Annotated[str, typer.Option("--env", help="development, staging or production; default: what system.json says.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(_app: typer.Typer) -> None:
    """Register nothing: this file holds no command."""
