"""The execution-engine against the simulated venue, whose own ledger is the judge."""

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from execution_desk import E9, Desk, desk_of, engine_of, settings_for
from fix_venue import RunningVenue, StartVenue
from holdfast import clock
from holdfast._native import IntentAction, OrderClass, OrderType, Side, TimeInForce
from holdfast.cli.reconcile import compare
from holdfast.journals import open_latch
from holdfast.settings import Settings
from holdfast.venues.alpaca.connection import Connection, Origin, Response, tls_context
from patience import PATIENCE_S

FILL_FOUND_WITHIN_NS = 60_000_000_000
STRANGE_ORDERS = 40


@pytest.fixture
def running(start_venue: StartVenue) -> RunningVenue:
    return start_venue(speed=5, partial_fills=0)


def settings_of(directory: Path, venue: RunningVenue) -> Settings:
    (directory / "cert.pem").write_bytes(venue.ca_file.read_bytes())
    plain = settings_for(directory, url=venue.url, stream_url=f"{venue.stream_url}/stream")
    keys = {"alpaca_api_key": SecretStr(venue.key_id), "alpaca_api_secret": SecretStr(venue.secret_key)}
    return plain.model_copy(update=keys | {"clock": plain.clock.model_copy(update={"session_time": "venue"})})


@pytest.fixture
def settings(tmp_path: Path, running: RunningVenue) -> Settings:
    return settings_of(tmp_path, running)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with desk_of(settings) as desk:
        yield desk


def requests(venue: RunningVenue, method: str) -> list[dict[str, object]]:
    return [line for line in venue.ledger().lines if line["kind"] == "request" and line["method"] == method]


