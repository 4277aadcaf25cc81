"""JSON answers, and reading what a client sent. Numbers stay decimal text all the way."""

import contextlib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from holdfast.venues.simulated.wire import Response

E9 = Decimal(1_000_000_000)
AMOUNT_E9_MAX = 9_000_000_000_000_000_000

encode_json = msgspec.json.Encoder().encode


class Refused(Exception):
    """A request that is answered by a refusal."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.response = refuse(status, code, message)


def reply(value: object, status: int = 200) -> Response:
    """Answer with a JSON value."""
    return Response(status, encode_json(value))


def refuse(status: int, code: int, message: str) -> Response:
    """Answer with the venue's error object."""
    return reply({"code": code, "message": message}, status)


def invalid(message: str) -> Refused:
    """Return the refusal of a wrong parameter."""
    return Refused(422, 40010001, message)


def scaled_e9(value: object, name: str) -> int:
    """Return a decimal number scaled by 1e9; 0 for nothing.

    Raises: Refused for what is no finite number or has more than nine decimals.
    """
    if value is None or value == "":
        return 0
    scaled = Decimal("NaN")
    if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool):
        with contextlib.suppress(InvalidOperation):
            scaled = Decimal(str(value)) * E9
    if not scaled.is_finite() or scaled != scaled.to_integral_value() or abs(scaled) > AMOUNT_E9_MAX:
        raise invalid(f"{name}: expected a number with at most nine decimals")
    return int(scaled)


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; an empty body is an empty object.

    Raises: Refused.
    """
    if not body:
        return {}
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise Refused(400, 40010000, "request body format is invalid") from None
    if not isinstance(value, dict):
        raise Refused(400, 40010000, "request body format is invalid")
    return value


def read_count(query: Mapping[str, str], name: str, *, default: int, largest: int) -> int:
    """Read a number of items from a query.

    Raises: Refused.
    """
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise invalid(f"{name}: expected 1 to {largest}")
    return int(text)


def is_true(query: Mapping[str, str], name: str) -> bool:
    """Read a switch from a query, absent being off."""
    return query.get(name, "").lower() in {"true", "1"}
