"""The market-data streams: `/v2/{feed}` for shares, `/v1beta3/crypto/us` for pairs.

Source: Alpaca, "Websocket Stream" and "Real-time Stock Data" of the market-data API.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from holdfast._native import Bar, BookDelta, Quote, StatusCode, Trade, TradingStatus, encode_frame
from holdfast.symbols import is_crypto_pair
from holdfast.venues.simulated.accounts import Credentials, wants_msgpack
from holdfast.venues.simulated.faults.market import Malformed, Published, PublishedRecord
from holdfast.venues.simulated.faults.streams import Message, StreamFaults
from holdfast.venues.simulated.ledger import LedgerWriter
from holdfast.venues.simulated.wire import Request, Socket

AUTH_TIMEOUT_S = 10.0
UNREAD_BYTES_MAX = 8 * 1024 * 1024
STOCK_PATHS = frozenset({"/v2/iex", "/v2/sip", "/v2/delayed_sip", "/v2/test"})
CRYPTO_PATH = "/v1beta3/crypto/us"
CHANNEL_OF: dict[type, str] = {Quote: "quotes", Trade: "trades", BookDelta: "orderbooks", Bar: "bars"}
STOCK_CHANNELS = (
    "trades",
    "quotes",
    "bars",
    "updatedBars",
    "dailyBars",
    "statuses",
    "lulds",
    "corrections",
    "cancelErrors",
)
CRYPTO_CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "orderbooks")
# Corrections and cancels come with the trades; nobody subscribes to them.
IMPLIED_CHANNELS = frozenset({"corrections", "cancelErrors"})
ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    500: "internal error",
}


class DataStream:
    """One client of a market-data stream."""

    def __init__(self, hub: "DataHub", request: Request, socket: Socket) -> None:
        self._hub = hub
        self._request = request
        self.socket = socket
        self.path = request.path
        self.is_crypto = request.path == CRYPTO_PATH
        self.is_msgpack = wants_msgpack(request)
        self.is_authenticated = False
        self.subscriptions: dict[str, list[str]] = {name: [] for name in self.channels}
        self.wanted: frozenset[tuple[str, str]] = frozenset()
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """What this stream offers."""
        return CRYPTO_CHANNELS if self.is_crypto else STOCK_CHANNELS

    def on_open(self) -> None:
        """Greet; a second client of one endpoint is turned away."""
        self.send([{"T": "success", "msg": "connected"}])
        if not self._hub.faults.join(self):
            return
        if not self._hub.take_place(self):
            self.fail(406)
        elif self._hub.credentials.admit(self._request):
            self._succeed()
        else:
            self._deadline = asyncio.get_running_loop().call_later(AUTH_TIMEOUT_S, self.fail, 404)

    def on_message(self, data: bytes) -> None:
        """Take auth, subscribe or unsubscribe."""
        try:
            message = msgspec.msgpack.decode(data) if self.is_msgpack else msgspec.json.decode(data)
        except msgspec.DecodeError:
            message = None
        action = message.get("action") if isinstance(message, dict) else None
        if action == "auth":
            self._authenticate(message)
        elif not isinstance(action, str) or action not in {"subscribe", "unsubscribe"}:
            self.complain(400)
        elif not self.is_authenticated:
            self.complain(401)
        else:
            self._change(message, is_added=action == "subscribe")

    def on_close(self) -> None:
        """Stop sending to it."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._hub.leave(self)

    def send(self, messages: list[dict[str, Any]]) -> None:
        """Send control messages."""
        if self.is_msgpack:
            self.socket.send(msgspec.msgpack.encode(messages), is_binary=True)
        else:
            self.socket.send(msgspec.json.encode(messages), is_binary=False)

    def complain(self, code: int) -> None:
        """Send an error; the stream goes on."""
        self.send([{"T": "error", "code": code, "msg": ERRORS[code]}])

    def fail(self, code: int) -> None:
        """Send an error and close."""
        self.complain(code)
        self.socket.close(1008 if code != 500 else 1011, ERRORS[code])

    def _authenticate(self, message: dict[str, Any]) -> None:
        if self.is_authenticated:
            self.complain(403)
        elif self._hub.credentials.match(message.get("key"), message.get("secret")):
            self._succeed()
        else:
            self.fail(402)

    def _succeed(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.is_authenticated = True
        self.send([{"T": "success", "msg": "authenticated"}])

    def _change(self, message: dict[str, Any], *, is_added: bool) -> None:
        asked = {name: symbols for name, symbols in message.items() if name != "action"}
        if any(name not in self.channels for name in asked):
            self.complain(410 if set(asked) <= {*STOCK_CHANNELS, *CRYPTO_CHANNELS} else 400)
            return
        if not all(_is_list_of_texts(symbols) for symbols in asked.values()):
            self.complain(400)
            return
        changed = {name: list(symbols) for name, symbols in self.subscriptions.items()}
        for name, symbols in asked.items():
            if is_added:
                changed[name] = list(dict.fromkeys([*changed[name], *symbols]))
            else:
                changed[name] = [symbol for symbol in changed[name] if symbol not in symbols]
        if self._hub.is_over_limit(changed):
            self.complain(405)
            return
        for name in IMPLIED_CHANNELS & changed.keys():
            changed[name] = list(changed["trades"])
        self.subscriptions = changed
        self.wanted = self._hub.pairs(self)
        self.send([{"T": "subscription", **changed}])
        self._hub.on_subscription(self)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _channel(record: Published) -> str:
    whole = record.record if isinstance(record, Malformed) else record
    if isinstance(whole, TradingStatus):
        return "lulds" if whole.status is StatusCode.LULD_BAND else "statuses"
    return CHANNEL_OF[type(whole)]


def _frames(records: Sequence[Published], encoding: str) -> Iterator[bytes]:
    """Yield one frame for all records, cut where one is malformed."""
    together: list[PublishedRecord] = []
    for record in records:
        if not isinstance(record, Malformed):
            together.append(record)
            continue
        if together:
            yield encode_frame(together, encoding)
            together = []
        yield record.encode(encoding)
    if together:
        yield encode_frame(together, encoding)


class DataHub:
    """Every client of the market-data streams, at most one an endpoint.

    `quotes_sent` and its like count records that were sent to at least one client.
    """

    def __init__(
        self,
        credentials: Credentials,
        ledger: LedgerWriter,
        faults: StreamFaults,
        *,
        symbols: Sequence[str],
        symbols_max: int,
        snapshot: Callable[[str], list[BookDelta]],
    ) -> None:
        self.credentials = credentials
        self.faults = faults
        self._ledger = ledger
        self._symbols = tuple(symbols)
        self._symbols_max = symbols_max
        self._snapshot = snapshot
        self._clients: list[DataStream] = []
        self.sent = dict.fromkeys(("quotes", "trades", "bars", "orderbooks", "statuses", "lulds"), 0)
        self.changed = asyncio.Event()

    def join(self, request: Request, socket: Socket) -> DataStream:
        """Serve a new client."""
        self._ledger.write("stream_opened", stream=request.path)
        return DataStream(self, request, socket)

    def take_place(self, client: DataStream) -> bool:
        """Give the client the one place of its endpoint; false when it is taken."""
        if any(other.path == client.path for other in self._clients):
            return False
        self._clients.append(client)
        return True

    def leave(self, client: DataStream) -> None:
        """Forget a client."""
        if client in self._clients:
            self._clients.remove(client)
        self.faults.leave(client)
        self._ledger.write("stream_closed", stream=client.path)

    def is_over_limit(self, subscriptions: dict[str, list[str]]) -> bool:
        """Return whether the free plan's number of symbols would be exceeded; 0 allows any."""
        names = {symbol for symbols in subscriptions.values() for symbol in symbols if symbol != "*"}
        return bool(self._symbols_max) and len(names) > self._symbols_max

    def pairs(self, client: DataStream) -> frozenset[tuple[str, str]]:
        """Return (channel, symbol) of everything a client is to be sent."""
        offered = [symbol for symbol in self._symbols if is_crypto_pair(symbol) == client.is_crypto]
        return frozenset(
            (channel, symbol)
            for channel, wanted in client.subscriptions.items()
            for symbol in offered
            if symbol in wanted or "*" in wanted
        )

    def on_subscription(self, client: DataStream) -> None:
        """Send whole order books to who has just asked for them, and wake who waits for a reader."""
        for channel, symbol in sorted(client.wanted):
            if channel == "orderbooks" and (deltas := self._snapshot(symbol)):
                self._send(client, deltas)
        self.changed.set()

    @property
    def has_reader(self) -> bool:
        """Whether somebody takes both quotes and trades."""
        return any({"quotes", "trades"} <= {channel for channel, _ in client.wanted} for client in self._clients)

    def publish(self, records: Sequence[Published]) -> None:
        """Send records to everyone who subscribed to them, in one frame a client."""
        best: dict[str, int] = {}
        for client in self._clients:
            wanted = client.wanted
            if not wanted or not client.socket.is_open:
                continue
            chosen, counts = [], dict[str, int]()
            for record in records:
                channel = _channel(record)
                if (channel, record.symbol) in wanted:
                    chosen.append(record)
                    counts[channel] = counts.get(channel, 0) + 1
            if chosen:
                self._send(client, chosen)
                for channel, count in counts.items():
                    best[channel] = max(best.get(channel, 0), count)
        for channel, count in best.items():
            self.sent[channel] += count

    def _send(self, client: DataStream, records: Sequence[Published]) -> None:
        encoding = "msgpack" if client.is_msgpack else "json"
        for frame in _frames(records, encoding):
            self.faults.deliver(client.socket, Message(data=frame, is_binary=client.is_msgpack))

    def cut_slow_clients(self) -> None:
        """Turn away who does not keep up with the market."""
        for client in list(self._clients):
            if client.socket.is_open and client.socket.unsent_bytes > UNREAD_BYTES_MAX:
                client.fail(407)

    async def drained(self) -> None:
        """Return when every client has taken most of what was sent."""
        for client in list(self._clients):
            await client.socket.drained()
