"""Margin rules by date: data of the release, since regulators change them."""

import datetime as dt
import importlib.resources
import tomllib
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from holdfast.settings.schema import Section

FILE = "margin_rules.toml"
E9 = 1_000_000_000
PERCENT = E9 // 100
EPOCH = dt.date(1970, 1, 1)

Share = Annotated[Decimal, Field(gt=0, le=200, allow_inf_nan=False)]


class MarginRules(Section):
    """The rules from a day on."""

    from_: dt.date = Field(alias="from")
    initial_percent: Share
    maintenance_long_percent: Share
    maintenance_short_percent: Share
    equity_min_usd: Annotated[Decimal, Field(ge=0, le=10_000_000, allow_inf_nan=False)]

    def native(self) -> tuple[int, int, int, int, int]:
        """Return first day since 1970, the shares and the least equity, rounded up, as the calendar takes them."""
        shares = (self.initial_percent, self.maintenance_long_percent, self.maintenance_short_percent)
        initial_e9, long_e9, short_e9 = (_up(share * PERCENT) for share in shares)
        return (self.from_ - EPOCH).days, initial_e9, long_e9, short_e9, _up(self.equity_min_usd * E9)


class MarginRulesFile(Section):
    """The whole of margin_rules.toml."""

    rules: tuple[MarginRules, ...] = Field(min_length=1)


def load_margin_rules() -> list[tuple[int, int, int, int, int]]:
    """Return the release's rules, the oldest first."""
    text = importlib.resources.files("holdfast.settings").joinpath(FILE).read_text()
    return [rules.native() for rules in MarginRulesFile.model_validate(tomllib.loads(text, parse_float=Decimal)).rules]


def _up(value: Decimal) -> int:
    return -int(-value // 1)
