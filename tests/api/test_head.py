"""HEAD is answered as GET, without the body (RFC 9110 section 9.3.2)."""

import http.client
from urllib.parse import urlsplit

import pytest

from loadbell.web.rendering import VERSION
from tests.api.site import ApiSite

OWN = {"date", "x-request-id", "set-cookie"}
"""Headers that differ between any two answers."""


def head_and_get(site: ApiSite, path: str, token: str | None = None) -> list[tuple[int, dict[str, str], bytes]]:
    """What HEAD and GET say on one connection: a body after HEAD's would be read as the head of GET's."""
    parts = urlsplit(site.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        said = []
        for method in ("HEAD", "GET"):
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders() if name.lower() not in OWN}
            said.append((response.status, names, response.read()))
        return said
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/login", 200),
        ("/runs", 303),
        ("/nothing", 404),
        (f"/static/{VERSION}/htmx.min.js", 200),
        ("/api/v1/openapi.json", 200),
        ("/api/v1/runs", 200),
        ("/api/v1/runs/999999", 404),
        ("/api/v1/sessions/1", 405),
        ("/v1/tests", 404),
    ],
)
def test_head_says_what_get_says(still_site: ApiSite, path: str, status: int) -> None:
    """The same status and headers, Content-Length among them, and no body."""
    head, got = head_and_get(still_site, path, still_site.ours.token)

    assert status == head[0]
    assert got[:2] == head[:2]
    assert b"" == head[2]
    assert str(len(got[2])) == head[1]["content-length"]


def test_head_asks_for_the_same_credential(still_site: ApiSite) -> None:
    """401 without a token, as GET."""
    head, got = head_and_get(still_site, "/api/v1/runs")

    assert 401 == head[0]
    assert got[:2] == head[:2]


def test_the_document_does_not_list_head(still_site: ApiSite) -> None:
    """OpenAPI describes GET; that HEAD goes with it is HTTP's."""
    document = still_site.nobody.ok("GET", "/openapi.json")

    assert not any("head" in methods for methods in document["paths"].values())
