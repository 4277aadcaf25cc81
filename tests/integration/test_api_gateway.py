"""The API over real TLS: every route, every role, the latch, the events."""

from __future__ import annotations

import socket as sockets
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from event_client import EventClient
from holdfast import _native as native
from holdfast import clock
from holdfast.gateway import guard
from holdfast.gateway.tokens import TokenFile, tokens_file
from holdfast.journals import open_latch, open_reader
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from running_gateway import Gateway

REASON = {"reason": "drill"}
OPEN = "/health"
# Route, what to send, the status for: nobody, a viewer, an operator.
ROUTES = [
    ("GET", "/health", None, (200, 200, 200)),
    ("GET", "/ready", None, (503, 503, 503)),
    ("GET", "/api/v1/openapi.json", None, (200, 200, 200)),
    ("GET", "/metrics", None, (401, 200, 200)),
    ("GET", "/api/v1/status", None, (401, 200, 200)),
    ("GET", "/api/v1/positions", None, (401, 200, 200)),
    ("GET", "/api/v1/orders", None, (401, 200, 200)),
    ("GET", "/api/v1/orders/{client_order_id}", None, (401, 404, 404)),
    ("GET", "/api/v1/fills", None, (401, 200, 200)),
    ("GET", "/api/v1/strategies", None, (401, 200, 200)),
    ("GET", "/api/v1/journals", None, (401, 200, 200)),
    ("GET", "/api/v1/risk", None, (401, 200, 200)),
    ("GET", "/api/v1/circuit-breaker", None, (401, 200, 200)),
    ("POST", "/api/v1/circuit-breaker/trip", REASON, (401, 403, 200)),
    ("POST", "/api/v1/circuit-breaker/reset", REASON, (401, 403, 200)),
    ("POST", "/api/v1/strategies/{name}/switch", REASON | {"is_enabled": False}, (401, 403, 200)),
    ("GET", "/api/v1/limits", None, (401, 200, 200)),
    ("POST", "/api/v1/limits/proposals", REASON | {"key": "position.open_max", "value": "4"}, (401, 403, 200)),
    ("POST", "/api/v1/limits/proposals/{seq}/approve", REASON, (401, 403, 403)),
    ("POST", "/api/v1/limits/proposals/{seq}/withdraw", REASON, (401, 403, 404)),
]


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline_s, "did not happen"
        time.sleep(0.01)


def control_records(gateway: Gateway) -> list[Any]:
    with open_reader(gateway.settings, "control") as reader:
        return reader.read(100)


def test_every_route_answers_each_role_as_it_should(gateway: Gateway) -> None:
    for method, path, body, statuses in ROUTES:
        filled = path.format(client_order_id="none", name="steady", seq=1)
        for role, expected in zip(("", "viewer", "operator"), statuses, strict=True):
            answer = gateway.ask(method, filled, role, body)
            assert answer.status == expected, (method, path, role, answer.body)
            if expected in (401, 403, 404):
                assert set(answer.body) == {"code", "message"}
    listed = gateway.ask("GET", "/api/v1/openapi.json").body["paths"]
    documented = {(method.upper(), path) for path, methods in listed.items() for method in methods}
    assert documented == {(method, path) for method, path, *_ in ROUTES} - {("GET", "/api/v1/openapi.json")}


def test_unknown_and_revoked_tokens_are_refused(gateway: Gateway) -> None:
    assert gateway.ask("GET", "/api/v1/status", "hft_wrong").status == 401
    TokenFile(tokens_file(gateway.settings)).revoke("viewer")
    assert gateway.ask("GET", "/api/v1/status", "viewer").status == 401
    assert gateway.ask("GET", "/api/v1/status", "operator").status == 200


