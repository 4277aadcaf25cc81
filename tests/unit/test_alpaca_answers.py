"""What an answer to POST, PATCH and DELETE proves."""

import json

import pytest

from holdfast.venues.alpaca.connection import NotSent, Response, Unproven
from holdfast.venues.alpaca.orders import VenueOrder
from holdfast.venues.alpaca.trading import Done, Refusal, canceled, submitted

ORDER = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d", "client_order_id": "hf-1-2", "symbol": "IBM", "side": "buy",
    "type": "limit", "time_in_force": "day", "order_class": "", "status": "accepted", "qty": "10", "filled_qty": "0",
    "limit_price": "101.23", "created_at": "2021-03-16T18:38:01.942282Z", "legs": None,
}  # fmt: skip


def answer(status: int, body: object, **headers: str) -> Response:
    return Response(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_an_order_is_read_into_integers() -> None:
    order = submitted(answer(200, ORDER), now_s=0)
    assert isinstance(order, VenueOrder)
    assert (order.quantity_e9, order.limit_price_e9, order.status.label) == (10 * 10**9, 101_230_000_000, "accepted")
    assert order.updated_ns == 1_615_919_881_942_282_000
    assert order.is_own


def test_numbers_may_be_json_numbers_but_never_pass_a_float() -> None:
    body = json.dumps(ORDER).replace('"101.23"', "0.1000000000000000055511151231257827").encode()
    order = submitted(answer(200, body), now_s=0)
    assert isinstance(order, VenueOrder)
    assert order.limit_price_e9 == 100_000_000


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"code": 1, "message": "x"}),
        (504, b""),
        (200, b"<html>"),
        (200, ORDER | {"status": "dreaming"}),
        (200, ORDER | {"qty": "NaN"}),
        (403, b"<html>blocked</html>"),
        (302, b""),
    ],
)
def test_what_is_not_the_venues_own_word_proves_nothing(status: int, body: object) -> None:
    assert isinstance(submitted(answer(status, body), now_s=0), Unproven)
    if status != 200:
        assert isinstance(canceled(answer(status, body), now_s=0), Unproven)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_keeps_code_and_words(status: int) -> None:
    refused = submitted(answer(status, {"code": 40310000, "message": "no"}), now_s=0)
    assert refused == Refusal(status=status, code=40310000, message="no")


@pytest.mark.parametrize(
    ("headers", "retry_after_s"),
    [
        ({"x-ratelimit-reset": "105"}, 5.0),
        ({"x-ratelimit-reset": "99999"}, 60.0),
        ({"x-ratelimit-reset": "?"}, 1.0),
        ({}, 1.0),
    ],
)
def test_too_many_requests_says_until_when(headers: dict[str, str], retry_after_s: float) -> None:
    refused = submitted(answer(429, b"slow down", **headers), now_s=100.0)
    assert isinstance(refused, Refusal)
    assert refused.is_rate
    assert refused.retry_after_s == retry_after_s


def test_a_duplicate_is_told_from_other_refusals() -> None:
    duplicate = submitted(answer(422, {"code": 40010001, "message": "client_order_id must be unique"}), now_s=0)
    assert isinstance(duplicate, Refusal)
    assert duplicate.is_duplicate
    other = submitted(answer(422, {"code": 42210000, "message": "invalid qty"}), now_s=0)
    assert isinstance(other, Refusal)
    assert not other.is_duplicate


def test_a_cancel_is_accepted_by_204_and_what_was_not_sent_stays_so() -> None:
    assert canceled(answer(204, b""), now_s=0) == Done()
    assert canceled(NotSent("x"), now_s=0) == NotSent("x")
    assert submitted(Unproven("x"), now_s=0) == Unproven("x")
