"""A simulated network: connections between loops, each direction a sequence of bytes that arrives late or never."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfast.simulation.loop import SimulatedLoop
from holdfast.venues.alpaca.connection import UNACKNOWLEDGED_MS_MAX

PORT_FIRST = 7000
PIECE_BYTES_MIN = 64
SWAP_S_MAX = 2.0
# How long a kernel goes on with what a dead process had written.
USER_TIMEOUT_S = UNACKNOWLEDGED_MS_MAX / 1000
GHOST_S_MIN, GHOST_S_MAX = 5.0, 20.0
# An order update: JSON in a binary frame, one write each.
UPDATE = b'{"stream":"trade_updates"'
METHODS = (b"POST ", b"PATCH ", b"DELETE ", b"GET /v2/")
ANSWER = b"HTTP/1.1 "
UPGRADED = b"HTTP/1.1 101"
ERRORS = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 7\r\n\r\ntimeout",
)
REFUSALS = (
    *ERRORS,
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
)
GARBAGE = (*ERRORS, b"\x00\xff garbage \r\n\r\n", b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"id": 1}')


@dataclass(slots=True, kw_only=True)
class Weather:
    """What the network does to connections; probabilities are for one write. All zero: fine weather."""

    latency_s_min: float = 20e-6
    latency_s_max: float = 200e-6
    late_ppm: int = 0
    late_s_max: float = 0.0
    reset_before_ppm: int = 0
    reset_after_ppm: int = 0
    mute_ppm: int = 0
    refuse_ppm: int = 0
    split_ppm: int = 0
    drop_update_ppm: int = 0
    double_update_ppm: int = 0
    swap_update_ppm: int = 0
    refuse_request_ppm: int = 0
    garble_answer_ppm: int = 0


class Socket:
    """What protocols ask a socket for."""

    def setsockopt(self, *_arguments: object) -> None:
        """Do nothing."""

    def getsockopt(self, *_arguments: object) -> int:
        """Return something."""
        return 0

    def fileno(self) -> int:
        """Return no number of an open file."""
        return -1

    def getsockname(self) -> tuple[str, int]:
        """Return an address."""
        return ("127.0.0.1", 0)


class Endpoint(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: "Network", loop: SimulatedLoop, protocol: Any) -> None:  # noqa: ANN401 - two kinds
        super().__init__()
        self._network = network
        self.set_protocol(protocol)
        self._is_closing = False
        self._is_lost = False
        self._is_mute = False
        self._arrives_s = 0.0
        self.loop = loop
        self.peer: Endpoint
        loop.endpoints[self] = None

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Look like a TLS connection."""
        return {"socket": Socket(), "ssl_object": self, "peername": ("127.0.0.1", 1)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        if not self._is_closing and data:
            self._network.carry(self, bytes(data))

    def get_write_buffer_size(self) -> int:
        """Return 0: the network takes everything at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        """Asyncio's method."""
        return self._is_closing

    def get_protocol(self) -> Any:  # noqa: ANN401 - asyncio's
        """Asyncio's method."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:  # noqa: ANN401 - asyncio's
        """Asyncio's method."""
        self._protocol = protocol
        self._is_buffered = hasattr(protocol, "get_buffer")

    def pause_reading(self) -> None:
        """Do nothing: nobody uses it."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """End the connection after what was written."""
        self._end(None)

    def abort(self) -> None:
        """End the connection at once."""
        self._end(ConnectionResetError("reset by the other end"))

    def _end(self, error: Exception | None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self.loop.call_soon(self.lose, None)
        if not self._is_mute:
            self.peer.loop.call_at(self.arrival_s(), self.peer.lose, error)

    def arrival_s(self, *, late_s: float = 0.0) -> float:
        """Return when what is sent now reaches the other end: never before what was sent earlier."""
        self._arrives_s = max(self._arrives_s, self.loop.now_s + self._network.latency_s() + late_s)
        return self._arrives_s

    def mute(self) -> None:
        """Let nothing of what is sent from now on arrive; neither end is told."""
        self._is_mute = True

    @property
    def is_mute(self) -> bool:
        """Whether what is sent vanishes."""
        return self._is_mute

    def open(self) -> None:
        """Tell the protocol that the connection stands."""
        self._protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        """Give bytes to the protocol."""
        if self._is_lost or self._is_closing:
            return
        if self.loop.now_s > self.peer.loop.died_s + USER_TIMEOUT_S:
            return
        protocol = self._protocol
        if not self._is_buffered:
            protocol.data_received(data)
            return
        while data and not self._is_closing:
            buffer = protocol.get_buffer(-1)
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            protocol.buffer_updated(count)
            data = data[count:]

    def lose(self, error: Exception | None) -> None:
        """End this end: the protocol hears of it once."""
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self.loop.endpoints.pop(self, None)
        self._protocol.connection_lost(error)


@dataclass(slots=True)
class Listener:
    """A port that somebody listens on: what asyncio calls a server."""

    network: "Network"
    loop: SimulatedLoop
    factory: Callable[[], asyncio.Protocol]
    port: int

    @property
    def sockets(self) -> "list[Listener]":
        """Return who knows the address."""
        return [self]

    def getsockname(self) -> tuple[str, int]:
        """Return the address."""
        return ("127.0.0.1", self.port)

    def close(self) -> None:
        """Listen no longer."""
        self.network.listeners.pop(self.port, None)

    async def wait_closed(self) -> None:
        """Asyncio's method."""


@dataclass(slots=True)
class Network:
    """Every port and connection; `draw` decides delays and losses, `is_venue_reachable` cuts everything new."""

    draw: random.Random
    weather: Weather = field(default_factory=Weather)
    listeners: dict[int, Listener] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    is_reachable: bool = True

    def listen(self, loop: SimulatedLoop, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Listener:
        """Open a port; 0 takes a free one."""
        assert host, "a host"
        port = port or PORT_FIRST + len(self.listeners)
        self.listeners[port] = listener = Listener(self, loop, factory, port)
        return listener

    def latency_s(self) -> float:
        """Draw how long bytes travel."""
        weather = self.weather
        return weather.latency_s_min + (weather.latency_s_max - weather.latency_s_min) * self.draw.random()

    def strikes(self, kind: str, ppm: int) -> bool:
        """Draw whether a fault happens, and count it."""
        if not ppm or self.draw.randrange(1_000_000) >= ppm:
            return False
        self.faults[kind] = self.faults.get(kind, 0) + 1
        return True

    async def connect(self, loop: SimulatedLoop, factory: Callable[[], Any], port: int) -> tuple[Endpoint, Any]:
        """Connect to a port.

        Raises: OSError when nobody listens or the network refuses.
        """
        await asyncio.sleep(3 * self.latency_s())
        listener = self.listeners.get(port)
        if listener is None or not self.is_reachable or self.strikes("refuse", self.weather.refuse_ppm):
            raise ConnectionRefusedError(f"nobody answers on port {port}")
        protocol = factory()
        near = Endpoint(self, loop, protocol)
        far = Endpoint(self, listener.loop, listener.factory())
        near.peer, far.peer = far, near
        listener.loop.call_at(near.arrival_s(), far.open)
        near.open()
        return near, protocol

    def carry(self, sender: Endpoint, data: bytes) -> None:
        """Bring bytes to the other end, or not."""
        weather = self.weather
        receiver = sender.peer
        if sender.is_mute:
            return
        if not self.is_reachable:
            self.mute(sender)
            return
        if self.strikes("mute", weather.mute_ppm):
            self.mute(sender)
            return
        if self.strikes("reset_before", weather.reset_before_ppm):
            self.reset(sender)
            return
        if self._meddles(sender, data):
            return
        if (
            data.startswith(ANSWER)
            and not data.startswith(UPGRADED)
            and self.strikes("garble", weather.garble_answer_ppm)
        ):
            data = self.draw.choice(GARBAGE)
        late_s = self.draw.random() * weather.late_s_max if self.strikes("late", weather.late_ppm) else 0.0
        pieces = [data]
        if len(data) > PIECE_BYTES_MIN and self.strikes("split", weather.split_ppm):
            cut = self.draw.randrange(1, len(data))
            pieces = [data[:cut], data[cut:]]
        for piece in pieces:
            receiver.loop.call_at(sender.arrival_s(late_s=late_s), receiver.deliver, piece)
        if self.strikes("reset_after", weather.reset_after_ppm):
            self.reset(sender)

    def _meddles(self, sender: Endpoint, data: bytes) -> bool:
        """Lose, double or delay an order update, or refuse a request that never reaches the venue."""
        weather, receiver = self.weather, sender.peer
        if data.startswith(METHODS):
            if b"Upgrade: websocket" in data or not self.strikes("refuse_request", weather.refuse_request_ppm):
                return False
            sender.loop.call_at(receiver.arrival_s(), sender.deliver, self.draw.choice(REFUSALS))
            return True
        if UPDATE not in data[:64]:
            return False
        if self.strikes("drop_update", weather.drop_update_ppm):
            return True
        if self.strikes("double_update", weather.double_update_ppm):
            receiver.loop.call_at(sender.arrival_s(), receiver.deliver, data)
        if self.strikes("swap_update", weather.swap_update_ppm):
            at_s = sender.loop.now_s + self.draw.random() * SWAP_S_MAX
            receiver.loop.call_at(max(at_s, sender.arrival_s()), receiver.deliver, data)
            return True
        return False

    def mute(self, end: Endpoint) -> None:
        """Let nothing arrive any more; after a while each end gives the other up, as TCP does."""
        error = TimeoutError("nothing was acknowledged")
        for each in (end, end.peer):
            each.mute()
            each.loop.call_later(self.draw.uniform(GHOST_S_MIN, GHOST_S_MAX), each.lose, error)

    def reset(self, end: Endpoint) -> None:
        """Cut a connection: both ends hear of it after what is on the way."""
        error = ConnectionResetError("connection reset")
        for each in (end, end.peer):
            each.loop.call_at(each.peer.arrival_s(), each.lose, error)

    def drop_all(self, loop: SimulatedLoop) -> None:
        """A process ended: the other ends of its connections hear of it."""
        for end in list(loop.endpoints):
            end.abort()
