"""Asking the server at ``LOADBELL_URL`` with the token ``LOADBELL_TOKEN``, for the commands that run elsewhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.client.api import Refused, Server, Unreachable

TIMEOUT_S = 60.0
"""How long a call may take: a Test Hook waits for its receiver, then some."""

_AN_ADDRESS = "the server's address, such as http://127.0.0.1:8025"
_PAGE = 200  # the longest that the server gives


def request(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The server's answer to a request at ``path`` below ``/api/v1``.

    Raises:
        GaveUp: the environment names no server or token, the server can't be reached, or it said no.
    """
    with _server() as server:
        return server.call(method, path, body, timeout=TIMEOUT_S)


def request_all(path: str, *, limit: int | None = None, **filters: str | int | None) -> list[dict[str, Any]]:
    """The newest ``limit`` items of the list at ``path`` (None: every one), page by page, newest first.

    Raises:
        GaveUp: as :func:`request`.
    """
    return list(islice(_items(path, _PAGE if limit is None else min(limit, _PAGE), filters), limit))


def request_lines(path: str, **filters: str | int | None) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines answer, each as it comes, however many there are.

    Raises:
        GaveUp: as :func:`request`; or the answer broke off.
    """
    with _server() as server:
        yield from server.lines(path + _query(filters), timeout=TIMEOUT_S)


def own_organization() -> int:
    """The id of the organization that the token is for.

    Raises:
        GaveUp: as :func:`request`.
    """
    return int(request("GET", "/organizations")["items"][0]["id"])


def _items(path: str, page_size: int, filters: dict[str, str | int | None]) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page = request("GET", path + _query({**filters, "limit": page_size, "cursor": cursor}))
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _query(filters: dict[str, str | int | None]) -> str:
    values = {name: value for name, value in filters.items() if value is not None}
    return f"?{urlencode(values)}" if values else ""


@contextmanager
def _server() -> Iterator[Server]:
    """The server of the environment; what goes wrong while it is asked becomes a sentence for the user."""
    url, token = (os.environ.get(name, "").strip() for name in ("LOADBELL_URL", "LOADBELL_TOKEN"))
    if not url or not token:
        missing, text = ("LOADBELL_TOKEN", "an API token of the server") if url else ("LOADBELL_URL", _AN_ADDRESS)
        raise CommandError(f"{missing} is not set. Set it to {text}.", ExitCode.USAGE)
    try:
        server = Server(url, token)
    except Refused as error:
        raise CommandError(f"{error}.", ExitCode.USAGE) from None
    try:
        yield server
    except Refused as error:
        raise CommandError(f"the server refused: {error}") from None
    except Unreachable as error:
        advice = "Check LOADBELL_URL, and that the server runs."
        raise CommandError(f"the server at {url} can't be reached: {error}. {advice}", ExitCode.UNREACHABLE) from None
