"""What a route says of itself beside its code; the OpenAPI document is written from it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec


class Credential(Enum):
    """What a route asks for in the Authorization header; the names of the document's security schemes."""

    TOKEN = "token"  # noqa: S105 - the name of a scheme, not a secret
    SESSION = "session"
    NONE = "none"


@dataclass(frozen=True)
class Operation:
    """One method of one path. ``answers``: what it gives, by status; None: no body."""

    summary: str
    answers: dict[int, type[msgspec.Struct] | None]
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    credential: Credential = Credential.TOKEN
    refusals: tuple[int, ...] = field(default=())  #: beside those that every route of its kind can give
    media_type: str = "application/json"  #: of the answers that have a body


def described(operation: Operation) -> dict[str, Any]:
    """The keyword arguments of a Litestar handler that carry ``operation``."""
    return {"opt": {"operation": operation}}


def operation_of(opt: dict[str, Any]) -> Operation | None:
    """What :func:`described` put into a handler's options."""
    found = opt.get("operation")
    return found if isinstance(found, Operation) else None
