"""Reads a row into any dataclass, by the dataclass's fields."""

from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from loadbell.store.engine.db import Row

T = TypeVar("T")


def read_row(kind: type[T], row: Row, /, **values: Any) -> T:
    """Reads the row as a ``kind``: each field from the column of its name, unless ``values`` has it.

    The field's type decides the conversion: UUIDs, enums and booleans (stored as 0 or 1) are converted; tuples, lists,
    dictionaries and dataclasses are stored as JSON.

    Raises:
        ValueError: a column holds a value that this version doesn't know.
    """
    return kind(
        **values,
        **{
            name: row[name] if convert is None else convert(row[name])
            for name, convert in _fields(kind)  # type: ignore[arg-type]  # mypy: type is hashable, its type of itself says not
            if name not in values
        },
    )


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    hints = get_type_hints(kind)
    return tuple((name, _conversion(hint)) for name, hint in hints.items())


def _conversion(hint: Any) -> Callable[[Any], Any] | None:
    """Returns the converter from a column to this type; None if the column needs none."""
    if get_origin(hint) in {Union, UnionType}:
        [inner] = [part for part in get_args(hint) if part is not NoneType]
        convert = _conversion(inner)
        return None if convert is None else lambda value: None if value is None else convert(value)
    if get_origin(hint) in {tuple, dict, list} or is_dataclass(hint):
        return msgspec.json.Decoder(hint).decode
    if hint is bool or hint is UUID or (isinstance(hint, type) and issubclass(hint, Enum)):
        return hint
    return None
