"""The execution-engine against the simulated venue, whose own ledger is the judge."""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from execution_desk import E9, Desk, desk_of, engine_of, settings_for
from fix_venue import RunningVenue, StartVenue
from holdfast import clock
from holdfast._native import IntentAction, OrderClass, OrderType, Side
from holdfast.cli.reconcile import compare
from holdfast.journals import open_latch
from holdfast.settings import Settings


@pytest.fixture
def running(start_venue: StartVenue) -> RunningVenue:
    return start_venue(speed=5, partial_fills=0)


@pytest.fixture
def settings(tmp_path: Path, running: RunningVenue) -> Settings:
    (tmp_path / "cert.pem").write_bytes(running.ca_file.read_bytes())
    plain = settings_for(tmp_path, url=running.url, stream_url=f"{running.stream_url}/stream")
    keys = {"alpaca_api_key": SecretStr(running.key_id), "alpaca_api_secret": SecretStr(running.secret_key)}
    return plain.model_copy(update=keys | {"clock": plain.clock.model_copy(update={"session_time": "venue"})})


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
