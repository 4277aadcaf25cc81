"""After lost fills, refusals and replacements: no position may turn, no exit be held for long, no cancel be lost."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from execution_desk import E9, Desk, engine_of
from holdfast._native import IntentAction, Side
from holdfast.execution import refused as refused_orders
from holdfast.settings import Settings
from scripted_venue import ScriptedVenue


@pytest.fixture
async def desk(desk: Desk, settings: Settings, scripted_venue: ScriptedVenue) -> AsyncIterator[Desk]:
    """Hold ten."""
    async with engine_of(settings):
        bought = desk.decide()
        await desk.until(lambda: "accepted" in desk.kinds(bought))
        await scripted_venue.fill(scripted_venue.by_client_id(bought)[0], 10, "100")
        await desk.until(lambda: desk.status(bought) == "filled")
        yield desk


@pytest.fixture
def made_though_refused(desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the venue make the next order, refuse it, and tell of it only when it is asked."""
    del desk  # It buys first.
    monkeypatch.setattr(refused_orders, "VERIFY_AFTER_S", 0.5)
    scripted_venue.is_mute = True
    scripted_venue.faults.append("422")


def sell(desk: Desk, quantity: int, **more: Any) -> str:  # noqa: ANN401 - any field
    return desk.decide(side=Side.SELL, is_reduction=1, quantity_e9=quantity * E9, **more)


async def test_a_reduction_does_not_sell_again_what_a_lost_fill_has_sold(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    sold = sell(desk, 6)
    await desk.until(lambda: "accepted" in desk.kinds(sold))
    order = scripted_venue.by_client_id(sold)[0]
    await scripted_venue.fill(order, 4, "100", is_lost=True)
    await scripted_venue.fill(order, 2, "100")
    await desk.until(lambda: desk.status(sold) == "filled")
    # By the fills that arrived eight are held; four of them are sold.
    flip = sell(desk, 5)
    await desk.until(lambda: desk.status(flip) == "withheld")
    assert desk.events(flip)[-1].rule.label == "flip_through_zero"
    await desk.until(lambda: len(desk.fills()) == 3)
    rest = sell(desk, 4)
    await desk.until(lambda: "accepted" in desk.kinds(rest))


async def test_no_reduction_follows_one_that_was_refused_and_exists_all_the_same(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    scripted_venue.is_mute = True
    scripted_venue.faults.append("422")
    refused = sell(desk, 10)
    await desk.until(lambda: desk.status(refused) == "rejected")
    await scripted_venue.fill(scripted_venue.by_client_id(refused)[0], 10, "100")
    again = sell(desk, 7)
    await desk.until(lambda: desk.status(again) == "withheld")
    assert desk.events(again)[-1].rule.label == "flip_through_zero"
    assert desk.status(refused) == "filled"
    assert len(scripted_venue.posts()) == 2


async def test_a_reduction_leaves_once_the_venue_denies_to_have_the_refused_one(
    desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_orders, "VERIFY_AFTER_S", 1000.0)
    scripted_venue.faults.append((422, {"code": 42210000, "message": "sub-penny"}))
    refused = sell(desk, 10)
    await desk.until(lambda: desk.status(refused) == "rejected")
    again = sell(desk, 10)
    await desk.until(lambda: "accepted" in desk.kinds(again))
    assert [request for request in scripted_venue.requests if "by_client_order_id" in request and refused in request]
    assert len(scripted_venue.posts()) == 3


async def test_a_replacement_closes_nothing_that_its_target_may_still_close(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    target = sell(desk, 6)
    await desk.until(lambda: "accepted" in desk.kinds(target))
    flip = sell(desk, 5, action=IntentAction.REPLACE, target_client_order_id=target)
    await desk.until(lambda: desk.status(flip) == "withheld")
    assert desk.events(flip)[-1].rule.label == "flip_through_zero"
    smaller = sell(desk, 4, action=IntentAction.REPLACE, target_client_order_id=target)
    await desk.until(lambda: desk.status(target) == "replaced" and "accepted" in desk.kinds(smaller))
    assert scripted_venue.count("PATCH") == 1


@pytest.mark.usefixtures("made_though_refused")
async def test_a_cancel_of_a_refused_order_that_exists_all_the_same_is_made_good(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    refused = desk.decide()
    await desk.until(lambda: desk.status(refused) == "rejected")
    desk.cancel(refused)
    await desk.until(lambda: scripted_venue.count("DELETE") == 1)
    assert scripted_venue.by_client_id(refused)[0]["status"] == "canceled"


@pytest.mark.usefixtures("made_though_refused")
async def test_a_cancel_is_made_good_that_came_before_the_refusal_of_an_order_that_exists(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    scripted_venue.answers_posts.clear()
    refused = desk.decide()
    await desk.until(lambda: len(scripted_venue.by_client_id(refused)) == 1)
    desk.cancel(refused)
    await desk.until(lambda: "cancel_requested" in desk.kinds(refused))
    scripted_venue.answers_posts.set()
    await desk.until(lambda: scripted_venue.count("DELETE") == 1)
    assert scripted_venue.by_client_id(refused)[0]["status"] == "canceled"
