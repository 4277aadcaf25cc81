"""History: what is asked of the venue and what its pages become."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from holdfast._native import Channel
from holdfast.errors import BadInput, ConfigError, RetryLater
from holdfast.venues.alpaca.connection import Response
from holdfast.venues.alpaca.history import FRAME_ITEMS_MAX, HistoryRequest, fetch, parse_page
from holdfast.venues.alpaca.wire import rfc3339

TRADE = '{"t":"2013-10-08T13:30:00.123456789Z","x":"V","p":178.10000000000001,"s":100,"c":["@"],"i":7,"z":"A"}'


def answer(text: str, status: int = 200) -> Response:
    return Response(status, {}, text.encode())


def request(channel: Channel = Channel.TRADES, *symbols: str) -> HistoryRequest:
    symbols = symbols or ("IBM", "BAC")
    return HistoryRequest(channel=channel, symbols=symbols, start_ns=1, end_ns=2_000_000_000, feed="iex")


class Pages:
    """Answers with one page after another, the last one without a token."""

    def __init__(self, count: int, make: Callable[[int], str]) -> None:
        self.count, self.make, self.asked = count, make, list[str]()

    async def get(self, target: str, *, timeout_s: float = 5.0) -> Response:
        assert timeout_s > 0
        self.asked.append(target)
        number = len(self.asked)
        token = f'"page {number}"' if number < self.count else "null"
        return answer(f'{{"trades":{{"IBM":[{self.make(number)}]}},"next_page_token":{token}}}')


def test_times_have_nine_decimals() -> None:
    assert rfc3339(1_381_239_000_123_456_789) == "2013-10-08T13:30:00.123456789Z"
    assert rfc3339(951_782_400_000_000_000) == "2000-02-29T00:00:00.000000000Z"


@pytest.mark.parametrize(
    ("channel", "symbols", "path", "feed"),
    [
        (Channel.TRADES, ("IBM",), "/v2/stocks/trades", ["iex"]),
        (Channel.QUOTES, ("IBM", "BAC"), "/v2/stocks/quotes", ["iex"]),
        (Channel.BARS, ("IBM",), "/v2/stocks/bars", ["iex"]),
        (Channel.TRADES, ("BTC/USD",), "/v1beta3/crypto/us/trades", None),
    ],
)
def test_the_request_names_the_interval(
    channel: Channel, symbols: tuple[str, ...], path: str, feed: list[str] | None
) -> None:
    parts = urlsplit(request(channel, *symbols).target("next/1"))
    query = parse_qs(parts.query)
    assert parts.path == path
    assert query["symbols"] == [",".join(symbols)]
    assert query["start"] == ["1970-01-01T00:00:00.000000001Z"]
    assert query["end"] == ["1970-01-01T00:00:02.000000000Z"]
    assert query["page_token"] == ["next/1"]
    assert query.get("feed") == feed
    assert query.get("timeframe") == (["1Min"] if channel is Channel.BARS else None)


def test_items_become_the_streams_messages_with_their_numbers_untouched() -> None:
    page = f'{{"trades":{{"IBM":[{TRADE}, {TRADE}],"BAC":[{TRADE}]}},"next_page_token":null,"currency":"USD"}}'
    (frame,), token = parse_page(answer(page), Channel.TRADES)
    assert token == ""
    assert b"178.10000000000001" in frame
    messages = json.loads(frame)
    assert [(message["T"], message["S"], message["i"]) for message in messages] == [
        ("t", "IBM", 7),
        ("t", "IBM", 7),
        ("t", "BAC", 7),
    ]


def test_a_frame_is_bounded() -> None:
    items = ",".join([TRADE] * (2 * FRAME_ITEMS_MAX + 1))
    frames, _ = parse_page(answer(f'{{"trades":{{"IBM":[{items}]}}}}'), Channel.TRADES)
    assert [len(json.loads(frame)) for frame in frames] == [FRAME_ITEMS_MAX, FRAME_ITEMS_MAX, 1]


@pytest.mark.parametrize("text", ['{"trades":null,"next_page_token":null}', '{"trades":{}}', "{}"])
def test_nothing_traded_is_an_empty_page(text: str) -> None:
    assert parse_page(answer(text), Channel.TRADES) == ([], "")


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, RetryLater), (500, RetryLater), (504, RetryLater), (401, ConfigError), (403, ConfigError), (422, BadInput)],
)
def test_each_refusal_says_what_to_do(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=str(status)):
        parse_page(answer('{"message":"no"}', status), Channel.TRADES)


@pytest.mark.parametrize("text", ["", "[]", '{"trades":[1]}', '{"trades":{"IBM":[7]}}', '{"trades":{"IBM":["{}"]}}'])
def test_garbage_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        parse_page(answer(text), Channel.TRADES)


async def test_every_page_is_asked_for_with_the_token_of_the_one_before() -> None:
    pages = Pages(3, lambda number: TRADE.replace('"i":7', f'"i":{number}'))
    ids = [json.loads(frame)[0]["i"] async for frames, _ in fetch(pages, request()) for frame in frames]
    assert ids == [1, 2, 3]
    assert [parse_qs(urlsplit(target).query).get("page_token") for target in pages.asked] == [
        None,
        ["page 1"],
        ["page 2"],
    ]


async def test_the_number_of_pages_is_bounded() -> None:
    pages = Pages(5, lambda _: TRADE)
    with pytest.raises(BadInput, match="more than 4 pages"):
        [frames async for frames, _ in fetch(pages, request(), pages_max=4)]
    assert len(pages.asked) == 4


async def test_an_interrupted_fetch_goes_on_at_its_token() -> None:
    pages = Pages(1, lambda _: TRADE)
    assert len([frames async for frames, _ in fetch(pages, request(), page_token="page 2")]) == 1
    assert parse_qs(urlsplit(pages.asked[0]).query)["page_token"] == ["page 2"]
