"""The order stream's messages, in each encoding that occurs."""

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadInput
from holdfast.venues.alpaca.order_messages import (
    EVENTS,
    FILL_EVENTS,
    Authorized,
    Listening,
    Notice,
    OrderUpdate,
    Unauthorized,
    authentication,
    parse,
)

ORDER = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d", "client_order_id": "hf-1-2", "symbol": "IBM", "side": "sell",
    "type": "market", "time_in_force": "day", "status": "filled", "qty": "10", "filled_qty": "10",
    "filled_avg_price": "33.3333333333", "updated_at": "2026-01-02T15:00:00.5Z",
}  # fmt: skip
FILL = {
    "event": "fill", "execution_id": "5f8d0b9a-0000-4000-8000-000000000001", "price": "33.1", "qty": "4",
    "position_qty": "-6", "timestamp": "2026-01-02T15:00:00.123456789Z", "order": ORDER,
}  # fmt: skip


def update(data: object) -> object:
    return {"stream": "trade_updates", "data": data}


@pytest.mark.parametrize("encode", [lambda value: json.dumps(value).encode(), msgspec.msgpack.encode])
def test_json_and_msgpack_say_the_same(encode: Callable[[object], bytes]) -> None:
    message = parse(encode(update(FILL)))
    assert isinstance(message, OrderUpdate)
    assert message.fill is not None
    assert (message.fill.quantity_e9, message.fill.price_e9) == (4 * 10**9, 33_100_000_000)
    assert message.fill.position_quantity_e9 == -6 * 10**9
    assert message.fill.ts_event_ns % 10**9 == 123_456_789
    assert message.order.average_price_e9 == 33_333_333_333


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_event_is_an_update_and_only_executions_fill(event: str) -> None:
    message = parse(json.dumps(update(FILL | {"event": event})).encode())
    assert isinstance(message, OrderUpdate)
    assert (message.fill is not None) == (event in FILL_EVENTS)


def test_a_fill_without_its_id_is_an_update_only() -> None:
    message = parse(json.dumps(update(FILL | {"execution_id": None})).encode())
    assert isinstance(message, OrderUpdate)
    assert message.fill is None


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ({"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}, Authorized()),
        ({"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}}, Unauthorized()),
        ({"stream": "listening", "data": {"streams": ["trade_updates"]}}, Listening(("trade_updates",))),
        ({"stream": "listening", "data": {"streams": []}}, Listening(())),
    ],
)
def test_the_handshakes_answers_are_told_apart(message: object, meaning: object) -> None:
    assert parse(json.dumps(message).encode()) == meaning


def test_an_error_of_the_venue_is_a_notice() -> None:
    assert isinstance(parse(b'{"action":"error","code":406}'), Notice)


def test_both_forms_of_authentication_are_written() -> None:
    assert json.loads(authentication("k", "s", form=0))["data"] == {"key_id": "k", "secret_key": "s"}
    assert json.loads(authentication("k", "s", form=1)) == {"action": "auth", "key": "k", "secret": "s"}


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: b"{" + text.encode()))
def test_garbage_is_refused_or_noticed_and_never_an_update(payload: bytes) -> None:
    try:
        assert isinstance(parse(payload), Notice)
    except BadInput:
        return


@pytest.mark.parametrize(
    "broken", [{"qty": "NaN"}, {"price": "1e400"}, {"order": ORDER | {"status": "?"}}, {"order": 1}]
)
def test_an_update_that_cannot_be_read_is_refused_whole(broken: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        parse(json.dumps(update(FILL | broken)).encode())
