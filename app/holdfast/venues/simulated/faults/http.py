"""Faults of the HTTP answers: a request is carried out or not, and something is answered or not."""

import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from holdfast import clock
from holdfast.venues.simulated.answers import refuse, reply
from holdfast.venues.simulated.faults import deliveries
from holdfast.venues.simulated.faults.book import Entry, FaultBook
from holdfast.venues.simulated.faults.script import HttpFault
from holdfast.venues.simulated.wire import Delivery, Request, Response

ORDERS_PATH = "/v2/orders"
BY_CLIENT_PATH = "/v2/orders:by_client_order_id"
RATE_RESET_S = 2
MESSAGES = {
    400: "request body format is invalid",
    401: "request is not authorized",
    403: "forbidden",
    404: "order not found",
    422: "order is not cancelable",
    429: "too many requests.",
}
Judge = Callable[[Request], Response]


class Fills(Protocol):
    """Who lets a part of an open order fill."""

    def can_fill_part(self, venue_order_id: str) -> bool:
        """Return whether the order is there, open, priced and has two shares or more to go."""

    def fill_part(self, venue_order_id: str) -> None:
        """Fill a half of what is open of it."""


class HttpFaults:
    """Stands between the requests and the core."""

    def __init__(self, book: FaultBook, fills: Fills) -> None:
        self._book = book
        self._fills = fills
        self._entries: list[Entry] = []
        self._hidden_until_s: dict[str, float] = {}

    def open(self) -> None:
        """Take the table from the book."""
        self._entries = self._book.of_table("http")

    def heal(self) -> None:
        """Show every order and disturb no answer any more."""
        self._entries = []
        self._hidden_until_s.clear()

    def answer(self, request: Request, number: int, judge: Judge) -> Response:
        """Answer a request, or do with it what the first fault that strikes says."""
        for entry in self._entries:
            fault = entry.fault
            assert isinstance(fault, HttpFault)
            if not fault.matches(request.method, request.path):
                continue
            venue_order_id = request.path.rpartition("/")[2]
            is_filled_first = fault.effect == "fill_first"
            if is_filled_first and not self._fills.can_fill_part(venue_order_id):
                continue
            if self._book.strikes(entry, number=number, method=request.method, path=request.path):
                if is_filled_first:
                    self._fills.fill_part(venue_order_id)
                return self._disturbed(request, entry, fault, judge)
        return self._shown(request, judge(request))

    def _disturbed(self, request: Request, entry: Entry, fault: HttpFault, judge: Judge) -> Response:
        dice = entry.dice
        if fault.effect == "drop":
            response = Response(200)
        else:
            response = self._shown(request, judge(request))
            self._hide(response, dice.uniform(*fault.visible_after_s))
        match fault.answer:
            case "as_is":
                return response
            case "status":
                assert fault.status is not None
                return _forged(request, response, fault.status, dice)
            case "duplicate":
                return refuse(422, 40010001, "client_order_id must be unique")
            case "late":
                return replace(response, delivery=deliveries.Late(dice.uniform(*fault.delay_s)))
            case "garbage":
                return replace(response, delivery=deliveries.Garbage(dice.getrandbits(32)))
        ways: dict[str, Delivery] = {
            "timeout": deliveries.silent,
            "reset": deliveries.reset,
            "slow": deliveries.slow,
        }
        return replace(response, delivery=ways[fault.answer])

    def _hide(self, response: Response, delay_s: float) -> None:
        if delay_s > 0 and response.status == 200:
            order = _object(response.body)
            if "client_order_id" in order:
                self._hidden_until_s[str(order["id"])] = clock.monotonic_s() + delay_s

    def _is_hidden(self, order: dict[str, Any]) -> bool:
        until_s = self._hidden_until_s.get(str(order.get("id")))
        return until_s is not None and clock.monotonic_s() < until_s

    def _shown(self, request: Request, response: Response) -> Response:
        """Leave out orders that are not yet visible."""
        if not self._hidden_until_s or request.method != "GET" or response.status != 200:
            return response
        if request.path == ORDERS_PATH:
            orders = msgspec.json.decode(response.body)
            return replace(response, body=reply([order for order in orders if not self._is_hidden(order)]).body)
        is_one = request.path == BY_CLIENT_PATH or request.path.startswith(f"{ORDERS_PATH}/")
        if is_one and self._is_hidden(_object(response.body)):
            return refuse(404, 40410000, "order not found")
        return response


def _forged(request: Request, response: Response, status: int, dice: random.Random) -> Response:
    """Return an answer of a status that proves nothing about what was done."""
    if status == 204:
        return Response(204)
    if status in {200, 201}:
        return Response(status, response.body or _forged_body(request, dice))
    if status == 429:
        reset_s = clock.now_ns() // 1_000_000_000 + RATE_RESET_S
        limited = refuse(429, 42910000, MESSAGES[429])
        return replace(limited, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{reset_s}"})
    if status >= 500:
        return reply({"message": "internal server error occurred"}, status)
    return refuse(status, status * 100_000, MESSAGES.get(status, "refused"))


def _forged_body(request: Request, dice: random.Random) -> bytes:
    """Return the order that a client expects for its POST or PATCH, which was never made; nothing for the rest."""
    if request.method not in {"POST", "PATCH"}:
        return b"{}"
    asked = _object(request.body)
    order = {
        "id": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "client_order_id": asked.get("client_order_id", ""),
        "symbol": asked.get("symbol", "AAPL"),
        "side": asked.get("side", "buy"),
        "type": asked.get("type", "limit"),
        "order_class": asked.get("order_class", "simple"),
        "time_in_force": asked.get("time_in_force", "day"),
        "qty": asked.get("qty", "1"),
        "filled_qty": "0",
        "limit_price": asked.get("limit_price"),
        "stop_price": asked.get("stop_price"),
        "status": "pending_new",
        "replaces": request.path.rpartition("/")[2] if request.method == "PATCH" else None,
    }
    return msgspec.json.encode(order)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}
