"""Faults of one kind of stream: of single messages, and of all its connections."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.venues.simulated.faults.book import Entry, FaultBook
from holdfast.venues.simulated.faults.script import MessageFault
from holdfast.venues.simulated.faults.timed import TimedFaults
from holdfast.venues.simulated.wire import Socket

CONNECTION_LIMIT = 406
FILLS = frozenset({"fill", "partial_fill"})
ENDS = frozenset({"canceled", "expired", "replaced"})
GARBAGE_BYTES = 64
# A kick or a cut is over at once.
INSTANT = frozenset({"kick", "cut"})


class Client(Protocol):
    """One connection of the stream."""

    @property
    def socket(self) -> Socket:
        """Where its messages go."""

    def fail(self, code: int) -> None:
        """Tell an error of the venue's and close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message on its way; `event` and `order_id` are of an order update."""

    data: bytes
    is_binary: bool
    event: str = ""
    order_id: str = ""

    def send(self, socket: Socket) -> None:
        """Let it go."""
        socket.send(self.data, is_binary=self.is_binary)


@dataclass(slots=True)
class Held:
    """Messages of one socket that wait for their turn."""

    messages: list[Message] = field(default_factory=list)
    dice: random.Random | None = None
    count: int = 0

    def release(self, socket: Socket) -> None:
        """Send them, permuted if they are held for that."""
        if self.dice is not None:
            self.dice.shuffle(self.messages)
        for message in self.messages:
            message.send(socket)
        self.messages = []


class StreamFaults:
    """Stands between a stream's hub and its sockets."""

    def __init__(self, book: FaultBook, table: str) -> None:
        self._book = book
        self._table = table
        self._clients: list[Client] = []
        self._entries: list[Entry] = []
        self._timed = TimedFaults(book, on_begin=self._begin, on_end=lambda _: None)
        self._permuting: dict[Socket, Held] = {}
        self._fills: dict[tuple[Socket, str], Held] = {}

    def open(self) -> None:
        """Take the table from the book."""
        entries = self._book.of_table(self._table)
        self._entries = [entry for entry in entries if isinstance(entry.fault, MessageFault)]
        self._timed.open(entries)

    def heal(self) -> None:
        """Let go what is held. A half-open connection stays what it is: its client must leave it."""
        self._entries = []
        self._timed.heal()
        for socket in list(self._permuting):
            self._release_permuted(socket)
        for key in list(self._fills):
            self._release_fills(key)

    def join(self, client: Client) -> bool:
        """Notice an opened connection; false when a ghost holds its place, and it was told so."""
        if self._timed.active("ghost"):
            client.fail(CONNECTION_LIMIT)
            return False
        self._clients.append(client)
        if self._timed.active("half_open"):
            client.socket.freeze()
        return True

    def leave(self, client: Client) -> None:
        """Forget a connection."""
        if client in self._clients:
            self._clients.remove(client)

    def deliver(self, socket: Socket, message: Message) -> bool:
        """Send a message, or do with it what strikes it; false when it will never come whole."""
        if self._book.is_healed:
            message.send(socket)
            return True
        if self._timed.active("mute", "half_open"):
            return False
        held = self._permuting.get(socket)
        if held is not None:
            held.messages.append(message)
            if len(held.messages) >= held.count:
                self._release_permuted(socket)
            return True
        for entry in self._entries:
            fault = entry.fault
            assert isinstance(fault, MessageFault)
            is_hit = message.event in fault.events if fault.events else True
            if fault.effect == "fill_after_cancel":
                is_hit = message.event in FILLS
            if is_hit and self._book.strikes(entry, event=message.event, order_id=message.order_id):
                return self._disturb(socket, message, entry, fault)
        message.send(socket)
        if message.event in ENDS:
            self._release_fills((socket, message.order_id))
        return True

    def _disturb(self, socket: Socket, message: Message, entry: Entry, fault: MessageFault) -> bool:
        delay_s = entry.dice.uniform(*fault.delay_s)
        call_later = asyncio.get_running_loop().call_later
        match fault.effect:
            case "drop":
                return False
            case "garbage":
                garbage = entry.dice.randbytes(GARBAGE_BYTES)
                socket.send(garbage if message.is_binary else garbage.hex().encode(), is_binary=message.is_binary)
                return False
            case "duplicate":
                message.send(socket)
                call_later(delay_s, message.send, socket)
            case "delay":
                call_later(delay_s, message.send, socket)
            case "other_frame":
                socket.send(message.data, is_binary=not message.is_binary)
            case "permute":
                self._permuting[socket] = Held([message], entry.dice, fault.batch)
                call_later(delay_s, self._release_permuted, socket)
            case "fill_after_cancel":
                key = (socket, message.order_id)
                self._fills.setdefault(key, Held()).messages.append(message)
                call_later(delay_s, self._release_fills, key)
        return True

    def _release_permuted(self, socket: Socket) -> None:
        held = self._permuting.pop(socket, None)
        if held is not None:
            held.release(socket)

    def _release_fills(self, key: tuple[Socket, str]) -> None:
        held = self._fills.pop(key, None)
        if held is not None:
            held.release(key[0])

    def _begin(self, entry: Entry) -> None:
        for client in list(self._clients):
            match entry.fault.effect:
                case "kick":
                    client.fail(CONNECTION_LIMIT)
                case "cut":
                    client.socket.abort()
                case "half_open":
                    client.socket.freeze()
        if entry.fault.effect in INSTANT:
            self._timed.end(entry)
