"""Requests to the server at ``LOADBELL_URL`` with the token ``LOADBELL_TOKEN``, for commands that run elsewhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from loadbell.cli.errors import CommandError, ExitCode
from loadbell.client.api import Refused, Server, Unreachable

TIMEOUT_S = 60.0
"""How long a request may take. A Test Hook waits for its receiver, so this is longer than its timeout."""

_AN_ADDRESS = "the server's URL, for example http://127.0.0.1:8025"
_PAGE = 200  # the server's limit


def request(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The server's response to a request to ``path`` below ``/api/v1``.

    Raises:
        CommandError: the environment names no server or token, or the server is unreachable or refused the request.
    """
    with _server() as server:
        return server.call(method, path, body, timeout=TIMEOUT_S)


def request_all(path: str, *, limit: int | None = None, **filters: str | int | None) -> list[dict[str, Any]]:
    """The newest ``limit`` items of the list at ``path`` (None: every one), page by page, newest first.

    Raises:
        CommandError: as :func:`request`.
    """
    return list(islice(_items(path, _PAGE if limit is None else min(limit, _PAGE), filters), limit))


def request_lines(path: str, **filters: str | int | None) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines response, yielded as they arrive.

    Raises:
        CommandError: as :func:`request`; or the response was cut off.
    """
    with _server() as server:
        yield from server.lines(path + _query(filters), timeout=TIMEOUT_S)


def own_organization() -> int:
    """The id of the organization that the token is for.

    Raises:
        CommandError: as :func:`request`.
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
    """The server that the environment names. Failed requests become a ``CommandError``."""
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
        advice = "Check LOADBELL_URL and that the server is running."
        raise CommandError(f"the server at {url} can't be reached: {error}. {advice}", ExitCode.UNREACHABLE) from None
