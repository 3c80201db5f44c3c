"""
Parses query strings and cookies, without a cache.

Litestar's own parsers keep the last 1,024 results in memory, whatever their size, and take quadratic time for a quoted
cookie, as Python does before 3.11.10 (CVE-2024-7592).
"""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from litestar.types import HTTPScope

_COOKIE = b"cookie"


def read_query(query: bytes) -> dict[str, str]:
    """The parameters by name; of repeated ones the first value."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return dict(reversed(pairs))


def read_cookies(scope: HTTPScope, names: Iterable[str]) -> dict[str, str]:
    """The request's cookies with these ``names``; of repeated ones the last value."""
    items = frozenset(names)
    header = next((value for name, value in scope["headers"] if name.lower() == _COOKIE), b"")
    found = {}
    for part in header.decode("latin-1").split(";"):
        name, _, value = part.partition("=")
        if (name := name.strip()) in items:
            found[name] = _unquote(value.strip())
    return found


def _unquote(value: str) -> str:
    """Removes the quotation marks around a value with ``=``."""
    return value[1:-1] if len(value) > 1 and value[0] == '"' == value[-1] else value
