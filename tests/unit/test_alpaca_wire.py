"""Alpaca's text as integers."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadInput
from holdfast.venues.alpaca.wire import decimal_text, e9, pair, time_ns


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_decimal_text_and_back_is_exact(value_e9: int) -> None:
    assert e9(Decimal(decimal_text(value_e9))) == value_e9


def test_more_digits_are_rounded_half_to_even() -> None:
    assert e9(Decimal("33.3333333335")) == 33_333_333_334
    assert e9(Decimal("0.0000000005")) == 0
    assert e9(None) == 0


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e308", "9223372037"])
def test_what_is_no_amount_is_refused(number: str) -> None:
    with pytest.raises(BadInput):
        e9(Decimal(number))


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2199, 1, 1)),  # noqa: DTZ001 - the zone is drawn beside it
    st.integers(0, 999),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_is_read_to_the_nanosecond(moment: datetime, ns: int, offset_min: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    text = zoned.isoformat(timespec="microseconds")
    text = f"{text[:26]}{ns:03d}{text[26:]}"
    expected = (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000 + ns
    assert time_ns(text) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        time_ns(text)


def test_no_time_is_zero() -> None:
    assert (time_ns(None), time_ns("")) == (0, 0)


@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/BTC", "ETH/USDT", "BTC/USDC", "USDT/USD", "USDC/USD", "BTC/USDT"])
def test_a_pair_without_its_slash_is_the_pair(symbol: str) -> None:
    assert pair(symbol.replace("/", "")) == symbol
    assert pair(symbol) == symbol


@pytest.mark.parametrize("name", ["USD", "XYZ", ""])
def test_what_is_no_known_pair_stays_as_it_is(name: str) -> None:
    assert pair(name) == name
