"""Converts untyped values to a Struct; errors have each wrong field's dotted path and a plain message."""

import enum
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import msgspec

from loadbell.domain.errors import FieldError, Invalid

MAX_ERRORS = 20
"""How many wrong fields one response names."""

T = TypeVar("T")

_TIME = "a time such as 2026-11-23T04:05:06Z"

_WORDS = {
    "str": "a text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
    "datetime": _TIME,
}
_BOUND = {"<=": "at most", ">=": "at least"}
_COUNTED = {"str": "characters", "array": "entries", "object": "entries"}
_MAX_KEY_LENGTH = 60


def convert_fields(tree: Mapping[str, Any], model: type[T], *, strict: bool = True) -> T:
    """Converts ``tree`` to ``model``, a Struct. Unknown keys are ignored.

    ``strict`` False parses numbers, booleans and times from texts, for query strings.

    Raises:
        Invalid: some fields are wrong; it names up to ``MAX_ERRORS``.
    """
    try:
        return msgspec.convert(tree, model, strict=strict)
    except (msgspec.ValidationError, OverflowError) as error:
        # Only errors are worth checking each field by itself.
        fields = list(islice(_wrong_fields(tree, model, "", strict=strict), MAX_ERRORS))
        raise Invalid(*(fields or [FieldError("body", str(error))])) from None


def describe(error: str, path: str, model: Any = None) -> tuple[str, str]:
    """Returns dotted path and message for msgspec's error about the value at ``path``."""
    what, _, where = error.partition(" - at ")
    inner = where.replace("`", "").removeprefix("key in ").removeprefix("$")
    steps = [step for step in re.split(r"[.\[\]]+", inner) if step]
    missing = re.fullmatch(r"Object missing required field `(.+)`", what)
    if missing:
        steps.append(missing[1])
    return ".".join([path, *steps] if path else steps), _sentence(what, model)


def _wrong_fields(tree: Mapping[str, Any], model: Any, path: str, *, strict: bool) -> Iterator[FieldError]:
    hints = typing.get_type_hints(model, include_extras=True)
    for field in msgspec.structs.fields(model):
        here = f"{path}.{field.name}" if path else field.name
        if field.name in tree:
            yield from _wrong_value(tree[field.name], hints[field.name], here, strict=strict)
        elif field.required:
            yield FieldError(here, "is required")


def _wrong_value(value: Any, model: Any, path: str, *, strict: bool) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, model, strict=strict)
    except OverflowError:
        yield FieldError(path, "this number is too large")
    except msgspec.ValidationError as error:
        struct = next(
            (part for part in _parts(model) if isinstance(part, type) and issubclass(part, msgspec.Struct)), None
        )
        plain = next((part for part in _parts(model) if typing.get_origin(part) is dict), None)
        if isinstance(value, dict) and plain is not None:
            yield from _wrong_entries(value, plain, path, str(error))
        elif isinstance(value, dict) and struct is not None:
            yield from _wrong_fields(value, struct, path, strict=strict)
        else:
            yield FieldError(*describe(str(error), path, model))


def _wrong_entries(value: dict[str, Any], model: Any, path: str, problem: str) -> Iterator[FieldError]:
    """Yields an error for each wrong entry of an object with free keys, or else one for the whole object."""
    found = False
    for key, part in value.items():
        try:
            msgspec.convert({key: part}, model)
        except OverflowError:
            found = True
            yield FieldError(f"{path}.{key[:_MAX_KEY_LENGTH]}", "this number is too large")
        except msgspec.ValidationError as error:
            found = True
            _, sentence = describe(str(error), path, model)
            if "`key` in" in str(error):
                yield FieldError(path, f"a key in it {sentence}")
            else:
                yield FieldError(f"{path}.{key[:_MAX_KEY_LENGTH]}", sentence)
    if not found:
        yield FieldError(*describe(problem, path, model))


def _parts(model: Any) -> Iterator[Any]:
    """Yields ``model`` without annotations, or the members of a union."""
    origin = typing.get_origin(model)
    if origin is typing.Annotated:
        yield from _parts(typing.get_args(model)[0])
    elif origin in {typing.Union, types.UnionType}:
        for part in typing.get_args(model):
            yield from _parts(part)
    else:
        yield model


def _sentence(what: str, model: Any) -> str:
    if what.startswith("Invalid enum value"):
        choices = list(_choices(model))
        return f"must be one of {', '.join(choices)}" if choices else "is not a known value"
    return next((say(match) for pattern, say in _SENTENCES if (match := pattern.match(what))), what)


def _to_words(names: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in names.split(" | "))


def _choices(model: Any) -> Iterator[str]:
    """Yields the values of the first enum or Literal in ``model``, at any depth."""
    for part in _parts(model):
        if isinstance(part, enum.EnumType):
            members: Iterator[enum.Enum] = iter(part)
            yield from (str(member.value) for member in members)
            return
        if typing.get_origin(part) is typing.Literal:
            yield from map(str, typing.get_args(part))
            return
        for inner in typing.get_args(part):
            items = list(_choices(inner))
            if items:
                yield from items
                return


_SENTENCES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(r"Object missing required field"), lambda _: "is required"),
    (
        re.compile(r"Expected `(.+)`, got `(.+)`"),
        lambda found: f"must be {_to_words(found[1])}, not {_to_words(found[2])}",
    ),
    (
        re.compile(r"Expected `(\w+)(?: \| null)?` of length (<=|>=) (\d+)"),
        lambda found: (
            "must not be empty"
            if (found[2], found[3]) == (">=", "1")
            else f"must have {_BOUND[found[2]]} {int(found[3]):,} {_COUNTED.get(found[1], 'entries')}"
        ),
    ),
    (re.compile(r"Expected `.+` (<=|>=) (\S+)"), lambda found: f"must be {_BOUND[found[1]]} {found[2]}"),
    (re.compile(r".* matching regex '(.*)'"), lambda found: f"must match the pattern {found[1]}"),
    (re.compile(r"(Number|Integer value) out of range"), lambda _: "this number is too large"),
    (re.compile(r".*(RFC3339|timezone)"), lambda _: f"must be {_TIME}, with its time zone"),
]
"""msgspec's errors, by pattern, and our wording."""
