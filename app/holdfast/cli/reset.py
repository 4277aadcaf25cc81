"""`holdfast reset`: clear the kill latch and the circuit breakers."""

import json
from pathlib import Path
from typing import Annotated

import typer

from holdfast import audit, clock
from holdfast._native import KillLatch
from holdfast.cli._audited import record
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.cli.trip import Operator, Reason, operator_or_user, required_reason
from holdfast.emergency_stop import OutOfTime, Refused, Report, Unusable, Venue, plan_of
from holdfast.errors import OperatingError
from holdfast.gateway.view import JournalView
from holdfast.journals import open_latch
from holdfast.settings import Settings, load_settings

RESUME_TIMEOUT_S = 30.0
STOPS = frozenset({"trip", "emergency_stop", "flatten"})
Own = Annotated[
    bool, typer.Option("--own", help="Only if this operator set the latch and nothing stopped trading since.")
]
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


def other_stops(settings: Settings, latch: KillLatch, operator: str) -> list[str]:
    """Return what else keeps trading stopped than the latch that `operator` set: all of it would be cleared with it."""
    if not latch.is_set or latch.operator != operator:
        return [
            f"the latch is {'set' if latch.is_set else 'cleared'} by {latch.operator or 'a script'}: {latch.reason}"
        ]
    found = [
        f"{done['action']} by {done['operator']}: {done['reason']}"
        for done in audit.actions(settings.state_dir, since_ns=latch.ts_ns)
        if done.get("action") in STOPS
        # The latch holds less of a long reason than the trail does.
        and not (done.get("operator") == operator and str(done.get("reason")).startswith(latch.reason))
    ]
    view = JournalView(settings)
    view.catch_up()
    found += [
        f"breaker {tripped.rule.label} {tripped.strategy} {tripped.symbol}".rstrip()
        for tripped in view.breakers
        if tripped.ts_ns >= latch.ts_ns
    ]
    view.close()
    return found


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="reset")
    def reset(
        *,
        reason: Reason,
        operator: Operator = "",
        is_venue_resumed: ResumeVenue = False,
        is_own: Own = False,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_json: Json = False,
    ) -> None:
        """Clear the kill latch and the circuit breakers; entries go on once everything else allows them."""
        name, why = operator_or_user(operator), required_reason(reason)
        if is_venue_resumed:
            lift_suspension(config, env=env)
        settings = load_settings(config, env=env)
        latch = open_latch(settings)
        if is_own and (others := other_stops(settings, latch, name)):
            raise OperatingError(
                f"nothing was reset: {'; '.join(others)}; find out why, then reset without --own once it is over"
            )
        record(settings.state_dir, action="reset", operator=name, reason=why, is_needed=True)
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
