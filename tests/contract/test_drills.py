"""The drills that are shipped."""

from pathlib import Path

import pytest

from holdfast.venues.simulated.faults import FaultScript

DRILLS = sorted((Path(__file__).resolve().parents[2] / "config" / "drills").glob("*.toml"))


@pytest.mark.parametrize("file", DRILLS, ids=lambda file: file.stem)
def test_a_shipped_drill_is_a_script_that_says_what_to_expect(file: Path) -> None:
    script = FaultScript.load(file)
    assert list(script.entries())
    assert file.read_text().startswith("# Drill: ")
    assert "Expected: " in file.read_text()
    assert FaultScript.parse(script.to_toml(), file="written") == script


def test_drills_are_shipped() -> None:
    assert DRILLS
