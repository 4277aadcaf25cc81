"""`holdfast reset`: clear the kill latch and the circuit breakers."""

import json

import typer

from holdfast import clock
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.cli.trip import Operator, Reason, operator_or_user, required_reason
from holdfast.journals import open_latch
from holdfast.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="reset")
    def reset(
        reason: Reason,
        operator: Operator = "",
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_json: Json = False,
    ) -> None:
        """Clear the kill latch and the circuit breakers; entries go on once everything else allows them."""
        name, why = operator_or_user(operator), required_reason(reason)
        latch = open_latch(load_settings(config, env=env))
        was_set = latch.is_set
        has_changed = latch.reset(name, why, clock.now_ns())
        if is_json:
            answer = {
                "is_set": latch.is_set,
                "was_set": was_set,
                "has_changed": has_changed,
                "generation": latch.generation,
            }
            typer.echo(json.dumps(answer | {"operator": latch.operator, "reason": latch.reason}))
        elif not has_changed:
            typer.echo("the latch changed meanwhile: look at it with holdfast status, then reset again")
        else:
            typer.echo(f"reset by {name}: {why}" + ("" if was_set else " (the latch was clear; breakers are cleared)"))
        if latch.is_set or not has_changed:
            raise typer.Exit(1)
