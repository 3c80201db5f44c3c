"""Asking the server at ``LOADBELL_URL`` with the token ``LOADBELL_TOKEN``, for the commands that run elsewhere."""

import os
from typing import Any
from urllib.parse import quote

from loadbell.cli.exits import Exit, GaveUp
from loadbell.client.api import Refused, Server, Unreachable

PATIENCE_S = 60.0
"""How long a call may take: a Test Hook waits for its receiver, then some."""


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The server's answer to a request at ``path`` below ``/api/v1``.

    Raises:
        GaveUp: the environment names no server or token, the server can't be reached, or it said no.
    """
    url, token = (os.environ.get(name, "").strip() for name in ("LOADBELL_URL", "LOADBELL_TOKEN"))
    if not url or not token:
        missing = "LOADBELL_URL" if not url else "LOADBELL_TOKEN"
        raise GaveUp(f"{missing} is not set. Set it to the server's address, or to an API token of it.", Exit.USAGE)
    try:
        server = Server(url, token)
    except Refused as error:
        raise GaveUp(f"{error}. Correct it.", Exit.USAGE) from None
    try:
        return server.call(method, path, body, timeout=PATIENCE_S)
    except Refused as error:
        raise GaveUp(f"the server refused: {error}") from None
    except Unreachable as error:
        raise GaveUp(f"the server can't be reached: {error}. Try again.", Exit.UNREACHABLE) from None


def ask_all(path: str) -> list[dict[str, Any]]:
    """Every item of the list at ``path``, page by page, newest first.

    Raises:
        GaveUp: as :func:`ask`.
    """
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ask("GET", f"{path}?limit=200" + (f"&cursor={quote(cursor)}" if cursor else ""))
        items += page["items"]
        cursor = page["next_cursor"]
    return items


def own_organization() -> int:
    """The id of the organization that the token is for.

    Raises:
        GaveUp: as :func:`ask`.
    """
    return int(ask("GET", "/organizations")["items"][0]["id"])
