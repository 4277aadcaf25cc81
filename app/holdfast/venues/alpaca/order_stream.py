"""Alpaca's order updates over a WebSocket: connect, authenticate, listen, and know within seconds when it is dead.

The stream has no sequence numbers and no replay: each time `session` rises, the caller must reconcile over REST.
"""

import asyncio
import random
import ssl
from typing import Protocol

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from holdfast import clock
from holdfast.errors import BadInput
from holdfast.logs import get_logger
from holdfast.service import SendingEdge
from holdfast.venues.alpaca.connection import LEASE_OVER
from holdfast.venues.alpaca.order_messages import (
    CHANNEL,
    Authorized,
    Listening,
    Notice,
    OrderUpdate,
    Unauthorized,
    authentication,
    parse,
    subscription,
)

PING_INTERVAL_S = 1.0
SILENCE_S_MAX = 5.0
HANDSHAKE_TIMEOUT_S = 5.0
RETRY_S_MIN = 0.1
RETRY_S_MAX = 5.0
FRAME_BYTES_MAX = 1024 * 1024

log = get_logger()


class OrderListener(Protocol):
    """Who is told what the stream says."""

    def on_update(self, update: OrderUpdate) -> None:
        """Keep one event of an order."""

    def on_listening(self) -> None:
        """Updates arrive from now on; what came before is known to REST only."""


class OrderStream(WSListener):
    """The order-update stream, kept open by `run`.

    Invariant: `is_live` means that the venue confirmed the subscription and was heard within `SILENCE_S_MAX`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        secret: str,
        context: ssl.SSLContext,
        edge: SendingEdge | None = None,
    ) -> None:
        super().__init__()
        self._edge = edge
        self._place: int | None = None
        self._url = url
        self._key = key
        self._secret = secret
        self._context = context
        self._listener: OrderListener | None = None
        self._transport: WSTransport | None = None
        self._pieces = bytearray()
        self._form = 0
        self._is_listening = False
        self._heard_s = 0.0
        self._failure: Exception | None = None
        self.session = 0
        self.dropped = 0
        self.is_unauthorized = False

    @property
    def is_live(self) -> bool:
        """Whether updates would arrive now."""
        return self._is_listening and clock.monotonic_s() - self._heard_s <= SILENCE_S_MAX

    def close(self) -> None:
        """Close politely, so that the venue's one connection is free for the next holder at once."""
        self._is_listening = False
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)

    def restart(self) -> None:
        """Drop the connection; `run` opens another."""
        self._is_listening = False
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    async def run(self, listener: OrderListener) -> None:
        """Keep the stream open until cancelled.

        Raises: whatever the listener raises: an update that could not be kept is a broken state.
        """
        self._listener = listener
        pause_s = RETRY_S_MIN
        while True:
            session = self.session
            try:
                await self._connect()
            except (OSError, TimeoutError, WSError) as error:
                log.warning("order_stream_failed", detail=str(error) or type(error).__name__)
            finally:
                self.restart()
                self._transport = None
            if self._failure is not None:
                raise self._failure
            pause_s = RETRY_S_MIN if self.session != session else min(pause_s * 2, RETRY_S_MAX)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter

    async def _connect(self) -> None:
        if self._edge is not None and not self._edge.is_open:
            raise OSError(LEASE_OVER)
        async with asyncio.timeout(2 * HANDSHAKE_TIMEOUT_S):
            transport, _ = await ws_connect(
                lambda: self,
                self._url,
                ssl_context=self._context,
                websocket_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                max_frame_size=FRAME_BYTES_MAX,
                max_redirects=0,
            )
        connected_s = clock.monotonic_s()
        gone = asyncio.ensure_future(transport.wait_disconnected())
        try:
            while not gone.done():
                await asyncio.wait({gone}, timeout=PING_INTERVAL_S)
                if clock.monotonic_s() - self._heard_s > SILENCE_S_MAX:
                    log.warning("order_stream_silent", silence_s_max=SILENCE_S_MAX)
                    return
                if not self._is_listening and clock.monotonic_s() - connected_s > SILENCE_S_MAX:
                    self._try_other_form()
                    return
                if not transport.is_disconnected:
                    transport.send_ping(b"holdfast")
        finally:
            gone.cancel()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Handle picows' callback."""
        self._transport = transport
        if self._edge is not None:
            raw = transport.underlying_transport.get_extra_info("socket")
            self._place = self._edge.admit(raw.fileno())
            if self._place is None:
                transport.disconnect(graceful=False)
                return
        self._pieces.clear()
        self._heard_s = clock.monotonic_s()
        transport.send(WSMsgType.TEXT, authentication(self._key, self._secret, form=self._form))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle picows' callback."""
        self._heard_s = clock.monotonic_s()
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._pieces += frame.get_payload_as_bytes()
            if len(self._pieces) > FRAME_BYTES_MAX:
                log.warning("order_stream_message_too_long", bytes_max=FRAME_BYTES_MAX)
                transport.disconnect(graceful=False)
            elif frame.fin:
                payload = bytes(self._pieces)
                self._pieces.clear()
                self._accept(payload)
        elif kind == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows' signature
        """Handle picows' callback."""
        if self._is_listening:
            log.warning("order_stream_lost")
        self._is_listening = False
        if self._edge is not None and self._place is not None:
            self._edge.release(self._place)
            self._place = None

    def _accept(self, payload: bytes) -> None:
        try:
            message = parse(payload)
        except BadInput as error:
            self.dropped += 1
            log.warning("order_stream_input_dropped", detail=str(error))
            return
        try:
            self._handle(message)
        except Exception as error:  # noqa: BLE001 - picows would only log it; `run` raises it
            self._failure = error
            self.restart()

    def _handle(self, message: Authorized | Unauthorized | Listening | Notice | OrderUpdate) -> None:
        assert self._listener is not None
        match message:
            case OrderUpdate():
                self._listener.on_update(message)
            case Authorized():
                self.is_unauthorized = False
                assert self._transport is not None
                self._transport.send(WSMsgType.TEXT, subscription())
            case Listening(streams) if CHANNEL in streams:
                self._is_listening = True
                self.session += 1
                log.info("order_stream_listening", session=self.session)
                self._listener.on_listening()
            case Listening():
                log.warning("order_stream_not_subscribed")
                self.restart()
            case Unauthorized():
                self._try_other_form()
            case Notice(text):
                log.warning("order_stream_notice", text=text)

    def _try_other_form(self) -> None:
        """Both forms of authentication occur: take turns, one connection each."""
        self.is_unauthorized = True
        log.warning("order_stream_unauthorized", form=self._form % 2)
        self._form += 1
        self.restart()
