"""A clean stop of execution-engine: no entry stays, and what entries had filled is protected before it ends."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from execution_desk import E9, Desk, engine_of
from holdfast import clock
from holdfast._native import (
    JournalName,
    JournalWriter,
    OrderEvent,
    OrderEventKind,
    OrderStatus,
    Side,
    TradingStateCode,
)
from holdfast.execution.ending import answered
from holdfast.execution.ledger import Ledger
from holdfast.journals import open_latch
from holdfast.settings import Settings
from patience import PATIENCE_S
from scripted_venue import ScriptedVenue

# As long as risk-manager gathers fills before it places a stop.
SETTLE_S = 0.3


async def partly_filled(desk: Desk, venue: ScriptedVenue) -> str:
    """Ask for ten and get four; returns the entry's id."""
    entry = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(entry))
    await venue.fill(venue.by_client_id(entry)[0], 4, "100")
    await desk.until(desk.fills)
    return entry


async def test_stopping_cancels_the_open_entries(settings: Settings, desk: Desk, scripted_venue: ScriptedVenue) -> None:
    async with engine_of(settings):
        order_id = desk.decide()
        await desk.until(lambda: "accepted" in desk.kinds(order_id))
    assert desk.status(order_id) == "canceled"
    assert scripted_venue.by_client_id(order_id)[0]["status"] == "canceled"


async def test_what_a_canceled_entry_had_filled_is_protected_before_the_service_ends(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    async def protect(entry: str) -> str:
        await desk.until(lambda: desk.status(entry) == "canceled")
        await asyncio.sleep(SETTLE_S)
        return desk.protect(4)

    async with engine_of(settings):
        protecting = asyncio.create_task(protect(await partly_filled(desk, scripted_venue)))
    stop = await protecting
    assert "accepted" in desk.kinds(stop)
    assert [order["status"] for order in scripted_venue.by_client_id(stop)] == ["new"]


async def test_what_was_sent_is_answered_before_the_service_ends(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    async def answer() -> None:
        await asyncio.sleep(SETTLE_S)
        scripted_venue.answers_posts.set()

    intervals = {"in_flight_interval_s": 60.0, "open_orders_interval_s": 60.0}
    seldom = settings.services.execution_engine.model_copy(update=intervals)
    services = settings.services.model_copy(update={"execution_engine": seldom})
    async with engine_of(settings.model_copy(update={"services": services})):
        entry = desk.decide(quantity_e9=4 * E9)
        await desk.until(lambda: "accepted" in desk.kinds(entry))
        await scripted_venue.fill(scripted_venue.by_client_id(entry)[0], 4, "100")
        await desk.until(desk.fills)
        scripted_venue.answers_posts.clear()
        # Nothing but the answer tells of the order.
        scripted_venue.is_mute = True
        sale = desk.decide(side=Side.SELL, quantity_e9=4 * E9, is_reduction=1)
        await desk.until(lambda: scripted_venue.by_client_id(sale))
        answering = asyncio.create_task(answer())
    await answering
    assert desk.kinds(sale) == ["submitting", "accepted"]


async def test_an_answer_that_does_not_come_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.execution.ending.WITHIN_S", 0.05)
    with closing(JournalWriter(str(tmp_path), JournalName.EXECUTIONS, now_ns=1)) as writer:
        ledger = Ledger(writer)
        sent = OrderEvent(client_order_id="hf-1-1", kind=OrderEventKind.SUBMITTING, status=OrderStatus.SUBMITTING)
        assert ledger.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            await answered(ledger)


async def test_no_entry_leaves_while_the_service_ends_whatever_the_trading_state_says(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    async def enter_again(entry: str) -> str:
        await desk.until(lambda: desk.status(entry) == "canceled")
        desk.set_state(TradingStateCode.ACTIVE)
        late = desk.decide()
        await desk.until(lambda: desk.status(late) == "withheld")
        desk.protect(4)
        return late

    async with engine_of(settings):
        entering = asyncio.create_task(enter_again(await partly_filled(desk, scripted_venue)))
    late = await entering
    assert desk.events(late)[-1].rule.label == "state_halted"
    assert not scripted_venue.by_client_id(late)


async def test_nobody_is_waited_for_while_the_kill_latch_keeps_stops_from_being_placed(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the test's own patience: a wait would fail it.
    monkeypatch.setattr("holdfast.execution.ending.WITHIN_S", 1000.0)
    async with engine_of(settings):
        await partly_filled(desk, scripted_venue)
        open_latch(settings).trip("tester", "test", clock.now_ns())
    assert scripted_venue.count("DELETE") == 1


async def test_nobody_is_waited_for_when_risk_manager_is_gone(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.execution.ending.WITHIN_S", 1000.0)
    async with engine_of(settings):
        await partly_filled(desk, scripted_venue)
        desk.are_others_alive = False
    assert scripted_venue.count("DELETE") == 1
