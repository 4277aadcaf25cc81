"""Each fault of the simulated venue's order stream, seen by our own order stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from fix_venue import OpenVenue
from holdfast.venues.alpaca import order_stream
from holdfast.venues.alpaca.connection import Connection, Origin, Response, tls_context
from holdfast.venues.alpaca.order_messages import OrderUpdate
from holdfast.venues.alpaca.order_stream import OrderStream
from holdfast.venues.simulated import Ledger, SimulatedVenue
from holdfast.venues.simulated.faults import FaultScript, MessageFault, StreamFault
from patience import PATIENCE_S

KEYS = {"APCA-API-KEY-ID": "PKSIMULATED", "APCA-API-SECRET-KEY": "simulated-secret"}
ORDER = {"symbol": "IBM", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "10", "limit_price": "5"}
MARKET = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "1"}


class Desk:
    """A stream that listens and a line that sends orders."""

    def __init__(self, venue: SimulatedVenue, connection: Connection) -> None:
        self.venue = venue
        self.connection = connection
        self.sessions: asyncio.Queue[None] = asyncio.Queue()
        self.updates: list[OrderUpdate] = []
        self._changed = asyncio.Event()

    def on_update(self, update: OrderUpdate) -> None:
        self.updates.append(update)
        self._changed.set()

    def on_listening(self) -> None:
        self.sessions.put_nowait(None)

    @property
    def events(self) -> list[str]:
        return [update.event for update in self.updates]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return once it is so; asked after each update, and now and then."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.05)

    async def heard(self, *events: str) -> None:
        """Return once these events were heard, in any order."""
        await self.until(lambda: set(events) <= set(self.events))

    async def send(self, method: str, target: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        content = json.dumps(body).encode() if body is not None else b""
        request = self.connection.origin.encode(method, target, content)
        outcome = await self.connection.request(request, timeout_s=5)
        assert isinstance(outcome, Response)
        return json.loads(outcome.body) if outcome.body else None

    def injected(self) -> list[str]:
        return [line["fault"] for line in Ledger.read(self.venue.settings.ledger).of_kind("fault")]


@asynccontextmanager
async def desk_at(open_venue: OpenVenue, *faults: MessageFault | StreamFault) -> AsyncIterator[Desk]:
    async with open_venue(partial_fill_ppm=0) as venue:
        origin = Origin.parse(venue.url, headers=KEYS)
        context = tls_context(venue.ca_file)
        url = venue.url.replace("https://", "wss://") + "/stream"
        stream = OrderStream(url, key="PKSIMULATED", secret="simulated-secret", context=context)
        async with Connection(origin, context, lines=2) as connection:
            desk = Desk(venue, connection)
            running = asyncio.create_task(stream.run(desk))
            await asyncio.wait_for(desk.sessions.get(), PATIENCE_S)
            venue.faults.load(FaultScript(order_stream=faults))
            try:
                yield desk
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running


async def test_exactly_one_fill_is_lost_while_the_stream_is_healthy(open_venue: OpenVenue) -> None:
    fault = MessageFault(effect="drop", events=("fill",), count=1)
    async with desk_at(open_venue, fault) as desk:
        for _ in range(3):
            await desk.send("POST", "/v2/orders", MARKET)
        await desk.until(lambda: desk.events.count("fill") >= 2)
        ledger = Ledger.read(desk.venue.settings.ledger)
        assert len(ledger.fills()) == 3
        assert sorted(ledger.fills_sent().values()) == [0, 1, 1]
        assert desk.injected() == ["order_stream.drop"]


async def test_a_message_comes_twice(open_venue: OpenVenue) -> None:
    fault = MessageFault(effect="duplicate", events=("fill",), delay_s=(0.05, 0.05))
    async with desk_at(open_venue, fault) as desk:
        await desk.send("POST", "/v2/orders", MARKET)
        await desk.until(lambda: desk.events.count("fill") >= 2)
        first, second = (update.fill for update in desk.updates if update.event == "fill")
        assert first == second


async def test_messages_come_permuted_and_all_of_them(open_venue: OpenVenue) -> None:
    orders: list[list[str]] = []
    for faults in ((), (MessageFault(effect="permute", batch=6, delay_s=(5, 5)),)):
        async with desk_at(open_venue, *faults) as desk:
            for number in range(6):
                await desk.send("POST", "/v2/orders", {**ORDER, "client_order_id": f"{number}"})
            desk.venue.faults.heal()
            await desk.until(lambda: len({update.order.client_order_id for update in desk.updates}) == 6)
            orders.append([update.order.client_order_id + update.event for update in desk.updates])
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


async def test_a_delayed_message_comes_after_its_followers(open_venue: OpenVenue) -> None:
    fault = MessageFault(effect="delay", events=("new",), count=1, delay_s=(0.3, 0.3))
    async with desk_at(open_venue, fault) as desk:
        order = await desk.send("POST", "/v2/orders", ORDER)
        await desk.send("DELETE", f"/v2/orders/{order['id']}")
        await desk.heard("new", "canceled")
        assert desk.events.index("canceled") < desk.events.index("new")


async def test_a_fill_comes_after_the_cancel_of_its_order(open_venue: OpenVenue) -> None:
    fault = MessageFault(effect="fill_after_cancel", delay_s=(30, 30))
    async with desk_at(open_venue, fault) as desk:
        order = await desk.send("POST", "/v2/orders", ORDER)
        desk.venue.fills.fill_part(order["id"])
        await desk.send("DELETE", f"/v2/orders/{order['id']}")
        await desk.heard("partial_fill", "canceled")
        assert desk.events.index("canceled") < desk.events.index("partial_fill")


async def test_text_frames_are_understood_and_garbage_is_dropped(open_venue: OpenVenue) -> None:
    faults = (
        MessageFault(effect="other_frame", count=1),
        MessageFault(effect="garbage", count=1, events=("canceled",)),
    )
    async with desk_at(open_venue, *faults) as desk:
        order = await desk.send("POST", "/v2/orders", ORDER)
        await desk.heard("new")
        await desk.send("DELETE", f"/v2/orders/{order['id']}")
        await desk.send("POST", "/v2/orders", {**ORDER, "client_order_id": "next"})
        await desk.until(lambda: desk.updates[-1].order.client_order_id == "next")
        assert "canceled" not in desk.events
        assert desk.injected() == ["order_stream.other_frame", "order_stream.garbage"]


async def test_a_mute_stream_answers_pings_and_tells_nothing(
    open_venue: OpenVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_stream, "SILENCE_S_MAX", 0.5)
    monkeypatch.setattr(order_stream, "PING_INTERVAL_S", 0.1)
    async with desk_at(open_venue, StreamFault(effect="mute", for_s=1.2)) as desk:
        order = await desk.send("POST", "/v2/orders", ORDER)
        await asyncio.sleep(1.3)
        assert desk.events == []
        assert desk.sessions.empty(), "the silence of the channel is not the silence of the connection"
        await desk.send("DELETE", f"/v2/orders/{order['id']}")
        await desk.heard("canceled")


async def test_a_half_open_connection_is_noticed_and_left(
    open_venue: OpenVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_stream, "SILENCE_S_MAX", 0.5)
    monkeypatch.setattr(order_stream, "PING_INTERVAL_S", 0.1)
    async with desk_at(open_venue, StreamFault(effect="half_open", for_s=0.2)) as desk:
        await asyncio.wait_for(desk.sessions.get(), PATIENCE_S)
        await desk.send("POST", "/v2/orders", ORDER)
        await desk.heard("new")


@pytest.mark.parametrize("effect", ["kick", "cut"])
async def test_an_ended_connection_is_opened_again(open_venue: OpenVenue, effect: Any) -> None:  # noqa: ANN401 - literal
    async with desk_at(open_venue, StreamFault(effect=effect, from_s=0.05)) as desk:
        await asyncio.wait_for(desk.sessions.get(), PATIENCE_S)
        await desk.send("POST", "/v2/orders", ORDER)
        await desk.heard("new")
        assert desk.injected() == [f"order_stream.{effect}"]


async def test_a_ghost_holds_the_place_until_it_is_gone(open_venue: OpenVenue) -> None:
    faults = (StreamFault(effect="ghost", for_s=60), StreamFault(effect="cut", from_s=0.05))
    async with desk_at(open_venue, *faults) as desk:
        ledger = desk.venue.settings.ledger
        await desk.until(lambda: sum(1 for _ in Ledger.read(ledger).of_kind("stream_opened")) >= 3)
        assert desk.sessions.empty()
        desk.venue.faults.heal()
        await asyncio.wait_for(desk.sessions.get(), PATIENCE_S)
