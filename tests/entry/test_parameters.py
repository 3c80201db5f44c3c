"""Query strings and cookies: what they say, at a cost in step with their length, and nothing of them is kept."""

import gc
import time
import tracemalloc
from typing import Any
from urllib.parse import urlencode

import pytest
from litestar import _parsers

from loadbell.entry.parameters import read_cookies, read_query
from loadbell.entry.request_limits import MAX_HEADERS_SIZE, MAX_QUERY_LENGTH
from tests.api.conftest import _quiet, new_store, still_site
from tests.api.site import ApiSite
from tests.support.server import Client

__all__ = ["_quiet", "new_store", "still_site"]

MIB = 2**20


def cookies(header: str) -> dict[str, str]:
    """The cookies ``a`` and ``b`` of a request."""
    scope: Any = {"headers": [(b"Cookie", header.encode("latin-1")), (b"cookie", b"a=second header")]}
    return read_cookies(scope, ("a", "b"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a=1; b=2; c=3", {"a": "1", "b": "2"}),
        ("  a = 1 ;b=2;", {"a": "1", "b": "2"}),
        ('a="gAAA=="; b="', {"a": "gAAA==", "b": '"'}),
        ("a=1; a=2", {"a": "2"}),
        ("a=x=y", {"a": "x=y"}),
        ("aa=1; A=2; =3; ;;", {}),
        ("a=\xff%41", {"a": "\xff%41"}),
        ("", {}),
    ],
)
def test_cookies(header: str, expected: dict[str, str]) -> None:
    """Those that are asked for, without quotation marks; of one that came twice, the last."""
    assert expected == cookies(header)


def test_a_query() -> None:
    """Decoded; of a name that stands there twice the first value counts; an empty value is one."""
    assert {"a": "1", "b": "", "c d": "\u00e9\ufffd"} == read_query(b"a=1&a=2&b=&c+d=%C3%A9%FF")


@pytest.mark.parametrize("letters", ["\\", '\\"', "\\0", "\\377", ";", "=", "%", '"', "; a=", "a"])
def test_a_cookie_costs_little(letters: str) -> None:
    """Whatever stands in it, as long as all headers may be: Python's own reader took seconds, for quotation marks."""
    header = 'a="' + letters * (MAX_HEADERS_SIZE // len(letters)) + '"'
    began = time.thread_time()
    cookies(header)

    assert time.thread_time() - began < 0.25


def test_nothing_of_a_request_is_kept(still_site: ApiSite) -> None:
    """Of the largest queries and cookies, sent by somebody who is nobody, nothing stays in memory."""
    nobody = Client(still_site.url)
    caches = (_parsers.parse_query_string, _parsers.parse_cookie_string, _parsers.parse_url_encoded_form_data)
    before = [cache.cache_info().currsize for cache in caches]
    for number in range(20):
        query = urlencode({f"{number}x{at}": "" for at in range(400)})
        sent = "; ".join(f"{number}y{at}=" for at in range(1_000))
        for path in ("//login", "/runs", "//runs/1"):
            nobody.call("GET", f"{path}?{query}", headers={"Cookie": sent})
    assert before == [cache.cache_info().currsize for cache in caches]


def test_nothing_of_what_is_parsed_is_kept() -> None:
    """Of thirty of the largest queries and cookies, which take several MiB each, nothing stays in memory."""
    tracemalloc.start()
    try:
        for number in range(30):
            read_query("&".join(f"{number}x{at:x}" for at in range(MAX_QUERY_LENGTH // 8)).encode())
            cookies("; ".join(f"{number}y{at:x}=" for at in range(MAX_HEADERS_SIZE // 9)))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < MIB
    finally:
        tracemalloc.stop()
