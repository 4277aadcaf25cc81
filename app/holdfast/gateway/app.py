"""The routes of the API."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

import holdfast
from holdfast import metrics
from holdfast.errors import BadInput
from holdfast.gateway import answers, events, schemas
from holdfast.gateway.access import MISSING, OPEN_REFUSALS, REFUSALS, Operator, Viewer, identify
from holdfast.gateway.control import Control
from holdfast.gateway.guard import Guard, RequestRate
from holdfast.gateway.limit_routes import limit_routes
from holdfast.gateway.limits import Limits
from holdfast.gateway.refusal import Refusal
from holdfast.gateway.tokens import TokenFile
from holdfast.gateway.view import JournalView
from holdfast.logs import get_logger
from holdfast.settings import Settings

ROWS_MAX = 500
SYMBOL = r"^[A-Z0-9./]{1,16}$"
STRATEGY = r"^[a-z][a-z0-9_]{0,30}$"
ORDER_ID = r"^[!-~]{1,128}$"
CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
SUBPROTOCOL = "holdfast"

log = get_logger()

Limit = Annotated[int, Query(ge=1, le=ROWS_MAX, description="How many rows at most.")]
Symbol = Annotated[str, Query(pattern=rf"^$|{SYMBOL}", description="Only this symbol; empty means all.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the routes work on."""

    settings: Settings
    view: JournalView
    control: Control
    tokens: TokenFile
    limits: Limits
    stopping: asyncio.Event


def create_app(parts: Parts, *, rate: RequestRate | None = None) -> FastAPI:
    """Return the application; everything it says comes from `parts`."""
    app = FastAPI(
        title="Holdfast API",
        version=holdfast.__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        redirect_slashes=False,
    )
    app.state.tokens = parts.tokens
    app.include_router(_open_routes(parts))
    app.include_router(_reading_routes(parts))
    app.include_router(_risk_routes(parts))
    app.include_router(_operator_routes(parts))
    app.include_router(limit_routes(parts.limits))
    _add_events(app, parts)
    app.add_exception_handler(HTTPException, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, _answer_failure)
    app.add_middleware(Guard, rate=rate or RequestRate())
    return app


def _open_routes(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["health"], responses=OPEN_REFUSALS)

    @router.get("/health")
    async def health() -> schemas.HealthBody:
        """Say that the process answers."""
        return schemas.HealthBody()

    @router.get("/ready", responses={503: {"model": schemas.ReadyBody, "description": "It cannot trade now."}})
    async def ready(response: Response) -> schemas.ReadyBody:
        """Say whether every service is alive and the venue is reconciled."""
        reasons = parts.view.unready()
        response.status_code = 503 if reasons else 200
        return schemas.ReadyBody(is_ready=not reasons, reasons=reasons)

    return router


def _reading_routes(parts: Parts) -> APIRouter:
    view = parts.view
    router = APIRouter(prefix="/api/v1", tags=["trading"], responses=REFUSALS)

    @router.get("/status")
    async def status(_token: Viewer) -> schemas.StatusBody:
        """Show the system at a glance."""
        return answers.status_body(parts.settings, view, parts.control.latch)

    @router.get("/positions")
    async def positions(_token: Viewer, *, is_flat_included: bool = False) -> list[schemas.PositionBody]:
        """List positions."""
        held = (position for position in view.positions() if is_flat_included or position.quantity_e9)
        return [answers.position_body(position) for position in held]

    @router.get("/orders")
    async def orders(
        _token: Viewer, state: Literal["open", "closed", "all"] = "open", symbol: Symbol = "", limit: Limit = 100
    ) -> list[schemas.OrderBody]:
        """List orders, the newest first."""
        found = reversed(view.orders(is_open_only=state == "open"))
        wanted = (
            order
            for order in found
            if (not symbol or order.symbol == symbol) and not (state == "closed" and order.is_open)
        )
        return [answers.order_body(order) for order, _ in zip(wanted, range(limit), strict=False)]

    @router.get("/orders/{client_order_id}", responses=MISSING)
    async def order(_token: Viewer, client_order_id: Annotated[str, Path(pattern=ORDER_ID)]) -> schemas.OrderBody:
        """Show one order."""
        found = view.order(client_order_id)
        if found is None:
            raise Refusal(404, "not_found", f"no order {client_order_id}")
        return answers.order_body(found)

    @router.get("/fills")
    async def fills(_token: Viewer, symbol: Symbol = "", limit: Limit = 100) -> list[schemas.FillBody]:
        """List executions, the newest first."""
        return [answers.fill_body(fill) for fill in view.recent_fills(symbol=symbol, count_max=limit)]

    @router.get("/strategies")
    async def strategies(_token: Viewer) -> list[schemas.StrategyBody]:
        """List strategies and what they did."""
        return answers.strategy_bodies(parts.settings, view)

    @router.get("/journals")
    async def journals(_token: Viewer) -> list[schemas.JournalBody]:
        """List journals: their ends, writers and how far the gateway has read them."""
        return [answers.journal_body(head) for head in view.heads()]

    return router


