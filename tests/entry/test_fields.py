"""Fields that are wrong are named by a dotted path and told in plain words."""

from contextlib import suppress
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.errors import FieldError, Invalid
from loadbell.entry.bodies import MAX_BODY_SIZE, decode_body
from loadbell.entry.fields import convert_fields
from loadbell.entry.problems import MalformedBody, UnsupportedMediaType


class Colour(IntEnum):
    """Some words."""

    RED = 1
    BLUE = 2


class Part(msgspec.Struct):
    """Something inside."""

    title: Annotated[str, msgspec.Meta(min_length=2, max_length=3)]
    size: int = 0


class Model(msgspec.Struct, kw_only=True):
    """One field of each sort."""

    name: str
    colour: Colour | None = None
    colours: list[Colour] | None = None
    side: Literal["left", "right"] | None = None
    filled: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    part: Part | None = None
    parts: Annotated[list[Part], msgspec.Meta(max_length=2)] | None = None
    numbers: dict[str, float] | None = None
    when: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None


@pytest.mark.parametrize(
    ("field", "value", "path", "message"),
    [
        ("name", 5, "name", "must be a text, not an integer"),
        ("name", None, "name", "must be a text, not null"),
        ("colour", 3, "colour", "must be one of 1, 2"),
        ("colour", "red", "colour", "must be an integer or null, not a text"),
        ("colours", [1, 7], "colours.1", "must be one of 1, 2"),
        ("side", "up", "side", "must be one of left, right"),
        ("filled", "", "filled", "must not be empty"),
        ("part", {"title": "x"}, "part.title", "must have at least 2 characters"),
        ("part", {"size": 1}, "part.title", "is required"),
        ("part", [], "part", "must be an object or null, not a list"),
        ("parts", [{"title": "abc"}, {"title": "abcd"}], "parts.1.title", "must have at most 3 characters"),
        ("parts", [{}], "parts.0.title", "is required"),
        ("parts", [{"title": "abc"}] * 3, "parts", "must have at most 2 entries"),
        ("numbers", {"a": 1, "b.c": "x"}, "numbers.b.c", "must be a number, not a text"),
        ("numbers", {"a": 10**400}, "numbers.a", "this number is too large"),
        ("when", "tomorrow", "when", "must be a time such as 2026-11-23T04:05:06Z, with its time zone"),
        ("when", "2026-11-23T04:05:06", "when", "must be a time such as 2026-11-23T04:05:06Z, with its time zone"),
        ("limit", 0, "limit", "must be at least 1"),
        ("limit", 2**64, "limit", "must be at most 9"),
        ("limit", True, "limit", "must be an integer or null, not true or false"),
    ],
)
def test_a_wrong_field_is_told_in_words(field: str, value: Any, path: str, message: str) -> None:
    """The path leads to the very part that is wrong, and the sentence says what it must be."""
    with pytest.raises(Invalid) as caught:
        convert_fields({"name": "n", field: value}, Model)

    assert [(path, message)] == [(error.field, error.message) for error in caught.value.errors]


def test_all_wrong_fields_are_told_at_once() -> None:
    """One answer names each field that is wrong, up to twenty."""
    with pytest.raises(Invalid) as caught:
        convert_fields({"colour": 9, "part": {"title": "x", "size": "y"}, "limit": 0}, Model)
    with pytest.raises(Invalid) as many:
        convert_fields({"name": "n", "numbers": dict.fromkeys(map(str, range(100)), "x")}, Model)

    assert ["name", "colour", "part.title", "part.size", "limit"] == [error.field for error in caught.value.errors]
    assert 20 == len(many.value.errors)


def test_a_query_reads_numbers_and_words_from_text() -> None:
    """In a query, which has only texts, numbers are read from them."""
    assert Model(name="n", colour=Colour.BLUE, limit=9) == convert_fields(
        {"name": "n", "colour": "2", "limit": "9", "else": "x"}, Model, strict=False
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json ; charset="UTF-8"; x=y',
    ],
)
def test_json_in_utf_8_is_read_however_it_is_spelled(content_type: str) -> None:
    """Case, spaces and quotes in Content-Type make no difference."""
    assert Model(name="é") == decode_body('{"name": "é"}'.encode(), content_type, Model)


@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_do_more_than_be_refused(raw: bytes) -> None:
    """Whatever is sent, the body is understood or refused as one of the three."""
    with suppress(MalformedBody, Invalid):
        decode_body(raw, "application/json", Model)
    with pytest.raises(UnsupportedMediaType):
        decode_body(raw, "text/plain", Model)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = ("name", "colour", "colours", "part", "parts", "numbers", "when", "limit", "else")


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON))
def test_no_json_does_more_than_be_refused(tree: dict[str, Any]) -> None:
    """Any JSON object becomes the Struct, or each wrong field is named by a path that begins with one of its fields."""
    raw = msgspec.json.encode(tree)
    assert len(raw) <= MAX_BODY_SIZE
    fields: tuple[FieldError, ...] | None = None
    try:
        decode_body(raw, "application/json", Model)
    except Invalid as refusal:
        fields = refusal.errors

    assert fields != ()
    assert {error.field.split(".")[0] for error in fields or ()} <= set(_FIELDS)
