"""Messages of Alpaca's `trade_updates` stream, without I/O: bytes in, typed messages out, bytes of requests."""

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from holdfast.errors import BadInput
from holdfast.venues.alpaca.orders import RawOrder, VenueFill, VenueOrder
from holdfast.venues.alpaca.wire import e9, time_ns

CHANNEL = "trade_updates"
FILL_EVENTS = frozenset({"fill", "partial_fill"})
# What Alpaca documents; others are kept as updates of the order they carry.
EVENTS = FILL_EVENTS | {
    "new",
    "accepted",
    "pending_new",
    "canceled",
    "expired",
    "done_for_day",
    "replaced",
    "rejected",
    "stopped",
    "pending_cancel",
    "pending_replace",
    "calculated",
    "suspended",
    "held",
    "order_replace_rejected",
    "order_cancel_rejected",
}


class _Envelope(msgspec.Struct, frozen=True):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Authorization(msgspec.Struct, frozen=True):
    status: str = ""


class _Listening(msgspec.Struct, frozen=True):
    streams: list[str] | None = None


class _Update(msgspec.Struct, frozen=True):
    event: str
    order: RawOrder
    execution_id: str | None = None
    price: Decimal | None = None
    qty: Decimal | None = None
    position_qty: Decimal | None = None
    timestamp: str | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_AUTHORIZATION = msgspec.json.Decoder(_Authorization)
_LISTENING = msgspec.json.Decoder(_Listening)
_UPDATE = msgspec.json.Decoder(_Update)


@dataclass(frozen=True, slots=True)
class Authorized:
    """The keys were accepted."""


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The keys, or this form of sending them, were refused."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The list of streams that are sent from now on."""

    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is no update: an error of the venue, or a message of an unknown kind."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdate:
    """One event of an order; `fill` is set for executions."""

    event: str
    order: VenueOrder
    fill: VenueFill | None
    ts_event_ns: int


StreamMessage = Authorized | Unauthorized | Listening | Notice | OrderUpdate


def authentication(key: str, secret: str, *, form: int) -> bytes:
    """Return the authentication request; both forms occur at the venue, `form` 0 is the one its own client uses."""
    if form % 2 == 0:
        return msgspec.json.encode({"action": "authenticate", "data": {"key_id": key, "secret_key": secret}})
    return msgspec.json.encode({"action": "auth", "key": key, "secret": secret})


def subscription() -> bytes:
    """Return the request that replaces the list of streams by order updates."""
    return msgspec.json.encode({"action": "listen", "data": {"streams": [CHANNEL]}})


def parse(payload: bytes) -> StreamMessage:
    """Read a frame's payload: JSON in text or binary frames, or msgpack.

    Raises: BadInput for what cannot be read; nothing of it was used.
    """
    try:
        if payload[:1] not in (b"{", b"["):
            # Rare: the venue answers in msgpack only to a client that asks for it. Times become RFC 3339 on the way.
            payload = msgspec.json.encode(msgspec.msgpack.decode(payload))
        envelope = _ENVELOPE.decode(payload)
        if envelope.stream == CHANNEL:
            return _update(_UPDATE.decode(envelope.data))
        if envelope.stream == "authorization":
            status = _AUTHORIZATION.decode(envelope.data).status
            return Authorized() if status == "authorized" else Unauthorized()
        if envelope.stream == "listening":
            return Listening(tuple(_LISTENING.decode(envelope.data).streams or ()))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"order stream: {error}: {payload[:80]!r}") from None
    return Notice(payload[:200].decode("utf-8", "replace"))


def _update(raw: _Update) -> OrderUpdate:
    order = VenueOrder.of(raw.order)
    ts_event_ns = time_ns(raw.timestamp) or order.updated_ns
    fill = None
    if raw.event in FILL_EVENTS and raw.execution_id and raw.qty is not None and raw.price is not None:
        fill = VenueFill(
            execution_id=raw.execution_id,
            venue_order_id=order.venue_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity_e9=e9(raw.qty),
            price_e9=e9(raw.price),
            position_quantity_e9=None if raw.position_qty is None else e9(raw.position_qty),
            ts_event_ns=ts_event_ns,
        )
    return OrderUpdate(event=raw.event, order=order, fill=fill, ts_event_ns=ts_event_ns)
