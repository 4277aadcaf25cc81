"""Borrow rules by date: data of the release, since the venue changes them."""

import datetime as dt
import importlib.resources
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import Field

from holdfast.settings.schema import Section

FILE = "borrow_rules.toml"
NEEDED = ("tradable", "shortable")


class BorrowRules(Section):
    """The rules from a day on: which field of the venue's asset tells, and which of its values allow a short."""

    from_: dt.date = Field(alias="from")
    field: Annotated[str, Field(min_length=1)]
    allowed: Annotated[tuple[str, ...], Field(min_length=1)]

    def is_shortable(self, asset: Mapping[str, object]) -> bool:
        """Whether an asset, as the venue writes it, may be sold short; what it does not say is a no."""
        is_open = all(asset.get(name) is True for name in NEEDED)
        return is_open and str(asset.get(self.field)).lower() in self.allowed


class BorrowRulesFile(Section):
    """The whole of borrow_rules.toml."""

    rules: tuple[BorrowRules, ...] = Field(min_length=1)


@cache
def load_borrow_rules() -> tuple[BorrowRules, ...]:
    """Return the release's rules, the oldest first."""
    text = importlib.resources.files("holdfast.settings").joinpath(FILE).read_text()
    return BorrowRulesFile.model_validate(tomllib.loads(text)).rules


def borrow_rules_at(day: dt.date) -> BorrowRules | None:
    """Return the rules of a date; None before the first: nothing is sold short then."""
    return next((rules for rules in reversed(load_borrow_rules()) if rules.from_ <= day), None)
