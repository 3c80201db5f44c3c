"""
Limits a request's head before anything parses it, and the number of requests handled at once.

So all code that parses a path, a query string or headers gets texts of bounded length.
"""

from collections.abc import Callable

from litestar import Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from loadbell.domain.errors import Unavailable
from loadbell.entry.problems import HEADERS_TOO_LARGE, URI_TOO_LONG, problem, refuse, send_problem

MAX_PATH_LENGTH = 2_048
"""Bytes of a path, as sent."""

MAX_QUERY_LENGTH = 8_192
"""Bytes of a query string."""

MAX_HEADERS = 100
MAX_HEADERS_SIZE = 32 * 1024
"""Bytes of all headers, names and values."""


HEALTH_PATHS = frozenset({"/healthz", "/readyz"})

AT_END = "at_end"
"""The key in a request's state for callbacks after it was answered or given up."""


class RequestLimits:
    """Wraps an application; it gets only requests whose head is within the limits.

    Up to ``at_once`` requests are handled at the same time; health checks are answered beyond that, too.
    """

    def __init__(self, application: ASGIApp, at_once: int) -> None:
        self._application = application
        self._at_once = at_once
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._application(scope, receive, send)
            return
        refusal = _refusal(scope)
        if refusal is None and self._now >= self._at_once and scope["path"] not in HEALTH_PATHS:
            refusal = refuse(Unavailable("The server is overloaded. Send the request again."))
        if refusal is not None:
            await send_problem(refusal, send)
            return
        self._now += 1
        scope["state"][AT_END] = at_end = list[Callable[[], None]]()
        try:
            await self._application(scope, receive, send)
        finally:
            self._now -= 1
            for give_back in at_end:
                give_back()


def address_too_long() -> Response[bytes]:
    """The response to a path or query string over the limit."""
    detail = f"A path may have {MAX_PATH_LENGTH:,} bytes and a query string {MAX_QUERY_LENGTH:,}. Shorten the address."
    return problem(URI_TOO_LONG, detail)


def headers_too_large() -> Response[bytes]:
    """The response to headers over a limit."""
    detail = (
        f"A request may have {MAX_HEADERS} headers of {MAX_HEADERS_SIZE // 1024} KiB in all. "
        "Send fewer; in a browser, delete the cookies of this site."
    )
    return problem(HEADERS_TOO_LARGE, detail)


def _refusal(scope: Scope) -> Response[bytes] | None:
    if len(scope["raw_path"]) > MAX_PATH_LENGTH or len(scope["query_string"]) > MAX_QUERY_LENGTH:
        return address_too_long()
    headers = list(scope["headers"])
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS_SIZE:
        return headers_too_large()
    return None
