"""Each HTTP fault of the simulated venue, seen by the trading client; the ledger says what was really done."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient

from fix_venue import OpenVenue, StartVenue
from holdfast.venues.alpaca.connection import Connection, Origin, Response, Unproven, tls_context
from holdfast.venues.alpaca.orders import VenueOrder
from holdfast.venues.alpaca.trading import Done, Refusal, canceled, submitted
from holdfast.venues.simulated import Ledger, SimulatedVenue
from holdfast.venues.simulated.faults import FaultScript, HttpFault

KEYS = {"APCA-API-KEY-ID": "PKSIMULATED", "APCA-API-SECRET-KEY": "simulated-secret"}
ORDER = {"symbol": "IBM", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "10", "limit_price": "5"}
POST = "POST /v2/orders"
DELETE = "DELETE /v2/orders/*"
TIMEOUT_S = 1.5


class Client:
    """Our own lines to a venue under faults."""

    def __init__(self, venue: SimulatedVenue, connection: Connection) -> None:
        self.venue = venue
        self.connection = connection

    async def send(self, method: str, target: str, body: object = None) -> Any:  # noqa: ANN401 - Outcome
        content = json.dumps(body).encode() if body is not None else b""
        request = self.connection.origin.encode(method, target, content)
        return await self.connection.request(request, timeout_s=TIMEOUT_S)

    async def post(self, client_order_id: str, **changes: str) -> Any:  # noqa: ANN401 - Submitted
        outcome = await self.send("POST", "/v2/orders", {**ORDER, "client_order_id": client_order_id, **changes})
        return submitted(outcome, now_s=0.0)

    async def cancel(self, venue_order_id: str) -> Any:  # noqa: ANN401 - Canceled
        return canceled(await self.send("DELETE", f"/v2/orders/{venue_order_id}"), now_s=0.0)

    async def status_of(self, client_order_id: str) -> int:
        status: int = (
            await self.send("GET", f"/v2/orders:by_client_order_id?client_order_id={client_order_id}")
        ).status
        return status

    def made(self) -> dict[str, dict[str, Any]]:
        return Ledger.read(self.venue.settings.ledger).orders()


@asynccontextmanager
async def client_under(open_venue: OpenVenue, *faults: HttpFault) -> AsyncIterator[Client]:
    async with open_venue() as venue:
        venue.faults.load(FaultScript(http=faults))
        origin = Origin.parse(venue.url, headers=KEYS)
        async with Connection(origin, tls_context(venue.ca_file), lines=4) as connection:
            yield Client(venue, connection)


@pytest.mark.parametrize("effect", ["accept", "drop"])
@pytest.mark.parametrize("answer", ["timeout", "reset", "garbage", "slow", "504", "422", "200"])
async def test_every_answer_comes_whether_or_not_the_order_was_made(
    open_venue: OpenVenue, effect: Literal["accept", "drop"], answer: str
) -> None:
    chosen: dict[str, Any] = {"answer": "status", "status": int(answer)} if answer.isdecimal() else {"answer": answer}
    async with client_under(open_venue, HttpFault(route=POST, effect=effect, count=1, **chosen)) as client:
        outcome = await client.post("hf-1-1")
        assert ("hf-1-1" in client.made()) == (effect == "accept")
        assert await client.status_of("hf-1-1") == (200 if effect == "accept" else 404)
        expected = {"422": Refusal, "200": VenueOrder}.get(answer, Unproven)
        assert isinstance(outcome, expected), outcome
        assert isinstance(await client.post("hf-1-2"), VenueOrder), "the next one is answered"


async def test_an_order_that_exists_is_answered_as_a_duplicate(open_venue: OpenVenue) -> None:
    async with client_under(open_venue, HttpFault(route=POST, answer="duplicate", count=1)) as client:
        outcome = await client.post("hf-1-1")
        assert outcome.is_duplicate
        assert await client.status_of("hf-1-1") == 200


async def test_a_new_order_stays_invisible_to_queries_for_a_while(open_venue: OpenVenue) -> None:
    fault = HttpFault(route=POST, visible_after_s=(3600, 3600), count=1)
    async with client_under(open_venue, fault) as client:
        order = await client.post("hf-1-1")
        assert await client.status_of("hf-1-1") == 404
        assert (await client.send("GET", f"/v2/orders/{order.venue_order_id}")).status == 404
        assert json.loads((await client.send("GET", "/v2/orders")).body) == []
        assert "hf-1-1" in client.made()
        assert (await client.post("hf-1-1")).is_duplicate, "it exists all the same"
        client.venue.faults.heal()
        assert await client.status_of("hf-1-1") == 200


async def test_a_cancel_is_confirmed_that_did_not_happen(open_venue: OpenVenue) -> None:
    fault = HttpFault(route=DELETE, effect="drop", answer="status", status=204, count=1)
    async with client_under(open_venue, fault) as client:
        order = await client.post("hf-1-1")
        assert isinstance(await client.cancel(order.venue_order_id), Done)
        assert client.made()["hf-1-1"]["status"] == "new"
        assert isinstance(await client.cancel(order.venue_order_id), Done)
        assert client.made()["hf-1-1"]["status"] == "canceled"


async def test_a_burst_of_429_holds_cancels_too_and_says_when_it_ends(open_venue: OpenVenue) -> None:
    burst = HttpFault(route="* *", effect="drop", answer="status", status=429, skip=1, count=3)
    async with client_under(open_venue, burst) as client:
        order = await client.post("hf-1-1")
        for _ in range(3):
            refused = await client.cancel(order.venue_order_id)
            assert refused.is_rate
            assert refused.retry_after_s > 0
        assert isinstance(await client.cancel(order.venue_order_id), Done)


async def test_the_key_is_refused_in_mid_session(open_venue: OpenVenue) -> None:
    fault = HttpFault(route="* *", effect="drop", answer="status", status=401, skip=1, count=1)
    async with client_under(open_venue, fault) as client:
        assert isinstance(await client.post("hf-1-1"), VenueOrder)
        assert (await client.post("hf-1-2")).status == 401
        assert isinstance(await client.post("hf-1-3"), VenueOrder)


@pytest.mark.parametrize("route", ["PATCH /v2/orders/*", DELETE])
async def test_a_part_fills_just_before_a_change(open_venue: OpenVenue, route: str) -> None:
    async with client_under(open_venue, HttpFault(route=route, effect="fill_first", count=1)) as client:
        order = await client.post("hf-1-1")
        if route == DELETE:
            assert isinstance(await client.cancel(order.venue_order_id), Done)
        else:
            changed = await client.send("PATCH", f"/v2/orders/{order.venue_order_id}", {"qty": "8"})
            assert changed.status == 200
        events = [line["event"] for line in Ledger.read(client.venue.settings.ledger).of_kind("order")]
        last = "canceled" if route == DELETE else "replaced"
        assert events.index("partial_fill") < events.index(last)
        filled = sum(fill.quantity_e9 for fill in Ledger.read(client.venue.settings.ledger).fills().values())
        assert 0 < filled <= 5_000_000_000


async def test_the_reply_comes_after_the_event(open_venue: OpenVenue) -> None:
    async with client_under(open_venue, HttpFault(route=POST, answer="late", delay_s=(0.3, 0.3))) as client:
        outcome = await client.send("POST", "/v2/orders", {**ORDER, "client_order_id": "hf-1-1"})
        assert isinstance(outcome, Response)
        assert outcome.status == 200
        lines = Ledger.read(client.venue.settings.ledger).lines
        assert next(line["kind"] for line in lines if line["kind"] in {"order", "fault"}) == "fault"


def test_alpacas_own_client_sees_an_error_for_an_order_that_exists(
    start_venue: StartVenue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "drill.toml"
    script.write_text('[[http]]\nroute = "POST /v2/orders"\nanswer = "status"\nstatus = 403\ncount = 1\n')
    venue = start_venue(faults=script)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(venue.ca_file))
    trading = TradingClient(venue.key_id, venue.secret_key, url_override=venue.url, raw_data=True)
    with pytest.raises(APIError):
        trading.post("/orders", {**ORDER, "client_order_id": "mine"})
    assert trading.get_order_by_client_id("mine")["status"] == "new"  # type: ignore[index]
    assert [line["fault"] for line in venue.ledger().of_kind("fault")] == ["http.accept.403"]
