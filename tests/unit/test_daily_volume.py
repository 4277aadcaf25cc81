"""Average volumes of daily bars: twenty sessions, no more and no less, and what is no bar is refused."""

import datetime as dt
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from holdfast.errors import BadInput, ConfigError, RetryLater
from holdfast.venues.alpaca.connection import Response
from holdfast.venues.alpaca.daily_volume import average_volumes

E9 = 10**9
TODAY_NS = int(dt.datetime(2024, 7, 8, 4, tzinfo=dt.UTC).timestamp()) * E9


def bars(*volumes: object) -> list[dict[str, object]]:
    first = dt.date(2024, 7, 8) - dt.timedelta(days=len(volumes))
    days = (first + dt.timedelta(days=place) for place in range(len(volumes)))
    return [{"t": f"{day}T04:00:00Z", "o": 1.5, "v": volume} for day, volume in zip(days, volumes, strict=True)]


@dataclass
class Venue:
    """Answers with prepared pages."""

    pages: list[tuple[int, object]]
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    async def get(self, target: str, *, timeout_s: float = 5.0) -> Response:
        assert timeout_s > 0
        self.asked.append(parse_qs(urlsplit(target).query))
        status, body = self.pages[len(self.asked) - 1]
        return Response(status, {}, json.dumps(body).encode())


def page(token: str | None = None, **by_symbol: list[dict[str, object]]) -> tuple[int, object]:
    return 200, {"bars": by_symbol, "next_page_token": token}


async def averages(*pages: tuple[int, object]) -> dict[str, tuple[int, int]]:
    found = await average_volumes(Venue(list(pages)), ["IBM", "SPY"], before_ns=TODAY_NS, feed="sip")
    return {record.symbol: (record.volume_e9, record.session_count) for record in found}


async def test_the_latest_twenty_sessions_count_whatever_the_pages() -> None:
    venue = Venue([page("more", IBM=bars(10**9, *[100] * 10)), page(IBM=bars(*[300] * 10))])
    found = await average_volumes(venue, ["IBM"], before_ns=TODAY_NS, feed="sip")
    (record,) = found
    assert (record.symbol, record.volume_e9, record.session_count) == ("IBM", 200 * E9, 20)
    assert record.ts_event_ns == TODAY_NS - 86_400 * E9
    assert venue.asked[0]["timeframe"] == ["1Day"]
    assert venue.asked[0]["end"] == ["2024-07-08T03:59:59.999999999Z"]
    assert venue.asked[1]["page_token"] == ["more"]


async def test_sessions_without_a_bar_count_as_none_traded() -> None:
    assert await averages(page(IBM=bars(100, 100), SPY=bars(0))) == {"IBM": (10 * E9, 2), "SPY": (0, 1)}


async def test_a_symbol_without_bars_has_no_average_and_a_huge_volume_overflows_nothing() -> None:
    assert await averages(page(IBM=bars(*[10**18] * 20))) == {"IBM": (9 * 10**9 * E9, 20)}


@pytest.mark.parametrize(
    "bar", [{"v": 1}, {"t": "2024-07-05T04:00:00Z"}, {"t": "x", "v": 1}, {"t": 5, "v": 1}], ids=str
)
async def test_what_is_no_bar_is_refused(bar: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        await averages(page(IBM=[bar]))


@pytest.mark.parametrize("volume", [-1, "12x", None, [], True], ids=str)
async def test_what_is_no_volume_is_refused(volume: object) -> None:
    with pytest.raises(BadInput):
        await averages(page(IBM=bars(volume)))


@pytest.mark.parametrize(
    ("status", "kind"), [(429, RetryLater), (500, RetryLater), (403, ConfigError), (404, BadInput)]
)
async def test_a_refusal_says_what_to_do(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await averages((status, {"message": "no"}))


async def test_pages_without_an_end_are_given_up() -> None:
    with pytest.raises(BadInput):
        await averages(*[page("more")] * 50)
