"""Starts that must fail: a configuration that is not valid never runs."""

from collections.abc import Iterator

from holdfast.errors import EXIT_CONFIG
from holdfast.invariants.evidence import Evidence


def no_start_on_a_bad_configuration(evidence: Evidence) -> Iterator[str]:
    """A service that is started with a limit missing, zero, unlimited or no number refuses with the code for it."""
    start = evidence.ending.bad_start
    if start is None:
        return
    if start.is_ready:
        yield f"{start.service} became ready though {start.change}"
    elif start.exit_code != EXIT_CONFIG:
        yield f"{start.service} with {start.change}: exit code {start.exit_code}, expected {EXIT_CONFIG}"