async def test_a_trading_hour_ends_with_journal_and_ledger_equal(
    settings: Settings, desk: Desk, running: RunningVenue
) -> None:
    async with engine_of(settings):
        bought = desk.decide(order_type=OrderType.MARKET, limit_price_e9=0)
        await desk.until(lambda: desk.status(bought) == "filled" and desk.fills())
        price_e9 = desk.fills()[0].price_e9
        resting = desk.decide(limit_price_e9=price_e9 // 2)
        await desk.until(lambda: "accepted" in desk.kinds(resting))
        moved = desk.decide(
            action=IntentAction.REPLACE, target_client_order_id=resting, limit_price_e9=price_e9 // 2 + E9
        )
        await desk.until(lambda: desk.status(resting) == "replaced" and "accepted" in desk.kinds(moved))
        desk.cancel(moved)
        await desk.until(lambda: desk.status(moved) == "canceled")
        bracket = desk.decide(
            order_class=OrderClass.BRACKET,
            limit_price_e9=price_e9 * 101 // 100,
            take_profit_price_e9=price_e9 * 2,
            stop_loss_price_e9=price_e9 // 2,
        )
        await desk.until(lambda: desk.status(bracket) == "filled")
        too_large = desk.decide(limit_price_e9=price_e9, quantity_e9=10**6 * E9)
        await desk.until(lambda: desk.status(too_large) == "rejected")
        sold = desk.decide(side=Side.SELL, order_type=OrderType.MARKET, limit_price_e9=0, is_reduction=1)
        await desk.until(lambda: desk.status(sold) == "filled" and len(desk.fills()) == 3)
        assert await compare(settings) == []
    decisions = [bought, resting, bracket, too_large, sold]
    assert [event.status.label for event in desk.events(too_large)][-1] == "rejected"
    assert len(requests(running, "POST")) == len(decisions)
    assert len(requests(running, "PATCH")) == 1
    assert await compare(settings) == []


async def test_the_kill_latch_ends_every_entry_and_lets_no_other_leave(
    settings: Settings, desk: Desk, running: RunningVenue
) -> None:
    async with engine_of(settings):
        entries = [desk.decide(limit_price_e9=E9 + number * E9) for number in range(5)]
        await desk.until(lambda: all("accepted" in desk.kinds(entry) for entry in entries))
        open_latch(settings).trip("tester", "test", clock.now_ns())
        late = desk.decide()
        await desk.until(lambda: all(desk.status(entry) == "canceled" for entry in entries))
        await desk.until(lambda: desk.status(late) == "withheld")
    assert len(requests(running, "POST")) == len(entries)
    assert len(requests(running, "DELETE")) == len(entries)


async def test_a_restart_in_mid_flight_repeats_nothing(settings: Settings, desk: Desk, running: RunningVenue) -> None:
    ids: list[str] = []
    for _ in range(3):
        async with engine_of(settings, is_killed=True):
            ids += [desk.decide(order_type=OrderType.MARKET, limit_price_e9=0, quantity_e9=E9) for _ in range(3)]
            await desk.until(partial(desk.kinds, ids[-1]))
    async with engine_of(settings):
        await desk.until(lambda: all(desk.status(order_id) in {"filled", "withheld"} for order_id in ids))
        await desk.until(lambda: len(desk.fills()) == sum(desk.status(order_id) == "filled" for order_id in ids))
        assert await compare(settings) == []
    bodies = Counter(str(line["body"]) for line in requests(running, "POST"))
    assert max(bodies.values()) == 1
    assert len({fill.execution_id for fill in desk.fills()}) == len(desk.fills())


@pytest.fixture
def closing(start_venue: StartVenue) -> RunningVenue:
    """A venue whose session ends in some two seconds."""
    return start_venue(speed=20, partial_fills=0, start="2025-11-24T15:59:20-05:00")


async def test_what_would_wait_for_the_next_session_is_canceled(tmp_path: Path, closing: RunningVenue) -> None:
    settings = settings_of(tmp_path, closing)
    async with desk_of(settings) as desk:
        async with engine_of(settings):
            bought = desk.decide(order_type=OrderType.MARKET, limit_price_e9=0)
            await desk.until(lambda: desk.status(bought) == "filled" and desk.fills())
            await desk.until(lambda: closing.ledger().session_end() is not None)
            reduction: dict[str, Any] = {"side": Side.SELL, "is_reduction": 1, "quantity_e9": 5 * E9}
            first = desk.decide(**reduction, limit_price_e9=desk.fills()[0].price_e9)
            await desk.until(lambda: desk.status(first) == "canceled")
            meant = desk.decide(**reduction, limit_price_e9=E9 * 10_000, time_in_force=TimeInForce.GTC)
            last = desk.decide(**reduction, limit_price_e9=desk.fills()[0].price_e9)
            await desk.until(lambda: desk.status(last) == "accepted")
        orders = closing.ledger().orders()
    assert [orders[order_id]["status"] for order_id in (first, last, meant)] == ["canceled", "canceled", "accepted"]


async def test_exactly_one_lost_fill_is_found_though_our_clock_is_ahead_of_the_venues(
    tmp_path: Path, start_venue: StartVenue
) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[order_stream]]\neffect = "drop"\nevents = ["fill"]\ncount = 1\n')
    venue = start_venue(partial_fills=0, faults=script, start="2025-11-24T11:00:00-05:00")
    settings = settings_of(tmp_path, venue)
    async with desk_of(settings) as desk, engine_of(settings):
        resting = desk.decide(limit_price_e9=5 * E9)
        await desk.until(lambda: "accepted" in desk.kinds(resting))
        desk.cancel(resting)
        await desk.until(lambda: desk.status(resting) == "canceled")
        compared = desk.comparisons()
        await desk.until(lambda: desk.comparisons() > compared)
        bought = desk.decide(order_type=OrderType.MARKET, limit_price_e9=0)
        await desk.until(lambda: len(desk.fills()) == 1)
        await desk.until(lambda: desk.status(bought) == "filled")
        assert [fill.is_recovered for fill in desk.fills()] == [1]
        assert await compare(settings) == []
        (recovered,) = desk.fills()
    ledger = venue.ledger()
    assert [line["fault"] for line in ledger.of_kind("fault")] == ["order_stream.drop"]
    late_ns = recovered.ts_ns - ledger.fills()[recovered.execution_id].host_ns
    assert 0 < late_ns < FILL_FOUND_WITHIN_NS
    sys.stdout.write(f"one fill dropped while the stream was healthy: in the journal {late_ns / 1e6:.0f} ms after it\n")


