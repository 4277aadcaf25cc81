"""Operator actions of the command line go into the audit trail."""

from pathlib import Path

import typer

from holdfast import audit, clock
from holdfast.errors import OperatingError

HELP = "what an operator does is recorded: make room on the disk, or look who holds STATE/audit/trail.jsonl"


def record(
    state_dir: Path, *, action: str, operator: str, reason: str, subject: str = "", detail: str = "", is_needed: bool
) -> None:
    """Record an action. What makes trading safer is done first and only warns; what loosens needs its record.

    Raises: OperatingError when the record is needed and cannot be written.
    """
    try:
        audit.append(
            state_dir,
            action=action,
            operator=operator,
            reason=reason,
            ts_ns=clock.now_ns(),
            subject=subject,
            detail=detail,
        )
    except OSError as error:
        if is_needed:
            raise OperatingError(f"{action} refused, the audit trail cannot be written: {error}; {HELP}") from None
        typer.echo(f"NOT in the audit trail: {error}; {HELP}", err=True)
