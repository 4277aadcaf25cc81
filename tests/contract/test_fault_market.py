"""Each fault of the simulated venue's market data, seen on the wire and by our decoder."""

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from fix_venue import OpenVenue
from holdfast._native import FrameDecoder, Quote
from holdfast.venues.simulated import SimulatedVenue
from holdfast.venues.simulated.faults import FaultScript, MarketFault, RecordFault, StreamFault
from holdfast.venues.simulated.order_requests import read_intent
from patience import PATIENCE_S

KEYS = {"APCA-API-KEY-ID": "PKSIMULATED", "APCA-API-SECRET-KEY": "simulated-secret"}
CHANNELS = {"quotes": ["*"], "trades": ["*"], "statuses": ["*"], "lulds": ["*"]}


@asynccontextmanager
async def reader(
    open_venue: OpenVenue, *faults: RecordFault | MarketFault | StreamFault, encoding: str = "json"
) -> AsyncIterator[tuple[SimulatedVenue, ClientConnection]]:
    """Yield a subscribed client; the faults begin when it is."""
    market = tuple(fault for fault in faults if not isinstance(fault, StreamFault))
    streams = tuple(fault for fault in faults if isinstance(fault, StreamFault))
    async with open_venue(quotes_per_s=50.0, symbols=("AAPL", "IBM")) as venue:
        context = ssl.create_default_context(cafile=venue.ca_file)
        headers = {**KEYS, "Content-Type": f"application/{encoding}"}
        url = venue.url.replace("https://", "wss://") + "/v2/iex"
        async with connect(url, ssl=context, additional_headers=headers, max_size=None) as socket:
            encode: Callable[[object], bytes] = msgspec.msgpack.encode if encoding == "msgpack" else msgspec.json.encode
            await socket.recv()
            await socket.recv()
            await socket.send(encode({"action": "subscribe", **CHANNELS}))
            await socket.recv()
            venue.faults.load(FaultScript(market=market, data_stream=streams))
            yield venue, socket


