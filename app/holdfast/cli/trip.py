"""`holdfast trip`: stop all entries now, with every service down if need be."""

import json
import os
from typing import Annotated

import typer

from holdfast import clock
from holdfast.cli._audited import record
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.errors import BadInput
from holdfast.journals import open_latch
from holdfast.settings import load_settings

Reason = Annotated[str, typer.Option("--reason", help="Why; kept for ever.")]
Operator = Annotated[str, typer.Option("--operator", help="Who; default: the user who called sudo, or this user.")]


def operator_or_user(operator: str) -> str:
    """Return the operator's name, from the environment when none is given. Raises: BadInput without any."""
    found = operator.strip() or os.environ.get("SUDO_USER", "") or os.environ.get("USER", "")
    if not found:
        raise BadInput("no operator: give --operator NAME")
    return found


def required_reason(reason: str) -> str:
    """Return the reason. Raises: BadInput for an empty one."""
    if not reason.strip():
        raise BadInput("no reason: give --reason TEXT")
    return reason.strip()


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="trip")
    def trip(
        reason: Reason,
        operator: Operator = "",
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_json: Json = False,
    ) -> None:
        """Set the kill latch: no entry order leaves until an operator resets it."""
        name, why = operator_or_user(operator), required_reason(reason)
        settings = load_settings(config, env=env)
        latch = open_latch(settings)
        has_changed = latch.trip(name, why, clock.now_ns())
        record(settings.state_dir, action="trip", operator=name, reason=why, is_needed=False)
        if is_json:
            answer = {"is_set": latch.is_set, "has_changed": has_changed, "generation": latch.generation}
            typer.echo(json.dumps(answer | {"operator": latch.operator, "reason": latch.reason}))
        elif has_changed:
            typer.echo(f"TRIPPED by {name}: {why}")
        else:
            typer.echo(f"was tripped already by {latch.operator or 'a script'}: {latch.reason}")
