"""The routes of the risk limits: what is in force, proposals, and the second person's approval."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path

from holdfast.gateway import schemas
from holdfast.gateway.access import MISSING, REFUSALS, Admin, Operator, Viewer
from holdfast.gateway.limit_view import key_of
from holdfast.gateway.limits import Limits

SEQ_MAX = 2**63 - 1
Seq = Annotated[int, Path(ge=1, le=SEQ_MAX, description="Number of the proposal.")]
CHANGING: dict[int | str, dict[str, Any]] = {
    **MISSING,
    409: {"model": schemas.ErrorBody, "description": "Too many proposals wait."},
    503: {"model": schemas.ErrorBody, "description": "It cannot be journaled."},
}


def limit_routes(limits: Limits) -> APIRouter:
    """Return the routes of the limits."""
    router = APIRouter(prefix="/api/v1/limits", tags=["limits"], responses=REFUSALS)

    @router.get("")
    async def show(_token: Viewer) -> schemas.LimitsBody:
        """Show every limit that an operator may change: in force, configured, its bounds, and what is proposed."""
        return limits.view.body()

    @router.post("/proposals", responses=CHANGING)
    async def propose(token: Operator, request: schemas.LimitRequest) -> schemas.LimitAnswer:
        """Tighten a limit at once, or propose to loosen it: another person, an admin, must approve that."""
        value = Decimal(request.value)
        seq = limits.propose(token.name, request.reason, request.key, value, request.duration_s)
        return schemas.LimitAnswer(operator=token.name, key=request.key, proposal=seq or None, is_in_force=not seq)

    @router.post("/proposals/{seq}/approve", responses=CHANGING)
    async def approve(token: Admin, seq: Seq, request: schemas.OperatorRequest) -> schemas.LimitAnswer:
        """Put a proposal of another person in force until its end."""
        change = limits.approve(seq, token.name, request.reason)
        return schemas.LimitAnswer(operator=token.name, key=key_of(change.key), proposal=None, is_in_force=True)

    @router.post("/proposals/{seq}/withdraw", responses=CHANGING)
    async def withdraw(token: Operator, seq: Seq, request: schemas.OperatorRequest) -> schemas.LimitAnswer:
        """Take a proposal off the table."""
        name = limits.withdraw(seq, token.name, request.reason)
        return schemas.LimitAnswer(operator=token.name, key=key_of(name), proposal=None, is_in_force=False)

    return router
