"""How much of a body is read, and from whom: a made-up credential buys no more than none."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from loadbell.entry.bodies import MAX_BODY_SIZE, MAX_UNAUTHENTICATED_BODY_SIZE
from tests.api.site import ApiSite
from tests.support.server import Client

FORM = "application/x-www-form-urlencoded"
MADE_UP = {"Authorization": "Bearer lb_" + "a" * 43}
MADE_UP_COOKIE = {"Cookie": "loadbell_session=lbs_" + "a" * 43, "Content-Type": FORM}


def send_half(site: ApiSite, path: str, headers: dict[str, str], *, announced: int | None, sent: int) -> int:
    """The status that a POST gets of whose body only ``sent`` bytes come, in chunks if no length is announced."""
    parts = urlsplit(site.url)
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append("Transfer-Encoding: chunked" if announced is None else f"Content-Length: {announced}")
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        for _ in range(0, sent, 1000):
            connection.sendall(b"x" * 1000 if announced is not None else b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        return int(connection.recv(65536).split(b" ", 2)[1])


@pytest.mark.parametrize("announced", [500_000, None], ids=["announced", "chunked"])
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/runs", MADE_UP, 401),
        ("/api/v1/account/tokens", MADE_UP, 401),
        ("/api/v1/sessions", {}, 413),
        ("/api/v1/sessions", MADE_UP, 413),
        ("/v1/tests", {"Authorization": "Token lb_made_up"}, 401),
        ("/v1/tests/1", {"Authorization": "Token lb_made_up"}, 401),
        ("/v2/metrics/1", {"Authorization": "Token lb_made_up"}, 401),
        ("/v1/validate-token", {}, 413),
        ("/login", {"Content-Type": FORM}, 413),
        ("/login", MADE_UP_COOKIE, 413),
        ("/setup", MADE_UP_COOKIE, 413),
        ("/account/password", MADE_UP_COOKIE, 303),
    ],
)
def test_a_stranger_does_not_fill_the_memory(
    still_site: ApiSite, path: str, headers: dict[str, str], status: int, announced: int | None
) -> None:
    """Over 64 KiB the answer comes before the rest of the body: who asks is looked at first."""
    sent = 2_000 if announced is not None else MAX_UNAUTHENTICATED_BODY_SIZE + 2_000

    assert status == send_half(still_site, path, headers, announced=announced, sent=sent)


def test_a_good_credential_may_send_more(still_site: ApiSite) -> None:
    """1 MiB with a token, announced or in chunks; its room is free again afterwards, however often it is taken."""
    parts = urlsplit(still_site.url)
    body = b'{"name": "n", "x": "' + b"x" * (MAX_BODY_SIZE - 22) + b'"}'
    assert len(body) == MAX_BODY_SIZE
    headers = {"Authorization": f"Bearer {still_site.ours.token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        for turn in range(40):
            chunks = iter([body[:500_000], body[500_000:]])
            connection.request(
                "POST", "/api/v1/runs", body if turn % 2 else chunks, headers, encode_chunked=not turn % 2
            )
            response = connection.getresponse()
            assert 201 == response.status, response.read()
            response.read()
    finally:
        connection.close()


def test_small_bodies_pass_while_large_ones_hang(still_site: ApiSite) -> None:
    """Half bodies that took all the room of their organization don't keep it, nor others, from reporting."""
    parts = urlsplit(still_site.url)
    head = (
        f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {still_site.ours.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    )
    hanging = []
    for _ in range(30):
        connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
        connection.sendall(head.encode() + b"x" * 1000)
        hanging.append(connection)
    ours, theirs = (client.call("POST", "/runs", {"name": "n"}).status for client in _clients(still_site))
    large = still_site.their_client.call("POST", "/runs", {"name": "n", "x": "x" * 500_000}).status
    for connection in hanging:
        connection.close()

    assert (201, 201, 201) == (ours, theirs, large)


def _clients(site: ApiSite) -> tuple[Client, Client]:
    return site.client, site.their_client
