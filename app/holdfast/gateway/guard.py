"""What stands before every request: body size, request rate, security headers, metrics."""

import json
from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast import clock, metrics
from holdfast.gateway.tokens import hash_of

BODY_BYTES_MAX = 64 * 1024
DRAINED_BYTES_MAX = 1024 * 1024
REQUESTS_PER_S = 20.0
BURST = 60.0
CLIENTS_MAX = 10_000
# Kill is always available: it is never refused for its rate.
UNLIMITED_PATHS = frozenset({"/api/v1/circuit-breaker/trip", "/health"})
SECURITY_HEADERS = (
    (b"strict-transport-security", b"max-age=63072000"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class RequestRate:
    """A token bucket per client, the least recently seen forgotten first."""

    def __init__(self, *, per_s: float = REQUESTS_PER_S, burst: float = BURST) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Count a request; returns 0, or the seconds after which the next one is welcome."""
        now_s = clock.monotonic_s()
        level, since_s = self._buckets.pop(client, (self._burst, now_s))
        level = min(self._burst, level + (now_s - since_s) * self._per_s)
        is_welcome = level >= 1
        self._buckets[client] = (level - is_welcome, now_s)
        if len(self._buckets) > CLIENTS_MAX:
            self._buckets.popitem(last=False)
        return 0.0 if is_welcome else (1 - level) / self._per_s


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, rate: RequestRate) -> None:
        self._app = app
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        started_ns = clock.monotonic_ns()
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        try:
            wait_s = 0.0 if scope["path"] in UNLIMITED_PATHS else self._rate.take(_client(scope, headers))
            if wait_s:
                metrics.API_DENIED.labels(reason="rate").inc()
                text = f"too many requests: try again in {wait_s:.1f} s"
                await _refuse(send_guarded, 429, "rate_limited", text, retry_after_s=int(wait_s) + 1)
                return
            body = await _read_body(receive)
            if body is None:
                metrics.API_DENIED.labels(reason="body").inc()
                await _refuse(send_guarded, 413, "body_too_large", f"a body has at most {BODY_BYTES_MAX} bytes")
                return
            await self._app(scope, _replay(body, receive), send_guarded)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            metrics.API_REQUESTS.labels(method=_method(scope), route=route, status=str(status)).inc()
            metrics.API_REQUEST_SECONDS.labels(route=route).observe((clock.monotonic_ns() - started_ns) / 1e9)


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"} else "other"


def _client(scope: Scope, headers: dict[bytes, bytes]) -> str:
    """Return the token's hash, or the address of a client without one."""
    authorization = headers.get(b"authorization")
    if authorization:
        return hash_of(authorization.decode("latin-1"))
    return scope["client"][0] if scope.get("client") else "local"


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body, None when it is too large: a bounded part of that is read so that the client sees the answer."""
    parts, size, has_more = [], 0, True
    while has_more and size <= DRAINED_BYTES_MAX:
        message = await receive()
        if message["type"] != "http.request":
            break
        part = message.get("body", b"")
        size += len(part)
        if size <= BODY_BYTES_MAX:
            parts.append(part)
        has_more = message.get("more_body", False)
    return b"".join(parts) if size <= BODY_BYTES_MAX else None


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def receive_body() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_body


async def _refuse(send: Send, status: int, code: str, text: str, *, retry_after_s: int = 0) -> None:
    headers = [(b"content-type", b"application/json")]
    if retry_after_s:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"code": code, "message": text}).encode()})
