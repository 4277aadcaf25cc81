"""`holdfast reset`: clear the kill latch and the circuit breakers."""

import json
from pathlib import Path
from typing import Annotated

import typer

from holdfast import clock
from holdfast.cli._audited import record
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.cli.trip import Operator, Reason, operator_or_user, required_reason
from holdfast.emergency_stop import OutOfTime, Refused, Report, Unusable, Venue, plan_of
from holdfast.errors import OperatingError
from holdfast.journals import open_latch
from holdfast.settings import load_settings

RESUME_TIMEOUT_S = 30.0
ResumeVenue = Annotated[bool, typer.Option("--resume-venue", help="First lift the venue's own suspend_trade.")]


def lift_suspension(config: Path, *, env: str) -> None:
    """Let the venue take new orders again. Raises: OperatingError when it is not proven that it does."""
    plan = plan_of(config, env=env)
    if plan.trouble:
        raise OperatingError(plan.trouble)
    try:
        venue = Venue(plan, Report())
        venue.until_s = clock.monotonic_s() + RESUME_TIMEOUT_S
        venue.ask("PATCH", "/v2/account/configurations", {"suspend_trade": False})
        is_suspended = venue.ask("GET", "/v2/account/configurations", kind=dict).get("suspend_trade") is not False
        venue.close()
    except (OSError, OutOfTime, Refused, Unusable) as error:
        raise OperatingError(f"suspend_trade is not proven to be lifted, nothing was reset: {error}") from None
    if is_suspended:
        raise OperatingError("the venue still says suspend_trade, nothing was reset: run it again")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="reset")
    def reset(
        *,
        reason: Reason,
        operator: Operator = "",
        is_venue_resumed: ResumeVenue = False,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_json: Json = False,
    ) -> None:
        """Clear the kill latch and the circuit breakers; entries go on once everything else allows them."""
        name, why = operator_or_user(operator), required_reason(reason)
        if is_venue_resumed:
            lift_suspension(config, env=env)
        settings = load_settings(config, env=env)
        record(settings.state_dir, action="reset", operator=name, reason=why, is_needed=True)
        latch = open_latch(settings)
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
