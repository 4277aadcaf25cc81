"""A venue of a few orders whose every answer a test scripts: for faults at exact moments.

It keeps what arrived (`requests`) and what it did (`orders`), so a test can hold the client against them.
"""

import asyncio
import contextlib
import json
import ssl
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from fix_tls import serve

Answer = tuple[int, object]
CLOSED = {"filled", "canceled", "expired", "rejected", "replaced"}


def now_text() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass
class ScriptedVenue:
    """Faults are taken one per POST, PATCH or DELETE: a name below, or an answer given without doing anything.

    `drop`: do it, then cut the connection. `vanish`: cut it without doing anything. `hang`: do it, never answer.
    `504`, `422`: do it, answer that it was not done. `hidden`: do it, cut the connection, and hide the order from GET.
    """

    requests: list[str] = field(default_factory=list)
    orders: dict[str, dict[str, object]] = field(default_factory=dict)
    activities: list[dict[str, object]] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    assets: dict[str, dict[str, object]] = field(default_factory=dict)
    faults: deque[str | Answer] = field(default_factory=deque)
    is_holding_cancels: bool = False
    is_mute: bool = False
    answers_posts: asyncio.Event = field(default_factory=asyncio.Event)
    hidden: set[str] = field(default_factory=set)
    listeners: set[ServerConnection] = field(default_factory=set)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    stream_url: str = ""

    def __post_init__(self) -> None:
        self.answers_posts.set()

    def posts(self) -> list[str]:
        return [request for request in self.requests if request.startswith("POST ")]

    def count(self, method: str) -> int:
        return sum(request.startswith(f"{method} ") for request in self.requests)

    def by_client_id(self, client_order_id: str) -> list[dict[str, object]]:
        return [order for order in self.orders.values() if order["client_order_id"] == client_order_id]

    def add_order(self, wanted: Mapping[str, object]) -> dict[str, object]:
        """Accept an order as the POST does."""
        stamp = now_text()
        order: dict[str, object] = {
            "id": str(uuid.uuid4()), "client_order_id": str(uuid.uuid4()), "status": "new", "filled_qty": "0",
            "filled_avg_price": None, "created_at": stamp, "updated_at": stamp, "submitted_at": stamp, "legs": None,
            "order_class": "simple", "replaces": None,
        } | {key: value for key, value in wanted.items() if key not in {"take_profit", "stop_loss"}}  # fmt: skip
        order["order_type"] = order["type"]
        self.orders[str(order["id"])] = order
        if order["order_class"] == "bracket":
            exit_side = {"buy": "sell", "sell": "buy"}[str(order["side"])]
            leg = {"symbol": order["symbol"], "qty": order["qty"], "side": exit_side, "time_in_force": "gtc"}
            order["legs"] = [
                self.add_order(leg | {"type": "limit", "status": "held"} | wanted["take_profit"]),  # type: ignore[operator]
                self.add_order(leg | {"type": "stop", "status": "held"} | wanted["stop_loss"]),  # type: ignore[operator]
            ]
        return order

    async def emit(self, event: str, order: dict[str, object], **more: object) -> None:
        """Send an update as the paper venue does: JSON in a binary frame."""
        message = {"stream": "trade_updates", "data": {"event": event, "timestamp": now_text(), "order": order, **more}}
        if not self.is_mute:
            for listener in list(self.listeners):
                # A client that is just leaving gets nothing, as at the venue; the request behind it goes on.
                with contextlib.suppress(ConnectionClosed):
                    await listener.send(json.dumps(message).encode())

    async def fill(self, order: dict[str, object], quantity: int, price: str, *, is_lost: bool = False) -> None:
        """Execute a part of an order; a lost fill is only seen by REST."""
        filled = int(str(order["filled_qty"])) + quantity
        is_done = filled == int(str(order["qty"]))
        order |= {"filled_qty": str(filled), "filled_avg_price": price, "updated_at": now_text()}
        order["status"] = "filled" if is_done else "partially_filled"
        sign = 1 if order["side"] == "buy" else -1
        symbol = str(order["symbol"])
        self.positions[symbol] = self.positions.get(symbol, 0) + sign * quantity
        execution = str(uuid.uuid4())
        self.activities.append({
            "id": f"20260102000000000::{execution}", "activity_type": "FILL", "order_id": order["id"], "symbol": symbol,
            "side": order["side"], "qty": str(quantity), "price": price, "transaction_time": now_text(),
        })  # fmt: skip
        if not is_lost:
            more = {"price": price, "qty": str(quantity), "position_qty": str(self.positions[symbol])}
            await self.emit("fill" if is_done else "partial_fill", order, execution_id=execution, **more)

    async def end(self, order: dict[str, object], status: str) -> None:
        """Move an order to a final status and say so."""
        order |= {"status": status, "updated_at": now_text()}
        await self.emit(status, order)

    async def rest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                (int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0
            )
            body = json.loads(await reader.readexactly(length) or b"null")
            method, target, _ = head.split(" ", 2)
            self.requests.append(f"{method} {target} {json.dumps(body)}")
            fault = self.faults.popleft() if method != "GET" and self.faults else ""
            if fault == "vanish":
                return
            if isinstance(fault, tuple):
                status, answer = fault
            else:
                status, answer = await self.act(method, target, body)
            if fault == "hidden":
                self.hidden.add(str(answer["id"]))  # type: ignore[index]
            if fault == "hang":
                await asyncio.Event().wait()
            if fault in ("drop", "hidden"):
                return
            if fault in ("504", "422"):
                status, answer = int(fault), {"message": "not done"}
            if method == "POST":
                await self.answers_posts.wait()
            text = b"" if answer is None else json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
            await writer.drain()

    async def act(self, method: str, target: str, body: dict[str, object]) -> Answer:
        """Do what a request asks."""
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        if method == "POST":
            if self.by_client_id(str(body["client_order_id"])):
                return 422, {"code": 40010001, "message": "client_order_id must be unique"}
            order = self.add_order(body)
            await self.emit("new", order)
            return 200, order
        if path.startswith("/v2/orders/"):
            return await self.act_on_order(method, self.orders.get(path.removeprefix("/v2/orders/")), body)
        visible = [order for order in self.orders.values() if order["id"] not in self.hidden]
        if path == "/v2/orders:by_client_order_id":
            found = [order for order in visible if order["client_order_id"] == query["client_order_id"]]
            return (200, found[0]) if found else (404, {"code": 40410000, "message": "order not found"})
        answers: dict[str, object] = {
            "/v2/orders": [order for order in visible if order["status"] not in CLOSED | {"held"}],
            "/v2/positions": [
                {
                    "symbol": symbol.replace("/", ""), "asset_class": "crypto" if "/" in symbol else "us_equity",
                    "qty": str(quantity), "avg_entry_price": "100", "qty_available": str(quantity),
                }
                for symbol, quantity in self.positions.items() if quantity
            ],
            "/v2/account": {"account_number": "PA1", "equity": "100000", "cash": "100000.5", "buying_power": "200000"},
            "/v2/account/activities/FILL": self.activities if "page_token" not in query else [],
            "/v2/clock": {
                "timestamp": now_text(), "is_open": True, "next_open": "2099-01-01T14:30:00Z",
                "next_close": "2099-01-01T21:00:00Z",
            },
        }  # fmt: skip
        if path.startswith("/v2/assets/"):
            asset = self.assets.get(path.removeprefix("/v2/assets/"))
            return (200, asset) if asset is not None else (404, {"code": 40410000, "message": "asset not found"})
        return (200, answers[path]) if path in answers else (404, {"code": 40410000, "message": "not found"})

    async def act_on_order(self, method: str, order: dict[str, object] | None, body: dict[str, object]) -> Answer:
        """GET, PATCH or DELETE one order."""
        if order is None or order["id"] in self.hidden:
            return 404, {"code": 40410000, "message": "order not found"}
        if method == "GET":
            return 200, order
        if order["status"] in CLOSED:
            return 422, {"code": 42210000, "message": f"order is already {order['status']}"}
        if method == "DELETE":
            if not self.is_holding_cancels:
                await self.end(order, "canceled")
            return 204, None
        kept = {key: order.get(key) for key in ("symbol", "side", "type", "time_in_force", "qty", "limit_price")}
        new = self.add_order(kept | body | {"replaces": order["id"]})
        await self.end(order, "replaced")
        await self.emit("new", new)
        return 200, new

    async def stream(self, connection: ServerConnection) -> None:
        """Serve one client of the order stream."""
        try:
            async for text in connection:
                message = json.loads(text)
                if message["action"] in ("authenticate", "auth"):
                    reply = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
                else:
                    reply = {"stream": "listening", "data": {"streams": message["data"]["streams"]}}
                await connection.send(json.dumps(reply).encode())
                if reply["stream"] == "listening":
                    self.listeners.add(connection)
                    self.subscribed.set()
        except ConnectionClosedError:
            pass
        finally:
            self.listeners.discard(connection)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[ScriptedVenue]:
    """Serve a scripted venue on free loopback ports; its certificate is directory/cert.pem."""
    venue = ScriptedVenue()
    async with serve(directory, venue.rest) as port:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        async with serve_websocket(venue.stream, "127.0.0.1", 0, ssl=context) as server:
            venue.url = f"https://127.0.0.1:{port}"
            venue.stream_url = f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/stream"
            yield venue
            for listener in list(venue.listeners):
                with contextlib.suppress(Exception):
                    await listener.close()
