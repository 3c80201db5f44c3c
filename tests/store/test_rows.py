"""Rows become values by the fields of a dataclass."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from uuid import UUID

import pytest

from loadbell.store.engine.rows import read_row

ID = UUID("018f3f60-0000-7000-8000-000000000001")


class Color(StrEnum):
    """Stored as text."""

    RED = "red"


class Size(IntEnum):
    """Stored as a number."""

    LARGE = 3


@dataclass(frozen=True)
class Part:
    """Stored as JSON."""

    name: str


@dataclass(frozen=True)
class Thing:
    """A field of each kind that a column may hold."""

    id: UUID
    name: str
    color: Color
    size: Size | None
    is_new: bool
    parts: tuple[Part, ...]
    facts: dict[str, float]
    main: Part | None
    count: int = 0


ROW = {
    "id": str(ID),
    "name": "null",
    "color": "red",
    "size": 3,
    "is_new": 1,
    "parts": '[{"name":"a"}]',
    "facts": '{"p95":1.5}',
    "main": '{"name":"b"}',
    "count": 7,
    "of_another": "column",
}
THING = Thing(ID, "null", Color.RED, Size.LARGE, True, (Part("a"),), {"p95": 1.5}, Part("b"), 7)


def test_each_column_becomes_what_its_field_says() -> None:
    """Ids, enums, truth values and JSON; text stays as it is, other columns are passed over."""
    assert read_row(Thing, ROW) == THING
    assert read_row(Thing, ROW).is_new is True


def test_nothing_stays_nothing() -> None:
    """NULL in a column that may hold none is None, whatever else it would become."""
    thing = read_row(Thing, {**ROW, "size": None, "main": None})

    assert (thing.size, thing.main) == (None, None)


def test_given_values_count_for_more_than_columns() -> None:
    """Their columns are not read, and need not be there."""
    row = {name: value for name, value in ROW.items() if name != "main"}

    assert read_row(Thing, row, main=None, name="given").name == "given"


def test_what_this_version_does_not_know_is_refused() -> None:
    """A value that no enum has is no value of ours."""
    with pytest.raises(ValueError, match="blue"):
        read_row(Thing, {**ROW, "color": "blue"})
