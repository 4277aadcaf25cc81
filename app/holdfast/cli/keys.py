"""`holdfast keys`: the CURVE keys of the relay and of those who may read from it."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from holdfast import curve
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Json
from holdfast.errors import ConfigError
from holdfast.settings import load_settings

KeysDir = Annotated[Path | None, typer.Option("--dir", help="Directory of the keys; default: what system.json says.")]
KeyName = Annotated[str, typer.Argument(help="relay for the server, mirror for the client.")]


def _directory(keys_dir: Path | None, config: Path) -> Path:
    if keys_dir is not None:
        return keys_dir
    settings = load_settings(config)
    return settings.services.relay.keys_dir or settings.state_dir / "keys"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="CURVE keys of the relay: generate, show, allow.")
    app.add_typer(group, name="keys")

    @group.command()
    def generate(
        name: KeyName, *, keys_dir: KeysDir = None, config: ConfigDir = DEFAULT_CONFIG_DIR, as_json: Json = False
    ) -> None:
        """Make a key pair; the secret half (mode 0600) is never printed."""
        directory = _directory(keys_dir, config)
        public = curve.generate(directory, name).public.decode()
        if as_json:
            typer.echo(
                json.dumps({"name": name, "public_key": public, "secret_file": str(directory / f"{name}.secret")})
            )
        else:
            typer.echo(public)

    @group.command()
    def show(
        name: Annotated[str, typer.Argument(help="A key pair; without one, the clients that may connect.")] = "",
        *,
        keys_dir: KeysDir = None,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        as_json: Json = False,
    ) -> None:
        """Print a public key, or the clients that may connect and what they may read."""
        directory = _directory(keys_dir, config)
        if name:
            public = curve.load_public(directory, name)
            typer.echo(json.dumps({"name": name, "public_key": public}) if as_json else public)
            return
        allowed = curve.load_allowed(directory)
        if as_json:
            rows = {
                one: {"public_key": client.public_key, "journals": client.journals} for one, client in allowed.items()
            }
            typer.echo(json.dumps(rows))
            return
        table = Table("client", "public key", "journals")
        for one, client in sorted(allowed.items()):
            table.add_row(one, client.public_key, " ".join(client.journals))
        Console().print(table)

    @group.command()
    def allow(
        name: Annotated[str, typer.Argument(help="Name of the client; its messages carry it.")],
        public_key: Annotated[str, typer.Argument(help="Its public key, 40 characters.")],
        journals: Annotated[list[str], typer.Argument(help="The journals it may read.")],
        *,
        keys_dir: KeysDir = None,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        as_json: Json = False,
    ) -> None:
        """Let a client connect and read the named journals; a running relay sees it at once."""
        directory = _directory(keys_dir, config)
        unknown = sorted(set(journals) - set(curve.JOURNALS))
        if unknown:
            file = directory / curve.ALLOWED_FILE
            raise ConfigError(file=file, key=name, expected=" | ".join(curve.JOURNALS), found=" ".join(unknown))
        curve.allow(directory, name, curve.Client(public_key, journals))
        typer.echo(
            json.dumps({"name": name, "journals": journals}) if as_json else f"{name} may read {' '.join(journals)}"
        )
