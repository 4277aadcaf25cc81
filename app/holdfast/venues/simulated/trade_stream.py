"""The order-update stream, `/stream`: JSON in binary frames as the paper host sends it, or msgpack.

Source: Alpaca, "Websocket Streaming" of the trading API.
"""

from typing import Any

import msgspec

from holdfast._native import VenueEvent
from holdfast.venues.simulated.accounts import Credentials, wants_msgpack
from holdfast.venues.simulated.faults.streams import Message, StreamFaults
from holdfast.venues.simulated.ledger import LedgerWriter
from holdfast.venues.simulated.wire import Request, Socket

CHANNEL = "trade_updates"
ERRORS = {406: "connection limit exceeded"}


class TradeUpdateStream:
    """One client of the stream."""

    def __init__(self, hub: "TradeUpdateHub", request: Request, socket: Socket) -> None:
        self._hub = hub
        self.socket = socket
        self.is_msgpack = wants_msgpack(request)
        self._is_authenticated = hub.credentials.admit(request)
        self.is_listening = False
        self.session = 0

    def on_open(self) -> None:
        """Wait for the client to speak first."""
        self._hub.faults.join(self)

    def on_message(self, data: bytes) -> None:
        """Take authenticate, auth or listen; what is no such message is answered and ignored."""
        try:
            message = msgspec.msgpack.decode(data) if self.is_msgpack else msgspec.json.decode(data)
        except msgspec.DecodeError:
            message = None
        action = message.get("action") if isinstance(message, dict) else None
        if not isinstance(action, str):
            self.send({"stream": "error", "data": {"error": "invalid message"}})
        elif action in {"authenticate", "auth"}:
            self._authenticate(message)
        elif action == "listen":
            self._listen(message)
        else:
            self.send({"stream": "error", "data": {"error": "invalid message"}})

    def on_close(self) -> None:
        """Stop sending to it."""
        self._hub.leave(self)

    def fail(self, code: int) -> None:
        """Send an error and close."""
        self.send({"stream": "error", "data": {"code": code, "error": ERRORS[code]}})
        self.socket.close(1008, ERRORS[code])

    def send(self, message: dict[str, Any]) -> None:
        """Send one message in a binary frame."""
        encode = msgspec.msgpack.encode if self.is_msgpack else msgspec.json.encode
        self.socket.send(encode(message), is_binary=True)

    def _authenticate(self, message: dict[str, Any]) -> None:
        given = message.get("data")
        if not isinstance(given, dict):
            given = {"key_id": message.get("key"), "secret_key": message.get("secret")}
        self._is_authenticated = self._hub.credentials.match(given.get("key_id"), given.get("secret_key"))
        status = "authorized" if self._is_authenticated else "unauthorized"
        self.send({"stream": "authorization", "data": {"status": status, "action": message["action"]}})

    def _listen(self, message: dict[str, Any]) -> None:
        if not self._is_authenticated:
            self.send({"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}})
            return
        given = message.get("data")
        streams = given.get("streams") if isinstance(given, dict) else None
        known = [name for name in streams if name == CHANNEL] if isinstance(streams, list) else []
        if known and not self.is_listening:
            self._hub.note_listening(self)
        self.is_listening = bool(known)
        self.send({"stream": "listening", "data": {"streams": known}})


class TradeUpdateHub:
    """Every client of the stream."""

    def __init__(self, credentials: Credentials, ledger: LedgerWriter, faults: StreamFaults) -> None:
        self.credentials = credentials
        self.faults = faults
        self._ledger = ledger
        self._clients: list[TradeUpdateStream] = []
        self._count = 0

    def join(self, request: Request, socket: Socket) -> TradeUpdateStream:
        """Serve a new client."""
        client = TradeUpdateStream(self, request, socket)
        self._clients.append(client)
        self._count += 1
        client.session = self._count
        self._ledger.write("stream_opened", stream=CHANNEL, session=client.session)
        return client

    def note_listening(self, client: TradeUpdateStream) -> None:
        """Remember since when a client is sent order updates."""
        self._ledger.write("stream_listening", stream=CHANNEL, session=client.session)

    def leave(self, client: TradeUpdateStream) -> None:
        """Forget a client."""
        self._clients.remove(client)
        self.faults.leave(client)
        self._ledger.write("stream_closed", stream=CHANNEL, session=client.session)

    def publish(self, event: VenueEvent) -> None:
        """Send one order update to everyone who listens."""
        text = b'{"stream":"trade_updates","data":' + event.json + b"}"
        count = 0
        for client in self._clients:
            if client.is_listening and client.socket.is_open:
                data = msgspec.msgpack.encode(msgspec.json.decode(text)) if client.is_msgpack else text
                message = Message(data=data, is_binary=True, event=event.name, order_id=event.venue_order_id)
                count += self.faults.deliver(client.socket, message)
        if event.execution_id:
            self._ledger.write("fill_sent", execution_id=event.execution_id, clients=count)
