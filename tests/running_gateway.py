"""A real gateway in a thread, and a client that speaks to it over TLS."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast._native import RiskLimits
from holdfast.services.api_gateway import serve
from patience import PATIENCE_S

if TYPE_CHECKING:
    import ssl

    from holdfast.settings import Settings
    from trading_day import Day

LIMITS = RiskLimits(
    is_short_allowed=False,
    is_resumed_by_operator=True,
    **(RiskLimits.loosest() | {"order_notional_max_e9": 10_000_000_000_000, "open_positions_max": 5}),
)


@dataclass
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Gateway:
    """The running gateway and its clients."""

    settings: Settings
    day: Day
    port: int
    tokens: dict[str, str]
    tls: ssl.SSLContext

    def ask(self, method: str, path: str, role: str = "", body: object = None, *, raw: bytes | None = None) -> Answer:
        """Send one request with the token of a role; an empty role sends none."""
        content = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", content, method=method)
        if content is not None:
            request.add_header("content-type", "application/json")
        if role:
            request.add_header("authorization", f"Bearer {self.tokens.get(role, role)}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S, context=self.tls) as response:  # noqa: S310
                return _answer(response)
        except urllib.error.HTTPError as error:
            return _answer(error)


def _answer(response: Any) -> Answer:  # noqa: ANN401 - urllib's two kinds of response
    content = response.read()
    headers = {key.lower(): value for key, value in response.headers.items()}
    is_json = headers.get("content-type", "").startswith("application/json")
    return Answer(response.status, headers, json.loads(content) if is_json else content.decode())


class RunningGateway:
    """Runs `serve` in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ports: list[int] = []
        self._is_up = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        started = self._loop.create_future()
        started.add_done_callback(self._note)
        try:
            await serve(self._settings, self._stopping, limits=LIMITS, started=started)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self._errors.append(error)
            self._is_up.set()

    def _note(self, future: asyncio.Future[int]) -> None:
        self._ports.append(future.result())
        self._is_up.set()

    def start(self) -> int:
        """Start and return the port."""
        self._thread.start()
        assert self._is_up.wait(PATIENCE_S)
        if self._errors:
            raise self._errors[0]
        return self._ports[0]

    def stop(self) -> None:
        """Stop and wait."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self._errors:
            raise self._errors[0]