def _risk_routes(parts: Parts) -> APIRouter:
    view = parts.view
    router = APIRouter(tags=["risk"], responses=REFUSALS)

    @router.get("/api/v1/risk")
    async def risk(_token: Viewer, limit: Limit = 100) -> schemas.RiskBody:
        """Show risk limits, their use, and the newest denials."""
        limits = parts.limits.view.in_force()
        return schemas.RiskBody(
            limits_hash=f"{limits.hash:016x}",
            limits={
                name.removesuffix("_e9"): schemas.decimal_text(value) if name.endswith("_e9") else value
                for name, value in limits.as_dict().items()
            },
            usage=answers.usage(view),
            denied_by_rule=dict(view.totals.denied_by_reason),
            denials=[answers.denial_body(denial) for denial in view.recent_denials(count_max=limit)],
        )

    @router.get("/api/v1/circuit-breaker")
    async def circuit_breaker(_token: Viewer) -> schemas.CircuitBreakerBody:
        """Show the kill latch, the trading state and the breakers that tripped."""
        return schemas.CircuitBreakerBody(
            kill_latch=answers.latch_body(parts.control.latch),
            trading_state=answers.trading_state_body(view),
            breakers=[answers.breaker_body(breaker) for breaker in reversed(list(view.breakers))],
        )

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def prometheus(_token: Viewer) -> Response:
        """Give the gateway's own metrics to Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _operator_routes(parts: Parts) -> APIRouter:
    control = parts.control
    router = APIRouter(prefix="/api/v1", tags=["operator"], responses=REFUSALS)

    def answer(operator: str, outcome: tuple[bool, bool]) -> schemas.OperatorAnswer:
        has_changed, is_journaled = outcome
        latch = answers.latch_body(control.latch)
        return schemas.OperatorAnswer(
            operator=operator, has_changed=has_changed, is_journaled=is_journaled, kill_latch=latch
        )

    @router.post("/circuit-breaker/trip")
    async def trip(token: Operator, request: schemas.OperatorRequest) -> schemas.OperatorAnswer:
        """Stop all entries now: sets the kill latch, which only a reset clears."""
        return answer(token.name, control.trip(token.name, request.reason))

    @router.post("/circuit-breaker/reset")
    async def reset(token: Operator, request: schemas.OperatorRequest) -> schemas.OperatorAnswer:
        """Clear the kill latch and the circuit breakers."""
        return answer(token.name, control.reset(token.name, request.reason))

    @router.post(
        "/strategies/{name}/switch",
        responses={**MISSING, 503: {"model": schemas.ErrorBody, "description": "It cannot be journaled."}},
    )
    async def switch(
        token: Operator, name: Annotated[str, Path(pattern=STRATEGY)], request: schemas.SwitchRequest
    ) -> schemas.SwitchAnswer:
        """Switch a strategy on or off."""
        if name not in parts.view.strategies():
            raise Refusal(404, "not_found", f"no strategy {name}")
        if not control.switch(token.name, request.reason, name, is_enabled=request.is_enabled):
            raise Refusal(503, "journal_full", "no room in the journal control: free disk space")
        return schemas.SwitchAnswer(operator=token.name, name=name, is_enabled=request.is_enabled)

    return router


def _add_events(app: FastAPI, parts: Parts) -> None:
    streams = events.EventStreams(parts.settings, parts.stopping)

    @app.websocket("/events")
    async def follow(
        socket: WebSocket,
        journals: Annotated[str, Query(max_length=200)] = "",
        start: Annotated[str, Query(alias="from", max_length=200)] = "",
    ) -> None:
        """Send live records as JSON arrays; `journals=` names them, `from=SEQ` or `from=NAME:SEQ,..` resumes."""
        presented, subprotocol = _presented(socket)
        await socket.accept(subprotocol=subprotocol)
        try:
            identify(parts.tokens, presented)
            places = events.parse_places(journals, start)
        except HTTPException as error:
            await socket.close(events.UNAUTHORIZED, error.detail)
            return
        except BadInput as error:
            await socket.close(events.BAD_REQUEST, str(error)[:120])
            return
        await streams.serve(socket, places)


def _presented(socket: WebSocket) -> tuple[str | None, str | None]:
    """Return the token and the subprotocol to accept: browsers can only send `holdfast, TOKEN` as subprotocols."""
    scheme, _, token = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token, None
    offered = [part.strip() for part in socket.headers.get("sec-websocket-protocol", "").split(",")]
    if len(offered) == 2 and offered[0] == SUBPROTOCOL:
        return offered[1], SUBPROTOCOL
    return None, None


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status_code=status, headers=headers)


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = error.code if isinstance(error, Refusal) else CODES.get(error.status_code, "refused")
    if error.status_code in (401, 403):
        metrics.API_DENIED.labels(reason=code).inc()
    headers = dict(error.headers) if error.headers else None
    return _error(error.status_code, code, str(error.detail), headers)


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return _error(400, "bad_request", f"{where}: the body is not JSON")
    return _error(422, "invalid", f"{where}: {first['msg']}")


async def _answer_failure(request: Request, error: Exception) -> Response:
    log.error("request_failed", path=request.url.path, exc_info=error)
    return _error(500, "internal", "the request failed; the log of the api-gateway says why")