async def test_an_order_that_only_the_answer_knew_is_proven_absent(
    tmp_path: Path, start_venue: StartVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.execution.proof.ABSENT_S_MIN", 1.0)
    script = tmp_path / "faults.toml"
    script.write_text(
        '[[http]]\nroute = "POST /v2/orders"\neffect = "drop"\nanswer = "status"\nstatus = 200\ncount = 1\n'
    )
    venue = start_venue(partial_fills=0, faults=script)
    settings = settings_of(tmp_path, venue)
    async with desk_of(settings) as desk, engine_of(settings):
        never_made = desk.decide(limit_price_e9=5 * E9)
        await desk.until(lambda: desk.status(never_made) == "rejected")
        assert "accepted" in desk.kinds(never_made)
        assert desk.events(never_made)[-1].detail.startswith("the venue does not know it")
        made = desk.decide(limit_price_e9=6 * E9)
        await desk.until(lambda: "accepted" in desk.kinds(made))
        assert await compare(settings) == []
    assert list(venue.ledger().orders()) == [made]


async def test_a_second_reduction_waits_for_a_fill_that_is_late(tmp_path: Path, start_venue: StartVenue) -> None:
    script = tmp_path / "faults.toml"
    script.write_text(
        '[[order_stream]]\neffect = "delay"\nevents = ["fill"]\nskip = 1\ncount = 1\ndelay_s = [30, 30]\n'
    )
    venue = start_venue(partial_fills=0, faults=script)
    settings = settings_of(tmp_path, venue)
    async with desk_of(settings) as desk, engine_of(settings):
        bought = desk.decide(order_type=OrderType.MARKET, limit_price_e9=0, quantity_e9=5 * E9)
        await desk.until(lambda: desk.status(bought) == "filled" and desk.fills())
        reduction: dict[str, Any] = {"side": Side.SELL, "is_reduction": 1, "order_type": OrderType.MARKET}
        sold = desk.decide(**reduction, limit_price_e9=0, quantity_e9=5 * E9)
        await desk.until(lambda: "accepted" in desk.kinds(sold))
        desk.cancel(sold)
        await desk.until(lambda: desk.status(sold) == "filled")
        assert len(desk.fills()) == 1, "its execution is late"
        again = desk.decide(**reduction, limit_price_e9=0, quantity_e9=5 * E9)
        await desk.until(lambda: desk.status(again) in {"withheld", "filled", "rejected"})
        assert desk.status(again) == "withheld"
        await desk.until(lambda: len(desk.fills()) == 2)
    assert venue.ledger().positions_e9() == {}
    assert again not in venue.ledger().orders()


async def test_a_start_asks_for_many_strange_orders_at_once(
    settings: Settings, desk: Desk, running: RunningVenue
) -> None:
    async with engine_of(settings):
        first = desk.decide(order_type=OrderType.MARKET, limit_price_e9=0)
        await desk.until(lambda: desk.status(first) == "filled" and desk.fills())
    origin = Origin.parse(
        running.url, headers={"APCA-API-KEY-ID": running.key_id, "APCA-API-SECRET-KEY": running.secret_key}
    )
    order = {"symbol": "IBM", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    async with Connection(origin, tls_context(running.ca_file), lines=1) as connection:
        for number in range(STRANGE_ORDERS):
            body = json.dumps(order | {"client_order_id": f"strange {number}"}).encode()
            answer = await connection.request(origin.encode("POST", "/v2/orders", body), timeout_s=PATIENCE_S)
            assert isinstance(answer, Response)
            assert answer.status == 200
    await desk.until(lambda: len(running.ledger().fills()) == STRANGE_ORDERS + 1)
    questions_before = len(requests(running, "GET"))
    async with engine_of(settings):
        await desk.until(lambda: len(desk.fills()) == STRANGE_ORDERS + 1)
    singly = [
        line for line in requests(running, "GET")[questions_before:] if str(line["path"]).startswith("/v2/orders/")
    ]
    assert singly == []
    assert await compare(settings) == []
