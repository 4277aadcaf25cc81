"""`holdfast reconcile` against a scripted venue."""

from pathlib import Path

from execution_desk import E9, desk_of, engine_of, settings_for
from holdfast._native import PositionSnapshot, TimeInForce
from holdfast.cli.reconcile import compare
from holdfast.execution.compare import Difference
from scripted_venue import ScriptedVenue


async def test_it_tells_what_lasts_and_changes_nothing(tmp_path: Path, scripted_venue: ScriptedVenue) -> None:
    settings = settings_for(tmp_path, url=scripted_venue.url, stream_url=scripted_venue.stream_url)

    async def compared() -> list[Difference]:
        requests_before = len(scripted_venue.posts()) + scripted_venue.count("DELETE")
        found = await compare(settings)
        assert len(scripted_venue.posts()) + scripted_venue.count("DELETE") == requests_before
        return found

    async with desk_of(settings) as desk:
        async with engine_of(settings, is_killed=True):
            order_id = desk.decide()
            await desk.until(lambda: "accepted" in desk.kinds(order_id))
            await scripted_venue.fill(scripted_venue.by_client_id(order_id)[0], 4, "99")
            await desk.until(desk.fills)
            assert await compared() == []
        await scripted_venue.fill(scripted_venue.by_client_id(order_id)[0], 5, "99")
        by_hand = {"symbol": "BAC", "client_order_id": "by hand", "qty": "3", "side": "buy", "type": "market"}
        scripted_venue.add_order(by_hand | {"time_in_force": "day"})
        assert await compared() == [
            Difference("order", order_id, "partially_filled, filled 4", "partially_filled, filled 9"),
            Difference("order", "by hand", "not known", "new, filled 0"),
            Difference("position", "IBM", "4", "9"),
        ]


async def test_a_coin_is_one_position_though_the_venue_lists_it_without_its_slash(
    tmp_path: Path, scripted_venue: ScriptedVenue
) -> None:
    settings = settings_for(tmp_path, url=scripted_venue.url, stream_url=scripted_venue.stream_url)
    async with desk_of(settings) as desk, engine_of(settings):
        order_id = desk.decide(symbol="BTC/USD", time_in_force=TimeInForce.GTC)
        await desk.until(lambda: "accepted" in desk.kinds(order_id))
        await scripted_venue.fill(scripted_venue.by_client_id(order_id)[0], 4, "99")
        await desk.until(lambda: any(isinstance(record, PositionSnapshot) for record in desk.written()))
        snapshots = [record for record in desk.written() if isinstance(record, PositionSnapshot)]
        assert {(record.symbol, record.quantity_e9) for record in snapshots} == {("BTC/USD", 4 * E9)}
        assert await compare(settings) == []
