"""What a route says of itself beside its code; the OpenAPI document is written from it."""

from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True)
class Operation:
    """One method of one path. ``answers``: what it gives, by status; None: no body."""

    summary: str
    answers: dict[int, type[msgspec.Struct] | None]
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    refusals: tuple[int, ...] = field(default=())  #: beside those that every route with a token can give


def described(operation: Operation) -> dict[str, Any]:
    """The keyword arguments of a Litestar handler that carry ``operation``."""
    return {"opt": {"operation": operation}}


def operation_of(opt: dict[str, Any]) -> Operation | None:
    """What :func:`described` put into a handler's options."""
    found = opt.get("operation")
    return found if isinstance(found, Operation) else None
