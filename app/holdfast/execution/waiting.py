"""Approved orders that have not left: they wait for a connection, for stops to make way, or for room on the disk."""

from dataclasses import dataclass

from holdfast._native import Decision
from holdfast.execution.gate import Closed


@dataclass(slots=True)
class Waiting:
    """One such order.

    `is_withdrawn`: it was canceled, and the task that waits with it has not noticed yet. `unwritten`: why it does not
    leave, while a full disk keeps that from being written. `is_acted_on`: it is written what became of it.
    """

    decision: Decision
    is_withdrawn: bool = False
    unwritten: Closed | None = None
    is_acted_on: bool = False
