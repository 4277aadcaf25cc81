"""`holdfast run SERVICE [--config DIR] [--env NAME]` as service managers write it, without what draws and completes.

A service that loads typer for its one line of arguments starts a third later. Whatever is written otherwise is left to
the command in `run.py`, which explains and refuses.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import ConfigError

DEFAULT_CONFIG_DIR = Path("/etc/holdfast")
CONFIG_VARIABLE = "HOLDFAST_CONFIG"
OPTIONS = ("--config", "--env")


def plain_arguments(arguments: Sequence[str]) -> tuple[str, Path, str] | None:
    """Return service, configuration directory and environment; None for arguments that are not plainly these."""
    if len(arguments) < 2 or arguments[0] != "run" or arguments[1].startswith("-"):
        return None
    values = {"--config": os.environ.get(CONFIG_VARIABLE) or str(DEFAULT_CONFIG_DIR), "--env": ""}
    rest = list(arguments[2:])
    while rest:
        option, is_joined, value = rest.pop(0).partition("=")
        if option not in OPTIONS or not (is_joined or rest):
            return None
        values[option] = value if is_joined else rest.pop(0)
    return arguments[1], Path(values["--config"]), values["--env"]


def start(service: str, config: Path, env: str, *, mirror_address: str = "") -> None:
    """Run one service until SIGTERM; `mirror_address` makes the relay a mirror of that host's.

    Raises: ConfigError for an unknown service or a configuration that cannot be used.
    """
    from holdfast.service import run_service  # noqa: PLC0415 - the command line itself does not need a service's frame
    from holdfast.settings import load_settings  # noqa: PLC0415
    from holdfast.settings.schema import SERVICES  # noqa: PLC0415

    if service not in SERVICES:
        raise ConfigError(file="holdfast run", key="SERVICE", expected=" | ".join(SERVICES), found=service)
    module = importlib.import_module(f"holdfast.services.{service.replace('-', '_')}")
    settings = load_settings(config, env=env)
    if mirror_address:
        if service != "relay":
            raise ConfigError(file="holdfast run", key="--mirror", expected="the service relay", found=service)
        relay = settings.services.relay.model_copy(update={"mirror_address": mirror_address})
        services = settings.services.model_copy(update={"relay": relay})
        settings = settings.model_copy(update={"services": services})
    run_service(service, settings, module.run)
