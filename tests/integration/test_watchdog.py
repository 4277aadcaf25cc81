"""The watchdog against the simulated venue: what it cancels when somebody is overdue, by the venue's ledger."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import start_http_server
from pydantic import SecretStr

from execution_desk import E9, Desk, desk_of, engine_of, settings_for
from fix_venue import RunningVenue, StartVenue
from holdfast import metrics
from holdfast._native import (
    OrderClass,
    OrderStatus,
    OrderType,
    PositionSnapshot,
    Side,
    TimeInForce,
)
from holdfast.demo.configuration import free_port
from holdfast.errors import ConfigError
from holdfast.service import Frame
from holdfast.services import watchdog
from holdfast.services.watchdog import Sight, entries_among
from holdfast.settings import Settings
from holdfast.venues.alpaca.connection import NotSent
from holdfast.venues.alpaca.orders import VenueOrder
from holdfast.venues.alpaca.trading import TradingGateway
from patience import PATIENCE_S


@pytest.fixture
def running(start_venue: StartVenue) -> RunningVenue:
    return start_venue(speed=5, partial_fills=0)


@pytest.fixture
def settings(tmp_path: Path, running: RunningVenue) -> Settings:
    (tmp_path / "cert.pem").write_bytes(running.ca_file.read_bytes())
    plain = settings_for(tmp_path, url=running.url, stream_url=f"{running.stream_url}/stream")
    keys = {
        "alpaca_api_key": SecretStr(running.key_id),
        "alpaca_api_secret": SecretStr(running.secret_key),
        "watchdog_api_key": SecretStr(running.key_id),
        "watchdog_api_secret": SecretStr(running.secret_key),
    }
    port = free_port()
    own = plain.services.watchdog.model_copy(update={"heartbeat_age_s_max": 0.6, "stream_age_s_max": 2.5})
    engine = plain.services.execution_engine.model_copy(update={"metrics_port": port})
    services = plain.services.model_copy(update={"watchdog": own, "execution_engine": engine})
    venue_time = {"clock": plain.clock.model_copy(update={"session_time": "venue"})}
    return plain.model_copy(update=keys | venue_time | {"services": services})


@pytest.fixture(autouse=True)
def _served_metrics(settings: Settings) -> Iterator[None]:
    metrics.ORDER_STREAM_LIVE.set(0)
    server, thread = start_http_server(settings.services.execution_engine.metrics_port, addr="127.0.0.1")
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[None]:
    frame = Frame(name="watchdog", settings=settings)
    service = asyncio.create_task(watchdog.run(frame))
    try:
        yield
    finally:
        frame.stopping.set()
        await service


async def trading(desk: Desk) -> tuple[list[str], str]:
    """Entries that rest, and a position with a reduction of ours that rests."""
    bought = desk.decide(order_type=OrderType.MARKET, limit_price_e9=0)
    await desk.until(lambda: desk.status(bought) == "filled" and desk.fills())
    price_e9 = desk.fills()[0].price_e9
    reduction = desk.decide(side=Side.SELL, is_reduction=1, limit_price_e9=price_e9 * 2, quantity_e9=6 * E9)
    await desk.until(lambda: "accepted" in desk.kinds(reduction))
    entries = [desk.decide(limit_price_e9=number * E9) for number in range(1, 4)]
    legs = {"take_profit_price_e9": price_e9 * 2, "stop_loss_price_e9": E9}
    entries.append(
        desk.decide(order_class=OrderClass.BRACKET, time_in_force=TimeInForce.GTC, limit_price_e9=2 * E9, **legs)
    )
    await desk.until(lambda: all("accepted" in desk.kinds(order_id) for order_id in entries))
    return entries, reduction


def status_at(venue: RunningVenue) -> Callable[[str], str]:
    orders = venue.ledger().orders()
    return lambda client_order_id: str(orders[client_order_id]["status"])


async def ended(desk: Desk, venue: RunningVenue, entries: list[str]) -> None:
    await desk.until(lambda: all(status_at(venue)(entry) == "canceled" for entry in entries))


async def test_entries_are_canceled_when_execution_engine_dies_and_reductions_stay(
    settings: Settings, running: RunningVenue
) -> None:
    async with desk_of(settings) as desk, watching(settings):
        async with engine_of(settings, is_killed=True):
            entries, reduction = await trading(desk)
            await asyncio.sleep(settings.services.watchdog.heartbeat_age_s_max * 2)
            assert all(status_at(running)(entry) == "new" for entry in entries), "canceled while all was well"
        await ended(desk, running, entries)
    assert status_at(running)(reduction) == "new"


async def test_entries_are_canceled_when_risk_manager_is_silent(settings: Settings, running: RunningVenue) -> None:
    async with desk_of(settings) as desk, engine_of(settings), watching(settings):
        entries, reduction = await trading(desk)
        desk.are_others_alive = False
        await ended(desk, running, entries)
        assert status_at(running)(reduction) == "new"


async def test_entries_are_canceled_when_the_stream_is_down(settings: Settings, running: RunningVenue) -> None:
    async with desk_of(settings) as desk:
        async with engine_of(settings, is_killed=True):
            entries, reduction = await trading(desk)
        writer_alive = settings.services.watchdog.model_copy(update={"heartbeat_age_s_max": 30.0})
        calm = settings.services.model_copy(update={"watchdog": writer_alive})
        metrics.ORDER_STREAM_LIVE.set(1)
        async with watching(settings.model_copy(update={"services": calm})):
            await asyncio.sleep(1.5)
            assert all(status_at(running)(entry) == "new" for entry in entries)
            metrics.ORDER_STREAM_LIVE.set(0)
            await ended(desk, running, entries)
    assert status_at(running)(reduction) == "new"
    cancels = [line for line in running.ledger().of_kind("request") if line["method"] == "DELETE"]
    assert len(cancels) >= len(entries)
    assert {line["client"] for line in cancels} == {watchdog.CLIENT}, "the ledger tells whose cancels they are"


async def test_an_old_reconciliation_is_a_cause(settings: Settings) -> None:
    tight = settings.services.watchdog.model_copy(update={"reconcile_age_s_max": 0.2})
    sight = Sight(settings.model_copy(update={"services": settings.services.model_copy(update={"watchdog": tight})}))
    await asyncio.sleep(0.3)
    assert "reconciliation" in sight.overdue()
    metrics.RECONCILED_TIME.set_to_current_time()
    async with asyncio.timeout(PATIENCE_S):
        following = asyncio.create_task(sight.follow_metrics())
        while "reconciliation" in sight.overdue():  # noqa: ASYNC110 - another thread's answer is awaited
            await asyncio.sleep(0.01)
        following.cancel()


async def test_it_does_not_start_with_the_keys_of_others(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="watchdog_api_key"):
        await watchdog.run(Frame(name="watchdog", settings=settings.model_copy(update={"watchdog_api_key": None})))


def order_of(number: int, side: Side, quantity: int, *, is_own: bool) -> VenueOrder:
    return VenueOrder(
        venue_order_id=str(number),
        client_order_id=f"hf-1-{number}" if is_own else f"leg-{number}",
        symbol="IBM",
        side=Side(side.label),
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        order_class=OrderClass.SIMPLE,
        status=OrderStatus.NEW,
        quantity_e9=quantity * E9,
        notional_e9=0,
        filled_quantity_e9=0,
        average_price_e9=0,
        limit_price_e9=E9,
        stop_price_e9=0,
        submitted_ns=number,
        updated_ns=number,
        replaces_order_id="",
        parent_order_id="",
        legs=(),
    )


@given(
    held=st.integers(-20, 20),
    rows=st.lists(st.tuples(st.booleans(), st.integers(1, 15), st.booleans()), max_size=8),
)
def test_what_stays_of_ours_can_only_reduce(held: int, rows: list[tuple[bool, int, bool]]) -> None:
    orders = [
        order_of(number, Side.BUY if is_buy else Side.SELL, quantity, is_own=is_own)
        for number, (is_buy, quantity, is_own) in enumerate(rows)
    ]
    position = PositionSnapshot(symbol="IBM", quantity_e9=held * E9)
    entries = entries_among(orders, [position])
    assert all(entry.is_own for entry in entries)
    stay = [order for order in orders if order not in entries and order.is_own]
    closing = Side.SELL if held > 0 else Side.BUY
    assert all(order.side == closing and held for order in stay)
    assert sum(order.quantity_e9 for order in stay) <= abs(held) * E9
    first_closing = next((order for order in orders if order.side == closing), None)
    if held and first_closing is not None and first_closing.quantity_e9 <= abs(held) * E9:
        assert first_closing not in entries


@dataclass
class Answers:
    """A venue whose answers are prepared: its open orders at each question, and what is held."""

    orders: list[list[VenueOrder]]
    held_e9: int
    canceled: list[str] = field(default_factory=list)

    async def open_orders(self) -> list[VenueOrder]:
        return self.orders.pop(0)

    async def positions(self, *, now_ns: int) -> list[PositionSnapshot]:
        return [PositionSnapshot(symbol="IBM", quantity_e9=self.held_e9, ts_event_ns=now_ns)]

    async def cancel(self, venue_order_id: str, *, timeout_s: float) -> NotSent:
        assert timeout_s > 0
        self.canceled.append(venue_order_id)
        return NotSent("a test")


@pytest.mark.parametrize(("left_then", "canceled"), [(1, []), (4, ["1"])])
async def test_a_reduction_that_fills_between_two_answers_is_not_taken_for_an_entry(
    settings: Settings, left_then: int, canceled: list[str]
) -> None:
    metrics.ORDER_STREAM_LIVE.set(0)
    whole = order_of(1, Side.SELL, 4, is_own=True)
    entry = order_of(2, Side.BUY, 3, is_own=True)
    later = replace(whole, filled_quantity_e9=(4 - left_then) * E9)
    answers = Answers([[whole, entry], [later, entry]], held_e9=1 * E9)
    tight = settings.services.watchdog.model_copy(update={"heartbeat_age_s_max": 0.0})
    sight = Sight(settings.model_copy(update={"services": settings.services.model_copy(update={"watchdog": tight})}))
    await watchdog.Watchdog(sight, cast("TradingGateway", answers)).check()
    assert answers.canceled == ["2", *canceled]
