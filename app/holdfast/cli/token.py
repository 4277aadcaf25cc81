"""`holdfast token create|list|revoke`: who may use the API. `commands` can be added below another command."""

import datetime as dt
import json
from typing import Annotated

import typer

from holdfast import clock
from holdfast.cli._audited import record
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.cli.trip import Operator, Reason, operator_or_user, required_reason
from holdfast.errors import BadInput
from holdfast.gateway.tokens import Role, TokenFile, tokens_file
from holdfast.settings import load_settings

commands = typer.Typer(name="token", help="Access tokens of the API.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Who uses it: an operator's or a program's name.")]
RoleName = Annotated[str, typer.Option("--role", help="viewer | operator | admin")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands)


@commands.command()
def create(
    name: Name,
    *,
    role: RoleName = "viewer",
    reason: Reason,
    operator: Operator = "",
    config: ConfigDir = DEFAULT_CONFIG_DIR,
    env: Env = "",
    is_json: Json = False,
) -> None:
    """Make a token and print it: this once, it is not stored."""
    if role.upper() not in Role.__members__:
        raise BadInput(f"role {role!r}: expected viewer, operator or admin")
    settings = load_settings(config, env=env)
    who, why = operator_or_user(operator), required_reason(reason)
    record(
        settings.state_dir,
        action="token_create",
        operator=who,
        reason=why,
        subject=name,
        detail=role,
        is_needed=True,
    )
    file = TokenFile(tokens_file(settings))
    secret = file.create(name, Role[role.upper()], dt.datetime.fromtimestamp(clock.now_ns() / 1e9, dt.UTC))
    typer.echo(json.dumps({"name": name, "role": role, "token": secret}) if is_json else secret)


@commands.command(name="list")
def list_tokens(config: ConfigDir = DEFAULT_CONFIG_DIR, env: Env = "", is_json: Json = False) -> None:
    """List names, roles and dates; never a token."""
    tokens = TokenFile(tokens_file(load_settings(config, env=env))).tokens()
    if is_json:
        typer.echo(json.dumps([{"name": token.name, "role": token.role, "created": token.created} for token in tokens]))
        return
    for token in tokens:
        typer.echo(f"{token.name:32}{token.role:10}{token.created}")


@commands.command()
def revoke(
    name: Name,
    *,
    reason: Reason,
    operator: Operator = "",
    config: ConfigDir = DEFAULT_CONFIG_DIR,
    env: Env = "",
    is_json: Json = False,
) -> None:
    """Revoke a token; a running gateway refuses it from the next request on."""
    settings = load_settings(config, env=env)
    who, why = operator_or_user(operator), required_reason(reason)
    TokenFile(tokens_file(settings)).revoke(name)
    record(settings.state_dir, action="token_revoke", operator=who, reason=why, subject=name, is_needed=False)
    typer.echo(json.dumps({"revoked": name}) if is_json else f"revoked {name}")