async def messages(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return what came up to and with the first wanted message."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for message in json.loads(await socket.recv()):
                found.append(message)
                if wanted(message):
                    return found


def is_ibm_quote(message: dict[str, Any]) -> bool:
    return bool(message["T"] == "q" and message["S"] == "IBM")


@pytest.mark.parametrize(
    ("effect", "is_so"),
    [
        ("zero", lambda quote: quote["bp"] == quote["ap"] == 0),
        ("negative", lambda quote: quote["bp"] < 0 and quote["ap"] < 0),
        ("crossed", lambda quote: quote["bp"] > quote["ap"] > 0),
        ("nan", lambda quote: math.isnan(quote["bp"])),
        ("infinite", lambda quote: math.isinf(quote["ap"])),
        ("huge", lambda quote: quote["bp"] == 1e308),
        ("malformed", lambda quote: quote["bp"] == "no number"),
        ("jump", lambda quote: 260 < quote["bp"] < 300),
    ],
)
async def test_a_quote_says_what_no_quote_should(open_venue: OpenVenue, effect: Any, is_so: Any) -> None:  # noqa: ANN401
    fault = RecordFault(effect=effect, symbols=("IBM",), count=1)
    async with reader(open_venue, fault) as (venue, socket):
        found = await messages(socket, lambda message: is_ibm_quote(message) and is_so(message))
        assert all(not is_so(message) for message in found[:-1] if message["T"] == "q")
        healthy = await messages(socket, is_ibm_quote)
        assert 200 < healthy[-1]["bp"] <= healthy[-1]["ap"], "only one was wrong"
        assert venue.faults.status()["injected"] == {f"market.{effect}": 1}


@pytest.mark.parametrize("effect", ["nan", "infinite", "huge", "malformed"])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_our_decoder_makes_no_record_of_a_number_that_is_none(
    open_venue: OpenVenue,
    effect: Any,  # noqa: ANN401 - literal
    encoding: str,
) -> None:
    async with reader(open_venue, RecordFault(effect=effect, channels=("quotes",)), encoding=encoding) as (
        venue,
        socket,
    ):
        decoder = FrameDecoder(encoding)
        found = []
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(30):
                data = await socket.recv()
                frame = data if isinstance(data, bytes) else data.encode()
                found += [record for record in decoder.decode(frame) if isinstance(record, Quote)]
        assert sum(venue.faults.status()["injected"].values()) > 10  # type: ignore[attr-defined]
        # The few before the script was loaded are whole.
        assert len(found) < 10
        assert all(0 < quote.bid_price_e9 < 10**15 for quote in found)


@pytest.mark.parametrize(("effect", "sign"), [("stale", -1), ("future", 1)])
async def test_a_quote_has_another_time(open_venue: OpenVenue, effect: Any, sign: int) -> None:  # noqa: ANN401 - literal
    async with reader(open_venue, RecordFault(effect=effect, shift_s=3600, skip=5, count=1)) as (_, socket):
        found = [message for message in await messages(socket, _is_moved(sign)) if message["T"] == "q"]
        assert found


def _is_moved(sign: int) -> Callable[[dict[str, Any]], bool]:
    latest: list[str] = []

    def is_moved(message: dict[str, Any]) -> bool:
        latest.append(message["t"])
        hours = int(message["t"][11:13]) - int(latest[0][11:13])
        return len(latest) > 1 and hours == sign

    return is_moved


async def test_a_halted_symbol_is_silent_and_does_not_trade(open_venue: OpenVenue) -> None:
    async with reader(open_venue, MarketFault(effect="halt", symbols=("IBM",), for_s=0.5)) as (venue, socket):
        found = await messages(socket, lambda message: message["T"] == "s")
        assert (found[-1]["S"], found[-1]["sc"]) == ("IBM", "H")
        order = read_intent({"side": "buy", "type": "market", "time_in_force": "day", "qty": "1"}, "IBM")
        assert venue.engine.submit(venue.now_ns(), order, "in the halt")[0] == 200
        assert venue.engine.position("IBM") is None
        halted = await messages(socket, lambda message: message["T"] == "s")
        assert not any(is_ibm_quote(message) for message in halted)
        assert any(message["S"] == "AAPL" for message in halted)
        assert halted[-1]["sc"] == "T"
        assert venue.engine.position("IBM") is not None
        await messages(socket, is_ibm_quote)


async def test_bands_lie_around_the_price(open_venue: OpenVenue) -> None:
    fault = MarketFault(effect="luld", symbols=("IBM",), from_s=0.2, band_percent=5)
    async with reader(open_venue, fault) as (_, socket):
        found = await messages(socket, lambda message: message["T"] == "l")
        band, quote = found[-1], next(message for message in reversed(found) if is_ibm_quote(message))
        assert band["d"] < quote["bp"] <= quote["ap"] < band["u"]
        assert band["u"] - band["d"] == pytest.approx(0.1 * quote["bp"], rel=0.05)


async def test_a_split_halves_the_price_for_good_and_for_the_engine(open_venue: OpenVenue) -> None:
    async with reader(open_venue, MarketFault(effect="split", symbols=("IBM",), split_ratio=0.5)) as (venue, socket):
        found = await messages(socket, lambda message: is_ibm_quote(message) and message["ap"] < 150)
        assert 100 < found[-1]["bp"] <= found[-1]["ap"]
        quote = venue.latest_quote("IBM")
        assert quote is not None
        assert quote.ask_price_e9 < 150 * 10**9


async def test_a_burst_doubles_the_messages(open_venue: OpenVenue) -> None:
    async with reader(open_venue, MarketFault(effect="burst")) as (_, socket):
        await messages(socket, is_ibm_quote)
        found = [message for message in await messages(socket, _after(40)) if message["T"] == "q"]
        texts = [json.dumps(message) for message in found]
        assert len(set(texts)) <= len(texts) // 2 + 1


def _after(count: int) -> Callable[[dict[str, Any]], bool]:
    seen: list[None] = []

    def is_enough(_: dict[str, Any]) -> bool:
        seen.append(None)
        return len(seen) >= count

    return is_enough


async def test_a_gap_is_silent_on_the_stream_and_whole_in_history(open_venue: OpenVenue) -> None:
    async with reader(open_venue, MarketFault(effect="gap", from_s=0.1, for_s=0.5)) as (venue, socket):
        await messages(socket, is_ibm_quote)
        async with asyncio.timeout(PATIENCE_S):
            while not venue.faults.status()["injected"]:
                await messages(socket, is_ibm_quote)
        before = venue.latest_quote("IBM")
        await messages(socket, lambda message: is_ibm_quote(message) and message["t"] > "2")
        after = venue.latest_quote("IBM")
        assert before is not None
        assert after is not None
        assert after.ts_event_ns > before.ts_event_ns


async def test_the_second_client_of_a_key_and_a_ghost_are_told_406(open_venue: OpenVenue) -> None:
    async with reader(open_venue, StreamFault(effect="kick", from_s=0.05), StreamFault(effect="ghost")) as (
        venue,
        socket,
    ):
        found = await messages(socket, lambda message: message["T"] == "error")
        assert found[-1]["code"] == 406
        await socket.wait_closed()
        context = ssl.create_default_context(cafile=venue.ca_file)
        url = venue.url.replace("https://", "wss://") + "/v2/iex"
        async with connect(url, ssl=context, additional_headers=KEYS) as other:
            await other.recv()
            assert json.loads(await other.recv())[0]["code"] == 406
