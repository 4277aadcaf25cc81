"""A client of the gateway's /events for tests without an event loop of their own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.client import ClientConnection, connect

from patience import PATIENCE_S

if TYPE_CHECKING:
    from types import TracebackType

    from running_gateway import Gateway


class EventClient:
    """One connection, driven by one thread: a TLS connection that two threads read and write at once loses bytes."""

    def __init__(self, gateway: Gateway, query: str, *, role: str, **options: Any) -> None:  # noqa: ANN401
        self._runner = asyncio.Runner()
        self._url = f"wss://127.0.0.1:{gateway.port}/events{query}"
        self._tls = gateway.tls
        self._options = options
        if role:
            token = gateway.tokens.get(role, role)
            self._options["additional_headers"] = {"authorization": f"Bearer {token}"}

    def __enter__(self) -> Self:
        self._socket = self._runner.run(self._connect())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._socket.close())
        self._runner.close()

    @property
    def subprotocol(self) -> str | None:
        """What the server chose."""
        return self._socket.subprotocol

    def receive_message(self, timeout_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """Return the records of the next message. Raises: TimeoutError, ConnectionClosed."""
        return self._runner.run(self._receive(timeout_s))

    def receive(self, count: int) -> list[dict[str, Any]]:
        """Return as many records or more."""
        events: list[dict[str, Any]] = []
        while len(events) < count:
            events.extend(self.receive_message())
        return events

    async def _connect(self) -> ClientConnection:
        return await connect(self._url, ssl=self._tls, open_timeout=PATIENCE_S, **self._options)

    async def _receive(self, timeout_s: float) -> list[dict[str, Any]]:
        async with asyncio.timeout(timeout_s):
            found: list[dict[str, Any]] = json.loads(await self._socket.recv())
            return found