def test_the_journals_are_shown(gateway: Gateway) -> None:
    bought = gateway.day.order(native.Side.BUY, 100_000_000_000)
    gateway.day.deny(native.Reason.QUOTE_STALE)
    gateway.day.quote(bid_e9=103_000_000_000, ask_e9=103_000_000_000)
    wait_for(lambda: gateway.ask("GET", "/api/v1/status", "viewer").body["pnl"]["unrealized"] == "30")
    status = gateway.ask("GET", "/api/v1/status", "viewer").body
    assert (status["fills"], status["approved"], status["denied"], status["positions_open"]) == (1, 1, 1, 1)
    order = gateway.ask("GET", f"/api/v1/orders/{bought}", "viewer").body
    assert (order["status"], order["filled_quantity"], order["average_price"]) == ("filled", "10", "100")
    assert gateway.ask("GET", "/api/v1/orders?state=closed&symbol=AAPL", "viewer").body == [order]
    assert gateway.ask("GET", "/api/v1/orders?state=all&symbol=MSFT", "viewer").body == []
    (position,) = gateway.ask("GET", "/api/v1/positions", "viewer").body
    assert (position["quantity"], position["market_value"], position["fees"]) == ("10", "1030", "0.01")
    (fill,) = gateway.ask("GET", "/api/v1/fills?limit=5", "viewer").body
    assert (fill["client_order_id"], fill["price"]) == (bought, "100")
    risk = gateway.ask("GET", "/api/v1/risk", "viewer").body
    assert risk["limits"].items() >= {"order_notional_max": "10000", "open_positions_max": 5}.items()
    assert risk["usage"]["gross_exposure"] == "1030"
    assert risk["denied_by_rule"] == {"quote_stale": 1}
    assert risk["denials"][0]["rule"] == "quote_stale"
    (strategy,) = gateway.ask("GET", "/api/v1/strategies", "viewer").body
    assert (strategy["signals"], strategy["approved"], strategy["denied"], strategy["fills"]) == (2, 1, 1, 1)


def test_ready_needs_heartbeats_and_a_reconciliation(gateway: Gateway) -> None:
    reasons = gateway.ask("GET", "/ready").body["reasons"]
    assert any("not reconciled" in reason for reason in reasons)
    scope = native.ReconcileScope.START_UP
    gateway.day.write("executions", native.Reconciled(scope=scope, is_complete=1), ts_ns=clock.now_ns())

    def is_ready() -> bool:
        for writer in gateway.day.writers.values():
            writer.heartbeat(clock.now_ns())
        return gateway.ask("GET", "/ready").status == 200

    wait_for(is_ready)
    gateway.day.writers["orders"].heartbeat(clock.now_ns() - 3_000_000_000)
    assert gateway.ask("GET", "/ready").body["reasons"][0].startswith("risk-manager: last heartbeat")


def test_a_trip_sets_the_latch_and_only_a_reset_clears_it(gateway: Gateway) -> None:
    latch = open_latch(gateway.settings)
    answer = gateway.ask("POST", "/api/v1/circuit-breaker/trip", "operator", {"reason": "fat finger"}).body
    assert (answer["has_changed"], answer["is_journaled"], answer["operator"]) == (True, True, "operator")
    assert (latch.is_set, latch.operator, latch.reason) == (True, "operator", "fat finger")
    again = gateway.ask("POST", "/api/v1/circuit-breaker/trip", "operator", {"reason": "again"}).body
    assert (again["has_changed"], again["kill_latch"]["reason"]) == (False, "fat finger")
    for reason in ("", "   ", None):
        assert gateway.ask("POST", "/api/v1/circuit-breaker/reset", "operator", {"reason": reason}).status == 422
    assert latch.is_set
    assert gateway.ask("POST", "/api/v1/circuit-breaker/reset", "operator", {"reason": "checked"}).status == 200
    assert not latch.is_set
    records = [(type(record).__name__, record.operator, record.reason) for record in control_records(gateway)]
    assert records == [
        ("Trip", "operator", "fat finger"),
        ("Trip", "operator", "again"),
        ("Reset", "operator", "checked"),
    ]


def test_what_others_do_to_the_latch_is_journaled_once(gateway: Gateway) -> None:
    latch = open_latch(gateway.settings)
    for _ in range(2):
        latch.trip("bob", "from the shell", clock.now_ns())
        wait_for(lambda: isinstance(control_records(gateway)[-1:] and control_records(gateway)[-1], native.Trip))
        latch.reset("bob", "drill over", clock.now_ns())
        wait_for(lambda: isinstance(control_records(gateway)[-1], native.Reset))
    kinds = [type(record).__name__ for record in control_records(gateway)]
    assert kinds == ["Trip", "Reset", "Trip", "Reset"]
    assert {record.operator for record in control_records(gateway)} == {"bob"}


def test_a_switch_is_journaled_with_operator_and_reason(gateway: Gateway) -> None:
    body = {"reason": "misbehaves", "is_enabled": False}
    assert gateway.ask("POST", "/api/v1/strategies/unknown/switch", "operator", body).status == 404
    assert gateway.ask("POST", "/api/v1/strategies/steady/switch", "operator", body).status == 200
    (record,) = control_records(gateway)
    assert (record.strategy, record.is_enabled, record.operator, record.reason) == (
        "steady",
        0,
        "operator",
        "misbehaves",
    )
    wait_for(lambda: not gateway.ask("GET", "/api/v1/strategies", "viewer").body[0]["is_enabled"])


