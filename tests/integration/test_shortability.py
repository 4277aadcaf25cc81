"""execution-engine asks the venue what may be sold short, if anything may, and journals the answer for risk-manager."""

import shutil
from pathlib import Path

import pytest

from execution_desk import Desk, desk_of, engine_of, settings_for
from holdfast._native import Shortability
from holdfast.settings import Settings
from holdfast.settings.defaults import default_config_dir
from scripted_venue import ScriptedVenue

EASY = {"symbol": "IBM", "tradable": True, "shortable": True, "easy_to_borrow": True, "borrow_status": "easy_to_borrow"}
HARD = EASY | {"easy_to_borrow": False, "borrow_status": "hard_to_borrow"}


def settings_of(tmp_path: Path, venue: ScriptedVenue, *, is_short_allowed: bool) -> Settings:
    config = tmp_path / "config"
    shutil.copytree(default_config_dir(), config)
    limits = config / "risk_limits.toml"
    text = limits.read_text().replace("is_short_allowed = false", f"is_short_allowed = {str(is_short_allowed).lower()}")
    limits.write_text(text)
    settings = settings_for(tmp_path, url=venue.url, stream_url=venue.stream_url)
    return settings.model_copy(update={"config_dir": config})


def words(desk: Desk) -> list[tuple[str, int]]:
    return [(each.symbol, each.is_shortable) for each in desk.written() if isinstance(each, Shortability)]


@pytest.mark.parametrize(("asset", "is_shortable"), [(EASY, 1), (HARD, 0), (None, 0)], ids=["easy", "hard", "unknown"])
async def test_what_may_be_sold_short_is_the_venues_word(
    tmp_path: Path, scripted_venue: ScriptedVenue, asset: dict[str, object] | None, is_shortable: int
) -> None:
    if asset is not None:
        scripted_venue.assets["IBM"] = asset
    settings = settings_of(tmp_path, scripted_venue, is_short_allowed=True)
    async with desk_of(settings) as desk, engine_of(settings):
        await desk.until(lambda: words(desk))
        assert words(desk) == [("IBM", is_shortable)]


async def test_nobody_asks_while_nothing_may_be_sold_short(tmp_path: Path, scripted_venue: ScriptedVenue) -> None:
    settings = settings_of(tmp_path, scripted_venue, is_short_allowed=False)
    async with desk_of(settings) as desk, engine_of(settings):
        before = desk.comparisons()
        await desk.until(lambda: desk.comparisons() >= before + 2)
    assert not [request for request in scripted_venue.requests if "/v2/assets/" in request]
