"""A state directory of the test's own, with real journals."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.settings import Settings
from trading_day import Day, make_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose state directory is this test's own."""
    return make_settings(tmp_path / "state")


@pytest.fixture
def day(settings: Settings) -> Iterator[Day]:
    """The writer of a trading day in `settings`' journals."""
    written = Day(settings)
    yield written
    written.close()
