"""The simulated venue's own promises: its streams' errors, recorded sessions, counters and ledger."""

import json
import ssl
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from fix_venue import OpenVenue
from holdfast._native import Gap, JournalName, JournalWriter, Quote, Trade
from holdfast.venues.alpaca.connection import Connection, Origin, Response, tls_context
from holdfast.venues.simulated import SPEED_MAX, Ledger, SimulatedVenue

KEYS = {"APCA-API-KEY-ID": "PKSIMULATED", "APCA-API-SECRET-KEY": "simulated-secret"}
AUTH = {"action": "auth", "key": "PKSIMULATED", "secret": "simulated-secret"}
ORDER = {"symbol": "IBM", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "1", "limit_price": "5"}


def stream(venue: SimulatedVenue, path: str = "/v2/iex", **headers: str) -> connect:
    context = ssl.create_default_context(cafile=venue.ca_file)
    url = venue.url.replace("https://", "wss://") + path
    return connect(url, ssl=context, additional_headers=headers, compression=None, max_size=None)


async def receive(socket: ClientConnection) -> Any:  # noqa: ANN401 - JSON
    return json.loads(await socket.recv())


async def request(venue: SimulatedVenue, method: str, target: str, body: object = None) -> Response:
    origin = Origin.parse(venue.url, headers=KEYS)
    async with Connection(origin, tls_context(venue.ca_file), lines=1) as connection:
        content = json.dumps(body).encode() if body is not None else b""
        outcome = await connection.request(origin.encode(method, target, content), timeout_s=20)
    assert isinstance(outcome, Response)
    return outcome


async def test_a_data_stream_answers_each_mistake_with_its_code(open_venue: OpenVenue) -> None:
    async with open_venue(symbols_max=2) as venue, stream(venue) as socket:
        assert await receive(socket) == [{"T": "success", "msg": "connected"}]
        mistakes: list[tuple[object, int]] = [
            ("not JSON", 400),
            ({"action": "dance"}, 400),
            ({"action": ["auth"]}, 400),
            ({"action": "subscribe", "quotes": ["AAPL"]}, 401),
        ]
        for message, code in mistakes:
            await socket.send(message if isinstance(message, str) else json.dumps(message))
            assert (await receive(socket))[0]["code"] == code
        await socket.send(json.dumps(AUTH))
        assert await receive(socket) == [{"T": "success", "msg": "authenticated"}]
        mistakes = [
            (AUTH, 403),
            ({"action": "subscribe", "quotes": [{}]}, 400),
            ({"action": "subscribe", "quotes": ["AAPL", "IBM", "SPY"]}, 405),
            ({"action": "subscribe", "orderbooks": ["BTC/USD"]}, 410),
        ]
        for message, code in mistakes:
            await socket.send(json.dumps(message))
            assert (await receive(socket))[0]["code"] == code
        async with stream(venue) as second:
            await receive(second)
            assert (await receive(second))[0]["code"] == 406
        async with stream(venue, "/v2/sip", **KEYS) as other:
            await receive(other)
            assert await receive(other) == [{"T": "success", "msg": "authenticated"}], "by headers, another endpoint"


async def test_wrong_keys_end_a_data_stream(open_venue: OpenVenue) -> None:
    async with open_venue() as venue, stream(venue) as socket:
        await receive(socket)
        await socket.send(json.dumps({**AUTH, "secret": "wrong"}))
        assert await receive(socket) == [{"T": "error", "code": 402, "msg": "auth failed"}]
        await socket.wait_closed()


