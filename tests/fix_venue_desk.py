"""An execution desk before a venue whose every answer is scripted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from execution_desk import Desk, desk_of, settings_for
from holdfast.settings import Settings
from scripted_venue import ScriptedVenue


@pytest.fixture
def settings(tmp_path: Path, scripted_venue: ScriptedVenue) -> Settings:
    return settings_for(tmp_path, url=scripted_venue.url, stream_url=scripted_venue.stream_url)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with desk_of(settings) as desk:
        yield desk
