"""What leaves for the venue and what is remembered of it, against a venue whose every answer is scripted."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from execution_desk import E9, Desk, engine_of
from holdfast import clock
from holdfast._native import (
    Decision,
    IntentAction,
    JournalFull,
    JournalWriter,
    OrderClass,
    OrderType,
    Reason,
    Side,
    StatusCode,
    TradingStateCode,
    TradingStatus,
    encode_order_request,
)
from holdfast.journals import open_latch, open_writer
from holdfast.settings import Settings
from holdfast.settings.schema import StrategySettings
from patience import PATIENCE_S
from scripted_venue import ScriptedVenue


@pytest.fixture
async def engine(settings: Settings, desk: Desk) -> AsyncIterator[None]:
    async with engine_of(settings):
        yield


@pytest.mark.usefixtures("engine")
async def test_an_approval_becomes_one_order_whose_id_was_journaled_first(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    order_id = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(order_id))
    assert len(scripted_venue.posts()) == 1
    assert f'"client_order_id": "{order_id}"' in scripted_venue.posts()[0]
    first = desk.events(order_id)[0]
    assert first.kind.label == "submitting"
    assert first.cause_seq == first.decision_seq > 0
    assert first.origin_ns > 0
    order = scripted_venue.by_client_id(order_id)[0]
    await scripted_venue.fill(order, 4, "99.5")
    await scripted_venue.fill(order, 6, "99.7")
    await desk.until(lambda: desk.status(order_id) == "filled" and len(desk.fills()) == 2)
    assert [(fill.quantity_e9, fill.price_e9, fill.strategy) for fill in desk.fills()] == [
        (4 * E9, 99_500_000_000, "test"),
        (6 * E9, 99_700_000_000, "test"),
    ]


@pytest.mark.usefixtures("engine")
async def test_a_cancel_reaches_the_venue_and_ends_the_order(desk: Desk, scripted_venue: ScriptedVenue) -> None:
    order_id = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(order_id))
    desk.cancel(order_id)
    await desk.until(lambda: desk.status(order_id) == "canceled")
    assert scripted_venue.count("DELETE") == 1


@pytest.mark.usefixtures("engine")
async def test_a_cancel_of_an_order_that_still_waits_for_a_connection_keeps_it_from_leaving(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    lines = settings.services.execution_engine.connections
    scripted_venue.faults.extend(["hang"] * lines)
    for _ in range(lines):
        desk.decide()
    waiting = desk.decide()
    desk.cancel(waiting)
    await desk.until(lambda: desk.status(waiting) == "withheld")
    assert desk.events(waiting)[-1].rule is Reason.INTENT_EXPIRED
    assert not scripted_venue.by_client_id(waiting)


@pytest.mark.usefixtures("engine")
async def test_a_cancel_that_the_venue_swallowed_is_sent_again_after_asking(
    desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.execution.sender.CANCEL_ENDS_WITHIN_S", 0.1)
    order_id = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(order_id))
    scripted_venue.faults.extend([(204, None), (429, {"message": "too many requests"})])
    desk.cancel(order_id)
    await desk.until(lambda: desk.status(order_id) == "canceled")
    assert scripted_venue.count("DELETE") == 3


@pytest.mark.usefixtures("engine")
async def test_a_replacement_gets_its_own_id(desk: Desk, scripted_venue: ScriptedVenue) -> None:
    old = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(old))
    new = desk.decide(action=IntentAction.REPLACE, target_client_order_id=old, limit_price_e9=101 * E9)
    await desk.until(lambda: desk.status(old) == "replaced" and "accepted" in desk.kinds(new))
    assert scripted_venue.by_client_id(new)[0]["limit_price"] == "101"
    assert desk.events(new)[-1].replaces_order_id == scripted_venue.by_client_id(old)[0]["id"]
    assert "replace_requested" in desk.kinds(old)


@pytest.mark.usefixtures("engine")
async def test_the_legs_of_a_bracket_belong_to_its_strategy(desk: Desk, scripted_venue: ScriptedVenue) -> None:
    order_id = desk.decide(order_class=OrderClass.BRACKET, take_profit_price_e9=110 * E9, stop_loss_price_e9=90 * E9)
    await desk.until(lambda: "accepted" in desk.kinds(order_id))
    order = scripted_venue.by_client_id(order_id)[0]
    legs = [str(leg["client_order_id"]) for leg in order["legs"]]  # type: ignore[attr-defined]
    await desk.until(lambda: all(desk.events(leg) for leg in legs))
    for leg in legs:
        event = desk.events(leg)[0]
        assert (event.strategy, event.parent_order_id, event.is_external) == ("test", order["id"], 0)


@pytest.mark.usefixtures("engine")
async def test_a_reduction_passes_beside_the_held_legs_of_an_unfilled_entry_and_not_beside_those_of_a_filled_one(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    def at_venue(client_order_id: str) -> dict[str, object]:
        return scripted_venue.by_client_id(client_order_id)[0]

    held = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(held))
    await scripted_venue.fill(at_venue(held), 10, "99")
    bracket = desk.decide(order_class=OrderClass.BRACKET, take_profit_price_e9=110 * E9, stop_loss_price_e9=90 * E9)
    await desk.until(lambda: "accepted" in desk.kinds(bracket) and desk.status(held) == "filled")
    sold = desk.decide(side=Side.SELL, is_reduction=1)
    await desk.until(lambda: "accepted" in desk.kinds(sold))
    await scripted_venue.fill(at_venue(sold), 10, "99")
    await scripted_venue.fill(at_venue(bracket), 10, "99")
    await desk.until(lambda: desk.status(bracket) == "filled")
    flip = desk.decide(side=Side.SELL, is_reduction=1, quantity_e9=E9)
    await desk.until(lambda: desk.status(flip) == "withheld")
    assert desk.events(flip)[-1].rule is Reason.FLIP_THROUGH_ZERO


@pytest.mark.usefixtures("engine")
async def test_a_halt_after_the_approval_stops_an_entry_and_no_reduction(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    def tell(status: StatusCode) -> None:
        desk.writers["market_data"].append(TradingStatus(symbol="IBM", status=status), ts_ns=clock.now_ns())

    bought = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(bought))
    await scripted_venue.fill(scripted_venue.by_client_id(bought)[0], 10, "99")
    await desk.until(lambda: desk.status(bought) == "filled")
    tell(StatusCode.HALTED)
    entry, sold = desk.decide(), desk.decide(side=Side.SELL, is_reduction=1)
    await desk.until(lambda: desk.status(entry) == "withheld" and "accepted" in desk.kinds(sold))
    assert desk.events(entry)[-1].rule is Reason.SYMBOL_HALTED
    tell(StatusCode.TRADING)
    again = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(again))


@pytest.mark.parametrize("fault", ["drop", "504", "hidden"])
@pytest.mark.usefixtures("engine")
async def test_an_unproven_order_is_asked_for_and_never_sent_again(
    desk: Desk, scripted_venue: ScriptedVenue, fault: str
) -> None:
    scripted_venue.is_mute = True
    scripted_venue.faults.append(fault)
    order_id = desk.decide()
    await desk.until(lambda: "unknown" in desk.kinds(order_id))
    scripted_venue.hidden.clear()
    await desk.until(lambda: "resolved" in desk.kinds(order_id))
    assert desk.status(order_id) == "new"
    assert len(scripted_venue.posts()) == 1


@pytest.mark.usefixtures("engine")
async def test_absence_is_proven_only_after_the_venue_had_time_to_show_it(
    desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.execution.proof.ABSENT_S_MIN", 0.5)
    scripted_venue.faults.append("vanish")
    order_id = desk.decide()
    await desk.until(lambda: "resolved" in desk.kinds(order_id))
    queries = [request for request in scripted_venue.requests if order_id in request and request.startswith("GET")]
    assert len(queries) >= 3
    assert desk.status(order_id) == "rejected"
    assert len(scripted_venue.posts()) == 1


@pytest.mark.usefixtures("engine")
async def test_a_refusal_is_kept_with_the_venues_words(desk: Desk, scripted_venue: ScriptedVenue) -> None:
    scripted_venue.faults.append((403, {"code": 40310000, "message": "insufficient buying power"}))
    order_id = desk.decide()
    await desk.until(lambda: desk.status(order_id) == "rejected")
    event = desk.events(order_id)[-1]
    assert (event.venue_code, event.detail) == (40310000, "403 insufficient buying power")


@pytest.mark.usefixtures("engine")
async def test_a_duplicate_id_means_that_the_order_exists(desk: Desk, scripted_venue: ScriptedVenue) -> None:
    scripted_venue.is_mute = True
    writer = desk.writers["orders"]
    order_id = f"hf-{writer.epoch:x}-{writer.next_seq:x}"
    scripted_venue.add_order(
        {"symbol": "IBM", "client_order_id": order_id, "qty": "10", "side": "buy", "type": "limit",
         "time_in_force": "day", "limit_price": "100"}
    )  # fmt: skip
    assert desk.decide() == order_id
    await desk.until(lambda: desk.status(order_id) == "new")
    assert "rejected" not in desk.kinds(order_id)


@pytest.mark.usefixtures("engine")
async def test_a_lost_fill_is_recovered_once(desk: Desk, scripted_venue: ScriptedVenue) -> None:
    order_id = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(order_id))
    order = scripted_venue.by_client_id(order_id)[0]
    await scripted_venue.fill(order, 4, "99.5", is_lost=True)
    await scripted_venue.fill(order, 6, "99.6")
    await desk.until(lambda: len(desk.fills()) == 2)
    await desk.until(lambda: any(fill.is_recovered for fill in desk.fills()))
    assert len({fill.execution_id for fill in desk.fills()}) == len(desk.fills()) == 2
    assert sum(fill.quantity_e9 for fill in desk.fills()) == 10 * E9


async def _held_with_a_stop(desk: Desk, venue: ScriptedVenue) -> str:
    """Buy ten and protect them; returns the id of the stop."""
    bought = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(bought))
    await venue.fill(venue.by_client_id(bought)[0], 10, "100")
    await desk.until(lambda: desk.status(bought) == "filled")
    stop = desk.protect(10)
    await desk.until(lambda: "accepted" in desk.kinds(stop))
    return stop


async def _exit_behind_its_stop(desk: Desk, scripted_venue: ScriptedVenue) -> tuple[str, str]:
    """Approve an exit whose stop the venue was asked to cancel, and does not."""
    stop = await _held_with_a_stop(desk, scripted_venue)
    scripted_venue.is_holding_cancels = True
    leaving = desk.decide(side=Side.SELL, is_reduction=1)
    desk.cancel(stop)
    await desk.until(lambda: scripted_venue.count("DELETE") == 1)
    return stop, leaving


@pytest.mark.usefixtures("engine")
async def test_an_exit_waits_for_the_proven_end_of_the_stop_in_its_way(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    stop, leaving = await _exit_behind_its_stop(desk, scripted_venue)
    assert desk.kinds(leaving) == []
    assert len(scripted_venue.posts()) == 2
    await scripted_venue.end(scripted_venue.by_client_id(stop)[0], "canceled")
    await desk.until(lambda: "accepted" in desk.kinds(leaving))
    assert len(scripted_venue.posts()) == 3


@pytest.mark.usefixtures("engine")
async def test_an_exit_does_not_sell_again_what_the_stop_sold_while_it_made_way(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    stop, leaving = await _exit_behind_its_stop(desk, scripted_venue)
    await scripted_venue.fill(scripted_venue.by_client_id(stop)[0], 10, "98")
    await desk.until(lambda: desk.status(leaving) == "withheld")
    assert desk.events(leaving)[-1].rule.label == "flip_through_zero"
    assert len(scripted_venue.posts()) == 2


@pytest.mark.usefixtures("engine")
async def test_a_repeated_fill_counts_once(desk: Desk, scripted_venue: ScriptedVenue) -> None:
    order_id = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(order_id))
    order = scripted_venue.by_client_id(order_id)[0]
    more = {"execution_id": "5f8d0b9a-0000-4000-8000-000000000001", "price": "99", "qty": "10", "position_qty": "10"}
    order |= {"status": "filled", "filled_qty": "10", "filled_avg_price": "99"}
    await scripted_venue.emit("fill", order, **more)
    await scripted_venue.emit("fill", order, **more)
    second = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(second))
    assert len(desk.fills()) == 1


CLOSED_GATES: dict[str, Callable[[Desk], object]] = {
    "kill_latch": lambda desk: open_latch(desk.settings).trip("tester", "test", clock.now_ns()),
    "state_halted": lambda desk: desk.set_state(TradingStateCode.HALTED),
    "state_reducing": lambda desk: desk.set_state(TradingStateCode.REDUCING),
}


@pytest.mark.parametrize("rule", CLOSED_GATES)
@pytest.mark.usefixtures("engine")
async def test_nothing_leaves_while_the_gate_is_closed(desk: Desk, scripted_venue: ScriptedVenue, rule: str) -> None:
    CLOSED_GATES[rule](desk)
    order_id = desk.decide()
    await desk.until(lambda: desk.status(order_id) == "withheld")
    assert desk.events(order_id)[0].rule.label == rule
    assert not scripted_venue.posts()


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"age_ns": 2 * E9}, "approval_stale"),
        ({"quote_age_ns": 2 * E9}, "quote_stale"),
        ({"expires_ns": 1}, "intent_expired"),
        ({"limits_hash": 1}, "limits_changed"),
        ({"limit_price_e9": 0}, "intent_invalid"),
        ({"side": Side.SELL, "is_reduction": 1}, "flip_through_zero"),
    ],
)
@pytest.mark.usefixtures("engine")
async def test_a_decision_that_must_not_leave_names_its_rule(
    desk: Desk, scripted_venue: ScriptedVenue, fields: dict[str, int], rule: str
) -> None:
    order_id = desk.decide(**fields)
    await desk.until(lambda: desk.status(order_id) == "withheld")
    assert desk.events(order_id)[0].rule.label == rule
    assert not scripted_venue.posts()


@pytest.mark.usefixtures("engine")
async def test_entries_stop_within_a_second_of_the_risk_gates_last_heartbeat(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    desk.are_others_alive = False
    for writer in desk.writers.values():
        writer.heartbeat(clock.now_ns() - E9 - E9 // 100)
    order_id = desk.decide()
    await desk.until(lambda: desk.status(order_id) == "withheld")
    assert desk.events(order_id)[0].rule.label == "risk_heartbeat"
    assert not scripted_venue.posts()


@pytest.mark.usefixtures("engine")
async def test_an_entry_whose_process_was_frozen_right_before_the_write_does_not_leave(
    desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Freeze:
        def reach(self, side: str, step: str) -> None:
            if (side, step) == ("before", "entry_request"):
                time.sleep(1.2)

    monkeypatch.setattr("holdfast.crash_points._point", Freeze())
    order_id = desk.decide()
    await desk.until(lambda: desk.status(order_id) == "withheld")
    assert [(event.kind.label, event.rule.label) for event in desk.events(order_id)] == [
        ("submitting", ""),
        ("withheld", "risk_heartbeat"),
    ]
    assert not scripted_venue.posts()
    monkeypatch.setattr("holdfast.crash_points._point", None)
    later = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(later))


@pytest.mark.usefixtures("engine")
async def test_an_entry_that_grows_old_while_its_request_is_made_does_not_leave(
    desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(decision: Decision, head: bytes) -> bytes:
        time.sleep(0.4)
        return encode_order_request(decision, head)

    monkeypatch.setattr("holdfast.execution.sender.encode_order_request", encode)
    order_id = desk.decide(quote_age_ns=E9 * 7 // 10)
    await desk.until(lambda: desk.status(order_id) == "withheld")
    assert desk.kinds(order_id) == ["withheld"]
    assert desk.events(order_id)[0].rule.label == "quote_stale"
    assert not scripted_venue.posts()


@pytest.mark.usefixtures("engine")
async def test_the_kill_latch_cancels_entries_and_lets_reductions_pass(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    filled = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(filled))
    await scripted_venue.fill(scripted_venue.by_client_id(filled)[0], 10, "100")
    entry = desk.decide()
    stop = desk.decide(
        side=Side.SELL, is_reduction=1, order_type=OrderType.STOP, stop_price_e9=90 * E9, quantity_e9=4 * E9
    )
    await desk.until(lambda: "accepted" in desk.kinds(entry) and "accepted" in desk.kinds(stop))
    open_latch(desk.settings).trip("tester", "test", clock.now_ns())
    await desk.until(lambda: desk.status(entry) == "canceled")
    exit_id = desk.decide(side=Side.SELL, is_reduction=1, quantity_e9=6 * E9)
    await desk.until(lambda: "accepted" in desk.kinds(exit_id))
    assert desk.status(stop) == "new"
    flip = desk.decide(side=Side.SELL, is_reduction=1, quantity_e9=1 * E9)
    await desk.until(lambda: desk.status(flip) == "withheld")
    assert len(scripted_venue.posts()) == 4


@pytest.mark.usefixtures("engine")
async def test_the_gate_closes_while_the_order_stream_is_down_and_opens_again_once_reconciled(
    desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    first = desk.decide()
    await desk.until(lambda: "accepted" in desk.kinds(first))
    scripted_venue.subscribed.clear()
    order = scripted_venue.by_client_id(first)[0]
    for listener in list(scripted_venue.listeners):
        await listener.close()
    await scripted_venue.fill(order, 10, "99", is_lost=True)
    await asyncio.wait_for(scripted_venue.subscribed.wait(), PATIENCE_S)
    await desk.until(lambda: len(desk.fills()) == 1)
    assert desk.fills()[0].is_recovered == 1

    def another_leaves() -> bool:
        order_id = desk.decide()
        return len(scripted_venue.posts()) > 1 or not order_id

    await desk.until(another_leaves)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("is_stream_cut", [True, False])
async def test_a_strangers_order_that_filled_and_ended_unheard_is_found_with_its_fill(
    desk: Desk, scripted_venue: ScriptedVenue, *, is_stream_cut: bool
) -> None:
    manual = {"symbol": "BAC", "client_order_id": "by hand", "qty": "3", "side": "buy", "type": "market"}
    if is_stream_cut:
        scripted_venue.subscribed.clear()
        for listener in list(scripted_venue.listeners):
            await listener.close()
    order = scripted_venue.add_order(manual | {"time_in_force": "day"})
    await scripted_venue.fill(order, 3, "40", is_lost=True)
    await desk.until(desk.fills)
    assert [(fill.client_order_id, fill.quantity_e9, fill.is_recovered) for fill in desk.fills()] == [
        ("by hand", 3 * E9, 1)
    ]
    assert desk.events("by hand")[0].is_external == 1


@pytest.mark.parametrize("crash", ["answered", "drop", "hang"])
async def test_a_restart_in_mid_flight_neither_repeats_nor_forgets(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue, crash: str
) -> None:
    async with engine_of(settings, is_killed=True):
        if crash != "answered":
            scripted_venue.is_mute = True
            scripted_venue.faults.append(crash)
        order_id = desk.decide()
        await desk.until(lambda: scripted_venue.posts() and "submitting" in desk.kinds(order_id))
        if crash == "answered":
            await desk.until(lambda: "accepted" in desk.kinds(order_id))
    scripted_venue.is_mute = False
    await scripted_venue.fill(scripted_venue.by_client_id(order_id)[0], 4, "99", is_lost=True)
    stale = desk.decide(age_ns=2 * E9)
    async with engine_of(settings):
        await desk.until(lambda: desk.status(order_id) == "partially_filled" and desk.status(stale) == "withheld")
        await desk.until(desk.fills)
        fresh = desk.decide()
        await desk.until(lambda: "accepted" in desk.kinds(fresh))
    assert len(scripted_venue.by_client_id(order_id)) == 1
    assert len(scripted_venue.posts()) == 2
    assert len(desk.fills()) == 1
    assert desk.fills()[0].is_recovered == 1


async def test_a_cancel_that_a_crash_cut_off_is_sent_again_after_the_restart(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    async with engine_of(settings, is_killed=True):
        order_id = desk.decide()
        await desk.until(lambda: "accepted" in desk.kinds(order_id))
        scripted_venue.faults.extend(["vanish"] * 20)
        desk.cancel(order_id)
        await desk.until(lambda: scripted_venue.count("DELETE"))
        # Until then the next start would read the decision again.
        cancel_seq = desk.writers["orders"].next_seq - 1
        await desk.until(lambda: any(getattr(record, "orders_seq", 0) >= cancel_seq for record in desk.written()))
    scripted_venue.faults.clear()
    assert scripted_venue.by_client_id(order_id)[0]["status"] == "new"
    async with engine_of(settings):
        await desk.until(lambda: desk.status(order_id) == "canceled")


async def test_orders_and_positions_of_others_are_adopted_and_left_alone(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    manual = {"symbol": "BAC", "client_order_id": "by hand", "qty": "3", "side": "buy", "type": "market"}
    scripted_venue.add_order(manual | {"time_in_force": "day", "filled_qty": "1", "status": "partially_filled"})
    own = manual | {"client_order_id": "hf-1-1", "time_in_force": "day"}
    scripted_venue.add_order(own)
    scripted_venue.positions["BAC"] = 7
    async with engine_of(settings):
        assert [event.kind.label for event in desk.events("by hand")] == ["adopted"]
        assert desk.events("by hand")[0].is_external == 1
        assert desk.events("hf-1-1")[0].is_external == 0
        snapshots = [record for record in desk.written() if type(record).__name__ == "PositionSnapshot"]
        assert [(snapshot.symbol, snapshot.quantity_e9) for snapshot in snapshots] == [("BAC", 7 * E9)]
        start = next(record for record in desk.written() if type(record).__name__ == "Reconciled")
        assert (start.scope.label, start.is_complete, start.orders_adopted) == ("start_up", 1, 2)
        assert not desk.fills()
        open_latch(settings).trip("tester", "test", clock.now_ns())
        await desk.until(lambda: desk.status("hf-1-1") == "canceled")
    assert desk.status("by hand") == "partially_filled"


async def test_an_order_that_the_journal_lost_is_of_the_strategy_that_alone_trades_its_symbol(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue
) -> None:
    strategies = [
        StrategySettings(name=name, path="strategy.py:Strategy", symbols=symbols)
        for name, symbols in (("alone", ("BAC", "IBM")), ("other", ("IBM",)))
    ]
    settings = settings.model_copy(update={"strategies": tuple(strategies)})
    lost = {"qty": "3", "side": "buy", "type": "limit", "limit_price": "9", "time_in_force": "day"}
    orders = [
        scripted_venue.add_order(lost | {"symbol": symbol, "client_order_id": client_order_id})
        for symbol, client_order_id in (("BAC", "hf-1-1"), ("IBM", "hf-1-2"), ("BAC", "by hand"))
    ]
    async with engine_of(settings):
        for order in orders:
            await scripted_venue.fill(order, 3, "9")
        await desk.until(lambda: len(desk.fills()) == 3)
    owners = {fill.client_order_id: fill.strategy for fill in desk.fills()}
    assert owners == {"hf-1-1": "alone", "hf-1-2": "", "by hand": ""}
    assert {event.strategy for event in desk.events("hf-1-1")} == {"alone"}


@pytest.mark.usefixtures("engine")
async def test_the_rate_budget_withholds_entries_but_not_cancels(
    tmp_path: Path, scripted_venue: ScriptedVenue, desk: Desk
) -> None:
    scripted_venue.faults.append((429, {"message": "too many requests"}))
    first = desk.decide()
    await desk.until(lambda: desk.status(first) == "rejected")
    assert desk.events(first)[-1].rule.label == "rate_budget"
    second = desk.decide()
    await desk.until(lambda: desk.status(second) == "withheld")
    assert desk.events(second)[0].rule.label == "rate_budget"
    assert len(scripted_venue.posts()) == 1


class FillableDisk:
    """A writer whose disk can be full."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer
        self.is_full = False

    def append(self, record: object, **header: object) -> int:
        if self.is_full:
            raise JournalFull("no room for the next segment")
        return self._writer.append(record, **header)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._writer, name)


async def test_a_full_disk_stops_entries_but_no_cancel_and_is_caught_up_with(
    settings: Settings, desk: Desk, scripted_venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks: list[FillableDisk] = []

    def open_fillable(settings: Settings, name: str) -> FillableDisk:
        disks.append(FillableDisk(open_writer(settings, name)))
        return disks[0]

    monkeypatch.setattr("holdfast.services.execution_engine.open_writer", open_fillable)
    async with engine_of(settings):
        resting = desk.decide()
        await desk.until(lambda: "accepted" in desk.kinds(resting))
        disks[0].is_full = True
        order = scripted_venue.by_client_id(resting)[0]
        await scripted_venue.fill(order, 4, "99")
        refused = desk.decide()
        open_latch(settings).trip("tester", "test", clock.now_ns())
        await desk.until(lambda: scripted_venue.count("DELETE"))
        assert not desk.fills()
        disks[0].is_full = False
        await desk.until(lambda: desk.status(refused) == "withheld" and desk.status(resting) == "canceled")
        await desk.until(desk.fills)
    assert len(scripted_venue.posts()) == 1
    assert [fill.quantity_e9 for fill in desk.fills()] == [4 * E9]