def test_bodies_are_bounded_and_headers_are_safe(gateway: Gateway) -> None:
    answer = gateway.ask("POST", "/api/v1/circuit-breaker/trip", "operator", raw=b"x" * (64 * 1024 + 1))
    assert (answer.status, answer.body["code"]) == (413, "body_too_large")
    assert gateway.ask("POST", "/api/v1/circuit-breaker/trip", "operator", raw=b"{").status == 400
    assert gateway.ask("POST", "/api/v1/circuit-breaker/trip", "operator", {"reason": "x", "y": 1}).status == 422
    headers = gateway.ask("GET", "/health").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "server" not in headers
    assert not open_latch(gateway.settings).is_set


@pytest.fixture
def slow_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request rate that a loaded machine exceeds too."""
    monkeypatch.setattr(guard.RequestRate.__init__, "__kwdefaults__", {"per_s": 0.05, "burst": 5.0})


def test_too_many_requests_are_refused_but_a_trip_never(slow_refill: None, gateway: Gateway) -> None:
    answers = [gateway.ask("GET", "/api/v1/journals", "operator") for _ in range(8)]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].body["code"] == "rate_limited"
    assert int(refused[0].headers["retry-after"]) >= 1
    assert gateway.ask("GET", "/api/v1/journals", "viewer").status == 200
    assert gateway.ask("POST", "/api/v1/circuit-breaker/trip", "operator", REASON).status == 200


def test_older_tls_is_refused(gateway: Gateway) -> None:
    gateway.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with sockets.create_connection(("127.0.0.1", gateway.port), PATIENCE_S) as plain, pytest.raises(ssl.SSLError):
        gateway.tls.wrap_socket(plain, server_hostname="127.0.0.1")


def follow(gateway: Gateway, query: str, role: str = "viewer") -> EventClient:
    return EventClient(gateway, query, role=role)


def test_events_resume_where_they_ended(gateway: Gateway) -> None:
    gateway.day.order(native.Side.BUY, 100_000_000_000)
    with follow(gateway, "?journals=executions&from=1") as socket:
        first = socket.receive(4)
    gateway.day.order(native.Side.SELL, 101_000_000_000)
    with follow(gateway, f"?journals=executions&from=executions:{first[-1]['seq'] + 1}") as socket:
        second = socket.receive(4)
        gateway.day.order(native.Side.BUY, 100_000_000_000)
        third = socket.receive(4)
    assert [event["seq"] for event in (*first, *second, *third)] == list(range(1, 13))
    assert first[2]["kind"] == "Fill"
    assert first[2]["record"]["price_e9"] == 100_000_000_000


def test_events_without_a_place_begin_now(gateway: Gateway) -> None:
    gateway.day.order(native.Side.BUY, 100_000_000_000)
    with follow(gateway, "?journals=control") as socket:
        # Accepting comes before opening the journals: repeat until the stream has begun.
        for number in range(100):
            gateway.ask("POST", "/api/v1/circuit-breaker/trip", "operator", {"reason": f"drill {number}"})
            try:
                (event, *_) = socket.receive_message(0.1)
                break
            except TimeoutError:
                continue
    assert (event["journal"], event["kind"]) == ("control", "Trip")


@pytest.mark.parametrize(
    ("query", "role", "code"),
    [
        ("", "hft_wrong", 4401),
        ("?journals=nonsense", "viewer", 4400),
        ("?journals=executions&from=0", "viewer", 4400),
        ("?journals=executions&from=900", "viewer", 4400),
        ("?journals=orders,executions&from=1", "viewer", 4400),
    ],
)
def test_events_say_why_they_close(gateway: Gateway, query: str, role: str, code: int) -> None:
    with follow(gateway, query, role) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.receive_message()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


def test_a_browser_presents_its_token_as_a_subprotocol(gateway: Gateway) -> None:
    gateway.day.order(native.Side.BUY, 100_000_000_000)
    offered = ["holdfast", gateway.tokens["viewer"]]
    with EventClient(gateway, "?journals=executions&from=1", role="", subprotocols=offered) as socket:
        assert socket.subprotocol == "holdfast"
        assert socket.receive(4)


def test_a_client_that_does_not_read_is_closed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.gateway.events.SEND_TIMEOUT_S", 0.2)
    event = native.OrderEvent(client_order_id="x" * 100, detail="y" * 90, symbol="AAPL", side=native.Side.BUY)
    for _ in range(10_000):
        gateway.day.write("executions", event)
    plain = sockets.socket()
    plain.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", gateway.port))
    with EventClient(gateway, "?journals=executions&from=1", role="viewer", sock=plain, max_queue=1) as socket:
        wait_for(lambda: 'reason="slow"' in gateway.ask("GET", "/metrics", "operator").body)
        with pytest.raises(ConnectionClosed):
            socket.receive(1_000_000)
