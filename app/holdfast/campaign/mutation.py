"""Configurations that must never run: a good one with one limit missing, zero, negative, unlimited or no number."""

import random
import re
import shutil
from pathlib import Path

from holdfast.settings.risk_limits import FILE

NUMBER = re.compile(r"^(?P<key>\w+) = (?P<value>[\d.]+)$", re.MULTILINE)
# What stands in the place of a limit's line, by name.
LINES = {
    "missing": "",
    "zero": "{key} = 0",
    "negative": "{key} = -1",
    "not_a_number": "{key} = nan",
    "unlimited": "{key} = inf",
    "beyond_its_ceiling": "{key} = 1e18",
    "a_word": '{key} = "ten"',
    "misspelt": "{key}s = {value}",
}


def mutations(text: str) -> list[tuple[str, int]]:
    """Return every mutation of a limits file: its name and which of the file's numbers it changes."""
    return [(name, place) for place, _ in enumerate(NUMBER.finditer(text)) for name in LINES]


def mutated(text: str, name: str, place: int) -> str:
    """Return a limits file with one of its numbers changed."""
    found = list(NUMBER.finditer(text))[place]
    return text[: found.start()] + LINES[name].format(**found.groupdict()) + text[found.end() :]


def write_mutation(config_dir: Path, directory: Path, *, seed: int) -> str:
    """Copy a configuration with one limit changed, by the seed; returns what was changed."""
    shutil.copytree(config_dir, directory)
    text = (config_dir / FILE).read_text()
    name, place = random.Random(f"mutation {seed}").choice(mutations(text))  # noqa: S311 - replayable
    (directory / FILE).write_text(mutated(text, name, place))
    return f"{list(NUMBER.finditer(text))[place]['key']} {name}"
