"""`holdfast run SERVICE`: one service in this process."""

from typing import Annotated

import typer

from holdfast.cli._start import DEFAULT_CONFIG_DIR, start
from holdfast.cli.options import ConfigDir, Env
from holdfast.settings.schema import SERVICES


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="run")
    def run(
        service: Annotated[str, typer.Argument(help=" | ".join(SERVICES), autocompletion=lambda: list(SERVICES))],
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        mirror: Annotated[
            str,
            typer.Option(metavar="HOST", help="relay only: rebuild the journals of that host's relay here."),
        ] = "",
    ) -> None:
        """Run one service until SIGTERM."""
        start(service, config, env, mirror_address=mirror)
