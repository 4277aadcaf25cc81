"""`holdfast run SERVICE`: one service in this process."""

import importlib
from typing import Annotated

import typer

from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env
from holdfast.errors import ConfigError
from holdfast.service import run_service
from holdfast.settings import load_settings
from holdfast.settings.schema import SERVICES


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="run")
    def run(
        service: Annotated[str, typer.Argument(help=" | ".join(SERVICES), autocompletion=lambda: list(SERVICES))],
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
    ) -> None:
        """Run one service until SIGTERM."""
        if service not in SERVICES:
            raise ConfigError(file="holdfast run", key="SERVICE", expected=" | ".join(SERVICES), found=service)
        module = importlib.import_module(f"holdfast.services.{service.replace('-', '_')}")
        run_service(service, load_settings(config, env=env), module.run)
