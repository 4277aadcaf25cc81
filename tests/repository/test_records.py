"""The names of records and their fields: PascalCase, and a unit or a closed meaning on every integer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from holdfast import _native
from holdfast._native import RECORDS

if TYPE_CHECKING:
    from holdfast._native import Record

# What an integer field's name ends with: its scale, its unit, or what it numbers.
UNITS = ("_e9", "_ns", "_seq", "_hash", "_count", "_code", "_id", "_exchange")
# Counts and codes of the venue whose word is their unit.
BARE = {"exchange", "tape", "flags"}
COUNTS = re.compile(r"^(?:orders|fills|positions)_[a-z]+$")
BOOLEANS = re.compile(r"^(?:is|has)_[a-z_]+$")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_record_is_named_in_pascal_case_and_documented(record: type[Record]) -> None:
    assert re.fullmatch(r"(?:[A-Z][a-z]+)+", record.__name__)
    assert record.__doc__
    assert getattr(_native, record.__name__) is record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_integer_field_has_its_unit_in_its_name(record: type[Record]) -> None:
    absent = record()
    integers = [field for field in record.FIELDS if type(getattr(absent, field)) is int]
    unclear = [
        field
        for field in integers
        if not (field.endswith(UNITS) or field in BARE or COUNTS.match(field) or BOOLEANS.match(field))
    ]
    assert unclear == []


def test_kinds_are_unique() -> None:
    kinds = [record.KIND for record in RECORDS]
    assert len(set(kinds)) == len(kinds)