async def test_subscriptions_add_up_and_bring_what_was_asked_for(open_venue: OpenVenue) -> None:
    async with open_venue(speed=20.0) as venue, stream(venue, **KEYS) as socket:
        await receive(socket)
        await receive(socket)
        await socket.send(json.dumps({"action": "subscribe", "quotes": ["AAPL"], "trades": ["IBM"]}))
        first = (await receive(socket))[0]
        assert (first["quotes"], first["trades"], first["corrections"]) == (["AAPL"], ["IBM"], ["IBM"])
        await socket.send(json.dumps({"action": "subscribe", "quotes": ["SPY"]}))
        await socket.send(json.dumps({"action": "unsubscribe", "quotes": ["AAPL"]}))
        replies = 0
        kinds: set[tuple[str, str]] = set()
        while replies < 2 or len(kinds) < 2:
            for message in await receive(socket):
                if message["T"] == "subscription":
                    replies += 1
                elif replies == 2:
                    kinds.add((message["T"], message["S"]))
        assert kinds == {("q", "SPY"), ("t", "IBM")}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_order_updates_come_in_binary_frames_of_either_encoding(open_venue: OpenVenue, encoding: str) -> None:
    codec: Any = msgspec.msgpack if encoding == "msgpack" else msgspec.json
    headers = {"Content-Type": f"application/{encoding}"}
    async with open_venue() as venue, stream(venue, "/stream", **headers) as socket:
        listen = codec.encode({"action": "listen", "data": {"streams": ["trade_updates"]}})
        await socket.send(listen)
        assert codec.decode(await socket.recv())["data"]["status"] == "unauthorized"
        keys = {"key_id": AUTH["key"], "secret_key": AUTH["secret"]}
        for message in ({"action": "authenticate", "data": keys}, AUTH):
            await socket.send(codec.encode(message))
            assert codec.decode(await socket.recv())["data"] == {"status": "authorized", "action": message["action"]}
        await socket.send(listen)
        assert codec.decode(await socket.recv()) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        assert (await request(venue, "POST", "/v2/orders", ORDER)).status == 200
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        update = codec.decode(frame)
        assert (update["stream"], update["data"]["event"]) == ("trade_updates", "new")


def write_day(directory: Path) -> None:
    """Two quotes that make a market, one trade in each of two minutes, one more quote."""
    quotes = ["34200000,100000,300,0,0,N,,0", "34200100,0,0,100100,200,N,,0", "34261000,100200,100,0,0,N,,0"]
    trades = ["34200200,100100,50,N,0,0", "34262000,100150,25,N,0,0"]
    for kind, lines in (("quote", quotes), ("trade", trades)):
        with zipfile.ZipFile(directory / f"IBM_2013-10-08_{kind}.zip", "w") as archive:
            archive.writestr("ticks.csv", "\n".join(lines) + "\n")


async def test_a_recorded_day_waits_for_its_reader_and_ends_with_the_market_closed(
    open_venue: OpenVenue, tmp_path: Path
) -> None:
    write_day(tmp_path)
    async with open_venue(session=str(tmp_path), speed=SPEED_MAX) as venue:
        assert (await request(venue, "POST", "/v2/orders", ORDER)).status == 200
        async with stream(venue, **KEYS) as socket:
            await receive(socket)
            await receive(socket)
            await socket.send(json.dumps({"action": "subscribe", "quotes": ["*"], "bars": ["*"]}))
            await receive(socket)
            assert venue.status()["quotes_sent"] == 0, "nobody takes the trades yet"
            await socket.send(json.dumps({"action": "subscribe", "trades": ["*"]}))
            kinds: list[str] = []
            while kinds.count("b") < 2:
                kinds += [message["T"] for message in await receive(socket)]
        # The last bar is sent when the session has ended.
        assert venue.status()["is_done"]
        counts = {"lines_read": 5, "quotes_sent": kinds.count("q"), "trades_sent": 2, "bars_sent": 2}
        assert {name: venue.status()[name] for name in counts} == counts
        assert counts["quotes_sent"] > 0
        market_clock = json.loads((await request(venue, "GET", "/v2/clock")).body)
        assert not market_clock["is_open"]
        assert market_clock["timestamp"].startswith("2013-10-08T16:00:00")
        orders = json.loads((await request(venue, "GET", "/v2/orders?status=all")).body)
        assert [found["status"] for found in orders] == ["expired"]
    ledger = Ledger.read(tmp_path / "ledger.jsonl")
    end = ledger.session_end()
    assert end is not None
    assert {name: end[name] for name in counts} == counts
    assert [line["body"]["symbol"] for line in ledger.entry_requests()] == ["IBM"]


