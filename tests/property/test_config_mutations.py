"""A thousand one-character mistakes in the shipped configuration: each is refused by name or changes nothing bad."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.cli.validate_config import validate

SHIPPED = Path(__file__).resolve().parents[2] / "config"
KEYS = {
    "ALPACA_API_KEY": "key-that-is-secret",
    "ALPACA_API_SECRET": "word-that-is-secret",
    "WATCHDOG_API_KEY": "key-of-the-watchdog",
    "WATCHDOG_API_SECRET": "word-of-the-watchdog",
    "DATABASE_URL": "postgresql://holdfast:password-that-is-secret@127.0.0.1:1/holdfast",
}
ENVIRONMENTS = {
    "system.json": "",
    "system.staging.json": "staging",
    "system.production.json": "production",
    "risk_limits.toml": "production",
}


def mutated(text: str, at: int, character: str, kind: str) -> str:
    """Return the text with one character replaced, inserted or deleted."""
    kept = at if kind == "insert" else at + 1
    return text[:at] + ("" if kind == "delete" else character) + text[kept:]


@pytest.mark.parametrize("name", ENVIRONMENTS)
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data(), character=st.characters(codec="utf-8"), kind=st.sampled_from(["replace", "insert", "delete"]))
def test_mistake_of_one_character_never_ends_in_a_traceback(
    tmp_path: Path, name: str, draw: st.DataObject, character: str, kind: str
) -> None:
    if not (tmp_path / name).exists():
        shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    text = (SHIPPED / name).read_text()
    at = draw.draw(st.integers(0, len(text) - 1))
    (tmp_path / name).write_text(mutated(text, at, character, kind))
    checks = validate(tmp_path, KEYS, env=ENVIRONMENTS[name], is_offline=True)
    for check in checks:
        assert check.is_ok is not False or name in check.detail or check.detail.startswith(str(tmp_path))
        assert "secret" not in check.detail
