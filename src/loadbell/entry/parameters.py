"""
Query strings and cookies, read anew for each request.

Litestar's own readers keep the last 1,024 of each in memory, however large what they made of them is, and take the
square of the length over a cookie in quotation marks, as Python does before 3.11.10 (CVE-2024-7592).
"""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from litestar.types import HTTPScope

_COOKIE = b"cookie"


def read_query(query: bytes) -> dict[str, str]:
    """The query string by name; of a name that stands there several times, the first value."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return dict(reversed(pairs))


def read_cookies(scope: HTTPScope, names: Iterable[str]) -> dict[str, str]:
    """The cookies of these ``names`` that came with a request; of one that came several times, the last value."""
    items = frozenset(names)
    header = next((value for name, value in scope["headers"] if name.lower() == _COOKIE), b"")
    found = {}
    for part in header.decode("latin-1").split(";"):
        name, _, value = part.partition("=")
        if (name := name.strip()) in items:
            found[name] = _unquote(value.strip())
    return found


def _unquote(value: str) -> str:
    """Without the quotation marks in which a value with ``=`` in it was set."""
    return value[1:-1] if len(value) > 1 and value[0] == '"' == value[-1] else value
