"""`holdfast flatten`: stop entries, cancel every order, close every position, and prove both."""

import typer

from holdfast.cli.emergency_stop import Credentials, Deadline, Queue, run
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.cli.trip import Operator, Reason, required_reason


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="flatten")
    def flatten(
        *,
        reason: Reason,
        may_queue: Queue = False,
        operator: Operator = "",
        credentials: Credentials = "",
        deadline_s: Deadline = 60.0,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_json: Json = False,
    ) -> None:
        """Set the latch, cancel all, close all positions; exit code 0 only when the account is proven flat."""
        run(
            config,
            env=env,
            credentials=credentials,
            operator=operator,
            is_json=is_json,
            action="flatten",
            reason=required_reason(reason),
            is_flatten=True,
            may_queue=may_queue,
            is_suspend=False,
            deadline_s=deadline_s,
        )
