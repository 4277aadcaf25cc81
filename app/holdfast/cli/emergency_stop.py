"""`holdfast emergency-stop`: halt everything at the venue and prove it, with every service down if need be."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli._audited import record
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.cli.trip import Operator, operator_or_user
from holdfast.emergency_stop import UNSAID, execute, plan_of
from holdfast.errors import BadInput

# The only action that may go without a reason and a name: it is not held up by a missing option.
Why = Annotated[str, typer.Option("--reason", help="Why; kept for ever. May be left out.")]
Credentials = Annotated[
    str, typer.Option("--credentials", help="Directory with the files alpaca_api_key and alpaca_api_secret.")
]
Queue = Annotated[bool, typer.Option("--queue", help="While the session is closed, queue closing orders for the open.")]
Deadline = Annotated[float, typer.Option("--deadline-s", help="How long to keep trying.", min=1.0)]


def run(
    config: Path,
    *,
    env: str,
    credentials: str,
    operator: str,
    is_json: bool,
    action: str = "emergency_stop",
    **wishes: Any,  # noqa: ANN401 - what Plan takes
) -> None:
    """Do what is wished and leave with the exit code."""
    try:
        name = operator_or_user(operator)
    except BadInput:
        name = f"user {os.getuid()}"
    plan = plan_of(config, env=env, credentials_dir=credentials, operator=name, **wishes)
    code = execute(plan, is_json=is_json)
    if plan.latch_file is not None:
        record(
            plan.latch_file.parent,
            action=action,
            operator=name,
            reason=plan.reason,
            detail=f"exit code {code}",
            is_needed=False,
        )
    raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="emergency-stop")
    def emergency_stop(
        *,
        is_flatten: Annotated[bool, typer.Option("--flatten", help="Close every position too.")] = False,
        may_queue: Queue = False,
        is_suspend: Annotated[bool, typer.Option(help="Set the venue's own suspend_trade.")] = True,
        reason: Why = UNSAID,
        operator: Operator = "",
        credentials: Credentials = "",
        deadline_s: Deadline = 60.0,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_json: Json = False,
    ) -> None:
        """Set the latch, cancel all, prove that nothing is open, suspend trading at the venue; 0 only when proven."""
        run(
            config,
            env=env,
            credentials=credentials,
            operator=operator,
            is_json=is_json,
            reason=reason,
            is_flatten=is_flatten,
            may_queue=may_queue,
            is_suspend=is_suspend,
            deadline_s=deadline_s,
        )
