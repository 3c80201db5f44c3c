"""Asking the server at ``LOADBELL_URL`` with the token ``LOADBELL_TOKEN``, for the commands that run elsewhere."""

import os
from typing import Any
from urllib.parse import quote

from loadbell.cli.exits import Exit, GaveUp
from loadbell.client.api import Refused, Server, Unreachable

PATIENCE_S = 60.0
"""How long a call may take: a Test Hook waits for its receiver, then some."""

_AN_ADDRESS = "the server's address, such as http://127.0.0.1:8025"


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The server's answer to a request at ``path`` below ``/api/v1``.

    Raises:
        GaveUp: the environment names no server or token, the server can't be reached, or it said no.
    """
    url, token = (os.environ.get(name, "").strip() for name in ("LOADBELL_URL", "LOADBELL_TOKEN"))
    if not url or not token:
        missing, wanted = ("LOADBELL_TOKEN", "an API token of the server") if url else ("LOADBELL_URL", _AN_ADDRESS)
        raise GaveUp(f"{missing} is not set. Set it to {wanted}.", Exit.USAGE)
    try:
        server = Server(url, token)
    except Refused as error:
        raise GaveUp(f"{error}. Correct it.", Exit.USAGE) from None
    try:
        return server.call(method, path, body, timeout=PATIENCE_S)
    except Refused as error:
        raise GaveUp(f"the server refused: {error}") from None
    except Unreachable as error:
        advice = "Check LOADBELL_URL, and that the server runs."
        raise GaveUp(f"the server at {url} can't be reached: {error}. {advice}", Exit.UNREACHABLE) from None


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
