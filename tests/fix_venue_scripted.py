"""A scripted venue for a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripted_venue import ScriptedVenue, serving


@pytest.fixture
async def scripted_venue(tmp_path: Path) -> AsyncIterator[ScriptedVenue]:
    async with serving(tmp_path) as venue:
        yield venue
