"""Heads of any size: what is too long is refused before anything reads it, and the server is there meanwhile."""

import http.client
import json
import time
from urllib.parse import urlsplit

import pytest

from loadbell.entry.request_limits import MAX_HEADERS, MAX_HEADERS_SIZE, MAX_PATH_LENGTH, MAX_QUERY_LENGTH
from tests.api.site import ApiSite
from tests.support.server import Answer

FROZEN_SECONDS = 5.0
"""Far beyond what any of these takes, and far below what they took when one of them could hold up the server."""

LONG_PATHS = {
    "slashes": "/" * 60_000,
    "escaped slashes": "/" + "%2F" * 60_000,
    "prefixes": "/v1/x" * 12_000,
    "one name": "/" + "a" * 60_000,
    "dots": "/.." * 20_000,
    "escapes": "/" + "%" * 60_000,
    "of a page": "/runs/" + "1" * 60_000,
    "of REST": "/api/v1/runs/" + "1" * 60_000,
    "a byte too many": "/" * (MAX_PATH_LENGTH + 1),
}


def send_request(
    site: ApiSite, target: str, headers: list[tuple[str, str]] | None = None, method: str = "GET"
) -> Answer:
    """One request, sent as it is."""
    parts = urlsplit(site.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers or []:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


@pytest.mark.parametrize("path", LONG_PATHS.values(), ids=LONG_PATHS.keys())
@pytest.mark.parametrize("method", ["GET", "POST", "PROPFIND"])
def test_a_long_path_is_refused_at_once(still_site: ApiSite, path: str, method: str) -> None:
    """414 as a problem, without a credential, whatever the path is made of; nobody has to wait for it."""
    began = time.monotonic()
    answer = send_request(still_site, path, method=method)
    took = time.monotonic() - began

    assert 414 == answer.status
    assert "application/problem+json" == answer.headers["content-type"]
    assert "uri_too_long" == json.loads(answer.body)["code"]
    assert took < FROZEN_SECONDS


def test_a_path_within_the_limit_is_routed(still_site: ApiSite) -> None:
    """The longest that is taken leads where it leads: to the root, nowhere, or to k6's part of it."""
    assert 303 == send_request(still_site, "/" * MAX_PATH_LENGTH).status
    assert 303 == send_request(still_site, "/" + "%2F" * ((MAX_PATH_LENGTH - 1) // 3)).status
    assert 404 == send_request(still_site, "/" + "%2e" * ((MAX_PATH_LENGTH - 1) // 3)).status
    assert 401 == send_request(still_site, "/x" * 1_000 + "/v1/tests", method="POST").status


def test_a_long_query_is_refused(still_site: ApiSite) -> None:
    """414 over the limit; up to it any number of fields is read."""
    most = "a=&" * (MAX_QUERY_LENGTH // 3)

    assert 200 == still_site.client.call("GET", f"/runs?{most}").status
    assert 414 == still_site.client.call("GET", f"/runs?{most}limit=1").status
    assert 414 == send_request(still_site, "/login?next=" + "%2F" * 20_000).status


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Many", "1")] * (MAX_HEADERS + 1),
        [("X-Long", "x" * MAX_HEADERS_SIZE)],
        [("Cookie", "a=b; " * (MAX_HEADERS_SIZE // 5 + 1))],
        [("X-Forwarded-For", "10.0.0.1," * 6_000)],
        [("X-Part", "x" * 1_000)] * 40,
        [("X-Endless", "x" * 300_000)],
        [("X-Endless", "1")] * 30_000,
    ],
    ids=["many", "long", "cookies", "proxies", "together", "far beyond", "far too many"],
)
def test_large_headers_are_refused(still_site: ApiSite, headers: list[tuple[str, str]]) -> None:
    """431 as a problem, also where the head is so large that its end is not awaited."""
    answer = send_request(still_site, "/login", headers)

    assert 431 == answer.status
    assert "headers_too_large" == json.loads(answer.body)["code"]


@pytest.mark.parametrize(
    "header",
    [
        ("Cookie", "a=" + '"\\' * 15_000),
        ("Cookie", ";" * 30_000),
        ("Cookie", "loadbell_session=" * 1_800),
        ("Accept", "text/html;q=0," * 2_000),
        ("Accept-Language", "a-" * 15_000),
        ("Authorization", "Bearer " + "lb_" * 10_000),
        ("Authorization", " " * 30_000),
        ("X-Request-ID", "a" * 30_000 + "\\"),
        ("Content-Type", "multipart/form-data;" + "a=b;" * 7_000),
        ("Content-Type", 'multipart/form-data; boundary="' + '\\"' * 14_000),
        ("Content-Length", "0" * 30_000),
        ("Origin", "http:" * 6_000),
    ],
    ids=lambda header: f"{header[0]} {header[1][:12]}",
)
@pytest.mark.parametrize("target", ["/login", "/v1/tests", "/api/v1/runs"])
def test_the_worst_header_within_the_limit_freezes_nobody(
    still_site: ApiSite, header: tuple[str, str], target: str
) -> None:
    """Whatever reads a header takes time in step with its length: an answer that is none of a failure, soon."""
    token = [] if header[0] == "Authorization" else [("Authorization", f"Bearer {still_site.ours.token}")]
    began = time.monotonic()
    answers = [send_request(still_site, target, [*token, header], method) for method in ("GET", "POST")]
    took = time.monotonic() - began

    assert all(answer.status < 500 for answer in answers)
    assert took < FROZEN_SECONDS
