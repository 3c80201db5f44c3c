"""No body where every field may be left out: the same as ``{}``, with and without a Content-Type."""

import http.client
from urllib.parse import urlsplit

import pytest

from tests.api.site import ApiSite

ROUTES = [
    "/runs/{id}/heartbeat",
    "/runs/{id}/abort",
    "/channels/{id}/pause",
    "/channels/{id}/rotate-secret",
    "/channels/{id}/test",
    "/deliveries/01900000-0000-7000-8000-000000000000/redeliver",
    "/deliveries/01900000-0000-7000-8000-000000000000/cancel",
]
DECLARED = [None, "application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded"]


def post(site: ApiSite, path: str, declared: str | None, length: str | None) -> int:
    """The status of a POST without a byte of body."""
    parts = urlsplit(site.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest("POST", f"/api/v1{path}")
        connection.putheader("Authorization", f"Bearer {site.ours.token}")
        if declared is not None:
            connection.putheader("Content-Type", declared)
        if length == "chunked":
            connection.putheader("Transfer-Encoding", "chunked")
        elif length is not None:
            connection.putheader("Content-Length", length)
        connection.endheaders(b"0\r\n\r\n" if length == "chunked" else None)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("length", ["0", None, "chunked"])
def test_an_empty_body_is_an_empty_object(still_site: ApiSite, declared: str | None, length: str | None) -> None:
    """`curl -X POST` without data is understood wherever every field is optional: what is missing is the thing only."""
    run = still_site.client.ok("POST", "/runs", {"name": "n"})
    statuses = {path: post(still_site, path.format(id=999_999), declared, length) for path in ROUTES}

    assert dict.fromkeys(ROUTES, 404) == statuses
    assert 200 == post(still_site, f"/runs/{run['id']}/heartbeat", declared, length)
