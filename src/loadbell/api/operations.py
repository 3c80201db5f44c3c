"""What the OpenAPI document is written from: :func:`loadbell.api.routes.route` makes it of each handler."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

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
    answers: Mapping[int, type[msgspec.Struct] | None]
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    credential: Credential
    refusals: tuple[int, ...]  #: beside those that every route of its kind can give
    media_type: str  #: of the answers that have a body
