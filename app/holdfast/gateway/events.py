"""/events: live records as JSON, from any record on.

The journals are the queue: a client has at most one bounded chunk in flight, and resumes from the last number it saw.
A client that does not take a chunk in time is closed with SLOW; it has lost nothing, it comes back with `from`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from holdfast import metrics
from holdfast._native import JournalAhead, JournalError, JournalMissing, JournalPruned, JournalReader
from holdfast.errors import BadInput
from holdfast.journals import WRITERS, open_reader
from holdfast.settings import Settings

CHUNK_RECORDS_MAX = 256
CLIENTS_MAX = 32
SEND_TIMEOUT_S = 5.0
IDLE_INTERVAL_S = 0.05
DEFAULT_JOURNALS = "signals,orders,executions,control"

UNAUTHORIZED = 4401
BAD_REQUEST = 4400
TOO_MANY = 4429
SLOW = 4408
GOING_AWAY = 1001


def parse_places(journals: str, start: str) -> dict[str, int]:
    """Return from which record each journal is wanted; 0 means only what comes from now on.

    `journals` is a list of names; `start` is one number for one journal, or a list of NAME:SEQ.
    Raises: BadInput.
    """
    names = [name for name in (journals or DEFAULT_JOURNALS).split(",") if name]
    unknown = [name for name in names if name not in WRITERS]
    if unknown:
        raise BadInput(f"journals: {', '.join(unknown)} unknown; expected of {', '.join(WRITERS)}")
    places = dict.fromkeys(names, 0)
    for part in start.split(",") if start else ():
        name, _, number = part.rpartition(":")
        name = name or (names[0] if len(names) == 1 else "")
        if name not in places or not number.isascii() or not number.isdigit() or not 1 <= int(number) < 2**63:
            raise BadInput(f"from={part}: expected SEQ for one journal or NAME:SEQ of a wanted one, SEQ from 1")
        places[name] = int(number)
    return places


class EventStreams:
    """The clients of /events."""

    def __init__(self, settings: Settings, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._clients = 0
        self._encoder = msgspec.json.Encoder()

    async def serve(self, socket: WebSocket, places: dict[str, int]) -> None:
        """Send records until the client leaves, is too slow, or the gateway stops. The socket is accepted."""
        if self._clients >= CLIENTS_MAX:
            await self._close(socket, TOO_MANY, f"{CLIENTS_MAX} clients are the most", "too_many")
            return
        self._clients += 1
        metrics.API_EVENT_CLIENTS.set(self._clients)
        readers: dict[str, JournalReader] = {}
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._listen(socket))
                sending = group.create_task(self._send(socket, places, readers))
                await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
                listening.cancel()
                sending.cancel()
        finally:
            self._clients -= 1
            metrics.API_EVENT_CLIENTS.set(self._clients)
            for reader in readers.values():
                reader.close()

    @staticmethod
    async def _close(socket: WebSocket, code: int, text: str, reason: str) -> None:
        metrics.API_EVENT_CLIENTS_CLOSED.labels(reason=reason).inc()
        await socket.close(code, text[:120])

    @staticmethod
    async def _listen(socket: WebSocket) -> None:
        """Notice that the client left; what it says is not read."""
        try:
            while True:
                await socket.receive_text()
        except (WebSocketDisconnect, KeyError):
            return

    async def _send(self, socket: WebSocket, places: dict[str, int], readers: dict[str, JournalReader]) -> None:
        try:
            async for chunk in self._chunks(places, readers):
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_text(chunk)
            await self._close(socket, GOING_AWAY, "the gateway stops", "stopping")
        except TimeoutError:
            await self._close(socket, SLOW, "too slow: resume with from=", "slow")
        except (JournalPruned, JournalAhead) as error:
            await self._close(socket, BAD_REQUEST, str(error), "no_such_record")
        except (JournalError, WebSocketDisconnect):
            return

    async def _chunks(self, places: dict[str, int], readers: dict[str, JournalReader]) -> AsyncIterator[str]:
        """Give a JSON array of records at a time, waiting for the next ones."""
        while not self._stopping.is_set():
            self._open(places, readers)
            events: list[dict[str, Any]] = []
            for name, reader in readers.items():
                events.extend(_event(name, record) for record in reader.read(CHUNK_RECORDS_MAX - len(events)))
            if events:
                yield self._encoder.encode(events).decode()
            else:
                await asyncio.sleep(IDLE_INTERVAL_S)

    def _open(self, places: dict[str, int], readers: dict[str, JournalReader]) -> None:
        for name, seq in places.items():
            if name in readers:
                continue
            try:
                reader = open_reader(self._settings, name, from_seq=seq, wait_s=0.0)
            except JournalMissing:
                continue
            if seq == 0:
                reader.seek(reader.last_seq + 1)
            readers[name] = reader


def _event(journal: str, record: Any) -> dict[str, Any]:  # noqa: ANN401 - a record of any kind
    return {
        "journal": journal,
        "kind": type(record).__name__,
        "seq": record.seq,
        "ts_ns": record.ts_ns,
        "cause_journal": record.cause_journal.label,
        "cause_seq": record.cause_seq,
        "origin_ns": record.origin_ns,
        "record": record.as_dict(),
    }