async def test_a_journal_of_ours_is_replayed_as_it_was_received(open_venue: OpenVenue, tmp_path: Path) -> None:
    open_ns = 1_381_239_000_000_000_000  # 2013-10-08 09:30 New York
    journal = tmp_path / "market_data"
    sent: list[tuple[str, str, float]] = []
    with JournalWriter(str(journal), JournalName.MARKET_DATA, now_ns=1) as writer:
        writer.append(Gap(symbol="IBM", from_ns=open_ns, to_ns=open_ns), ts_ns=1)
        for number in range(300):
            at_ns = open_ns + number * 1_000_000_000
            symbol = ("IBM", "BAC")[number % 2]
            bid_e9 = (100 + number) * 10**9
            common: dict[str, Any] = {"symbol": symbol, "ts_event_ns": at_ns}
            if number % 10 == 9:
                writer.append(Trade(**common, price_e9=bid_e9, size_e9=10**9, exchange=78, tape=65), ts_ns=at_ns)
                sent.append(("t", symbol, bid_e9 / 1e9))
            else:
                sizes: dict[str, Any] = {"bid_size_e9": 10**9, "ask_size_e9": 10**9}
                writer.append(Quote(**common, bid_price_e9=bid_e9, ask_price_e9=bid_e9 + 10**9, **sizes), ts_ns=at_ns)
                sent.append(("q", symbol, bid_e9 / 1e9))
    async with open_venue(session=str(journal), speed=SPEED_MAX) as venue, stream(venue, **KEYS) as socket:
        await receive(socket)
        await receive(socket)
        await socket.send(json.dumps({"action": "subscribe", "quotes": ["*"], "trades": ["*"]}))
        await receive(socket)
        found: list[tuple[str, str, float]] = []
        while len(found) < len(sent):
            messages = await receive(socket)
            found += [(each["T"], each["S"], each["bp" if each["T"] == "q" else "p"]) for each in messages]
        assert found == sent
        counts = {"lines_read": 300, "quotes_sent": 270, "trades_sent": 30}
        assert {name: venue.status()[name] for name in counts} == counts


async def test_malformed_requests_are_refused_and_counted(open_venue: OpenVenue, tmp_path: Path) -> None:
    wrong: list[tuple[str, str, object, int]] = [
        ("POST", "/v2/orders", ["no object"], 400),
        ("POST", "/v2/orders", {**ORDER, "qty": "NaN"}, 422),
        ("POST", "/v2/orders", {**ORDER, "qty": "1e400"}, 422),
        ("POST", "/v2/orders", {**ORDER, "side": "hold"}, 422),
        ("POST", "/v2/orders", {**ORDER, "side": ["buy"]}, 422),
        ("POST", "/v2/orders", {**ORDER, "limit_price": {}}, 422),
        ("POST", "/v2/orders", {**ORDER, "client_order_id": 7}, 422),
        ("GET", "/v2/orders?limit=0", None, 422),
        ("GET", "/v2/orders?after=yesterday", None, 422),
        ("GET", "/v2/stocks/quotes?symbols=IBM&page_token=%21", None, 422),
        ("GET", "/v2/stocks/quotes", None, 400),
        ("GET", "/v2/nothing", None, 404),
        ("GET", "/v2/positions/IBM", None, 404),
    ]
    async with open_venue() as venue:
        for method, target, body, status in wrong:
            assert (await request(venue, method, target, body)).status == status, target
    ledger = Ledger.read(tmp_path / "ledger.jsonl")
    assert [line["status"] for line in ledger.of_kind("answer")] == [status for *_, status in wrong]
    assert [line["path"] for line in ledger.of_kind("request")] == [target.partition("?")[0] for _, target, *_ in wrong]
    assert ledger.orders() == {}


async def test_a_new_key_pair_ends_the_old_one_and_leaves_open_streams(open_venue: OpenVenue) -> None:
    async with open_venue() as venue, stream(venue) as socket:
        await receive(socket)
        await socket.send(json.dumps(AUTH))
        await receive(socket)
        assert (await request(venue, "POST", "/venue/credentials", {"key_id": "PKNEW"})).status == 422
        assert (await request(venue, "GET", "/v2/clock")).status == 200
        pair = {"key_id": "PKNEW", "secret_key": "new-secret"}
        assert (await request(venue, "POST", "/venue/credentials", pair)).status == 200
        assert (await request(venue, "GET", "/v2/clock")).status in {401, 403}
        await socket.send(json.dumps({"action": "subscribe", "quotes": ["*"]}))
        assert (await receive(socket))[0]["T"] == "subscription"
    assert "new-secret" not in (venue.settings.ledger).read_text()


async def test_a_paused_venue_publishes_nothing_more_and_still_takes_orders(open_venue: OpenVenue) -> None:
    async with open_venue(speed=50, quotes_per_s=20.0) as venue, stream(venue) as socket:
        await receive(socket)
        await socket.send(json.dumps(AUTH))
        await receive(socket)
        await socket.send(json.dumps({"action": "subscribe", "quotes": ["*"], "trades": ["*"]}))
        while not venue.status()["quotes_sent"]:
            await receive(socket)
        paused = json.loads((await request(venue, "POST", "/venue/pause")).body)
        started_ns = venue.now_ns()
        assert (await request(venue, "POST", "/v2/orders", ORDER)).status == 200
        while venue.now_ns() < started_ns + 20 * 1_000_000_000:
            await request(venue, "GET", "/v2/clock")
        assert venue.status()["quotes_sent"] == paused["quotes_sent"] > 0
