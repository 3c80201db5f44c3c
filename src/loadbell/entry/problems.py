"""
Errors as responses: problem+json (RFC 9457), the same for every front end with JSON.

``code`` is what a program compares; ``type`` is the same word as a URI reference, ``/problems/CODE``; ``detail`` is
the sentence for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from litestar import Response
from litestar.types import Send

from loadbell.domain.errors import (
    Conflict,
    Forbidden,
    IllegalMove,
    Invalid,
    NotFound,
    RateLimited,
    Refused,
    Unauthenticated,
    Unavailable,
)
from loadbell.domain.ids import SECOND

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class MalformedBody(Refused):
    """The body can't be read as JSON at all."""


class TooLarge(Refused):
    """The body is over the size limit."""


class UnsupportedMediaType(Refused):
    """The body is declared as something other than JSON."""


class Misdirected(Refused):
    """The request names another host."""


class WrongField(msgspec.Struct):
    """An invalid field: its dotted path in the request, and the error."""

    field: str
    message: str


class Problem(msgspec.Struct):
    """Why a request was refused (RFC 9457). Compare `code`; show `detail`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[WrongField]


@dataclass(frozen=True)
class Kind:
    """The HTTP form of one kind of error."""

    status: HTTPStatus
    code: str
    title: str


# The first match counts: a subclass comes before its base class.
_KINDS: dict[type[Refused], Kind] = {
    MalformedBody: Kind(HTTPStatus.BAD_REQUEST, "malformed_body", "The body isn't valid JSON"),
    Unauthenticated: Kind(HTTPStatus.UNAUTHORIZED, "unauthenticated", "Not authenticated"),
    Forbidden: Kind(HTTPStatus.FORBIDDEN, "forbidden", "Not allowed"),
    NotFound: Kind(HTTPStatus.NOT_FOUND, "not_found", "Not found"),
    RateLimited: Kind(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
    IllegalMove: Kind(HTTPStatus.CONFLICT, "illegal_move", "Not possible in the current status"),
    Conflict: Kind(HTTPStatus.CONFLICT, "conflict", "Conflict with the current state"),
    TooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The body is too large"),
    UnsupportedMediaType: Kind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body isn't JSON"),
    Misdirected: Kind(HTTPStatus.MISDIRECTED_REQUEST, "misdirected", "Wrong host name for this server"),
    Invalid: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "A field is invalid"),
    Unavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "The service is unavailable"),
}

METHOD_NOT_ALLOWED = Kind(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
REQUEST_TIMEOUT = Kind(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request took too long to arrive")
URI_TOO_LONG = Kind(HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The URL is too long")
HEADERS_TOO_LARGE = Kind(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "Too many or too large headers"
)
BAD_REQUEST = Kind(HTTPStatus.BAD_REQUEST, "bad_request", "Not a valid HTTP/1.1 request")
INTERNAL = Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "loadbell failed")

CODES: tuple[str, ...] = tuple(kind.code for kind in (*_KINDS.values(), METHOD_NOT_ALLOWED, INTERNAL))
"""Every code that a route may return."""

CONNECTION_PROBLEMS = (BAD_REQUEST, REQUEST_TIMEOUT, URI_TOO_LONG, HEADERS_TOO_LARGE)
"""The problems of requests that reach no route."""


def refuse(refusal: Refused) -> Response[bytes]:
    """The problem response for ``refusal``."""
    kind = next(kind for refused, kind in _KINDS.items() if isinstance(refusal, refused))
    errors: list[WrongField] = []
    if isinstance(refusal, Invalid):
        errors = [WrongField(error.field, error.message) for error in refusal.errors]
    headers = {}
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(refusal, RateLimited):
        headers["Retry-After"] = str(max(-(-refusal.wait // SECOND), 1))
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return problem(kind, str(refusal), errors, headers)


def problem(
    kind: Kind, detail: str, errors: list[WrongField] | None = None, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """A problem response of ``kind``."""
    told = Problem(f"/problems/{kind.code}", kind.title, kind.status.value, detail, kind.code, errors or [])
    return Response(
        msgspec.json.encode(told),
        status_code=kind.status.value,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


async def send_problem(answered: Response[bytes], send: Send) -> None:
    """Sends a response outside of the framework."""
    headers = [(name.lower().encode(), value.encode()) for name, value in answered.headers.items()]
    headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(answered.content)).encode())]
    status = answered.status_code or INTERNAL.status.value
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answered.content, "more_body": False})
