"""Clients that let the server wait: each has its time, and whoever is honest is not touched."""

import contextlib
import socket
import time

import pytest

from tests.entry.serving import answer, request, rest, serving

SHORT = 0.3


def test_half_a_head_is_answered_408() -> None:
    """A head that does not end in time gets a problem that says so, and the connection ends."""
    with serving(head=SHORT) as served, served.connect(b"GET / HTTP/1.1\r\nHost:") as slow:
        data = rest(slow)

    assert data.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in data


def test_a_head_that_trickles_is_late_too() -> None:
    """The time is that of the whole head: another byte now and then gives no more of it."""
    with serving(head=SHORT) as served, served.connect(b"GET / HTTP/1.1\r\nX-Part: a") as slow:
        slow.settimeout(0.02)
        data = b""
        with contextlib.suppress(ConnectionError):
            while not data:
                with contextlib.suppress(TimeoutError):
                    data = slow.recv(100)
                slow.sendall(b"a")

    assert data.startswith(b"HTTP/1.1 408 ")


def test_who_connects_and_says_nothing_is_let_go() -> None:
    """Without a byte there is nothing to answer: the connection just ends."""
    with serving(head=SHORT) as served, served.connect() as silent:
        assert b"" == rest(silent)


def test_half_a_body_is_answered_408() -> None:
    """The client is told, and whoever waits in the application for the rest of the body is freed."""
    with serving(body=SHORT, rate=10**9) as served, served.connect(request(body=b"x" * 1000)[:-1]) as slow:
        data = rest(slow)
        freed = served.application.ended.acquire(timeout=20)

    assert data.startswith(b"HTTP/1.1 408 ")
    assert freed


def test_a_slow_but_honest_body_is_taken() -> None:
    """What keeps up the lowest rate may take far longer than a body's time."""
    data = request(body=b"x" * 2000)
    with serving(body=SHORT, rate=100) as served, served.connect(data[:-2000]) as slow:
        for _ in range(20):
            time.sleep(SHORT / 5)  # the pace of the client, not a wait for something
            slow.sendall(b"x" * 100)
        assert b"/ 2000" == answer(slow)


def test_an_idle_connection_is_let_go() -> None:
    """After an answer the client has its time for the next request; then the connection ends without a word."""
    with serving(idle=SHORT) as served, served.connect(request()) as idle:
        assert b"/ 0" == answer(idle)
        idle.sendall(request("/again"))
        assert b"/again 0" == answer(idle)
        assert b"" == rest(idle)


def test_idle_time_is_not_that_of_a_head() -> None:
    """A connection that was served may be idle longer than a head may take."""
    with serving(head=SHORT) as served, served.connect(request()) as idle:
        assert b"/ 0" == answer(idle)
        time.sleep(2 * SHORT)  # the pace of the client, not a wait for something
        idle.sendall(request("/again"))
        assert b"/again 0" == answer(idle)


def test_an_answer_that_is_not_read_ends_the_connection() -> None:
    """A client that asks for much and takes none of it is let go; the application is not held up for ever."""
    with serving(unread=SHORT, rate=10**9) as served, served.connect(request("/large")) as deaf:
        ended = served.application.large_done.wait(20)
        assert deaf.fileno() > 0

    assert ended


def test_a_request_that_is_worked_on_may_take_long() -> None:
    """No time of the client's runs while it is our turn."""
    with serving(head=SHORT, body=SHORT, idle=SHORT, unread=SHORT) as served, served.connect(request("/wait")) as slow:
        time.sleep(3 * SHORT)  # the pace of the server, not a wait for something
        served.let()
        assert b"/wait 0" == answer(slow)


def test_an_early_answer_is_seen() -> None:
    """A body that is not wanted is read past, so that the client gets to its answer, and can ask again."""
    with serving() as served, served.connect() as client:
        for _ in range(2):
            client.sendall(request("/early", body=b"x" * 5_000_000))
            assert b"/early 0" == answer(client)


def test_a_body_that_does_not_end_after_its_answer_ends_the_connection() -> None:
    """It is read past for a moment, not for ever."""
    with serving(linger=SHORT) as served, served.connect(request("/early", "Content-Length: 999999999")) as client:
        assert b"/early 0" == answer(client)
        with contextlib.suppress(ConnectionError):
            while True:
                client.sendall(b"x" * 1000)


def test_pipelined_requests_are_answered_in_order() -> None:
    """A few may be sent ahead; far more than anybody sends end the connection before they fill the memory."""
    with serving() as served:
        with served.connect(b"".join(request(f"/{at}") for at in range(10))) as client:
            assert [f"/{at} 0".encode() for at in range(10)] == _answers(client, 10)
        with served.connect(request("/wait") + request() * 5_000) as greedy:
            assert b"" == rest(greedy)


def _answers(client: socket.socket, count: int) -> list[bytes]:
    data = b""
    while data.count(b"HTTP/1.1 200 OK") < count or not data.endswith(b" 0"):
        data += client.recv(65536)
    return [part.partition(b"\r\n\r\n")[2] for part in data.split(b"HTTP/1.1 200 OK")[1:]]


@pytest.mark.parametrize("body", [None, b"x" * 10])
def test_an_offer_of_another_protocol_is_not_taken(body: bytes | None) -> None:
    """`Upgrade: h2c`, which some clients send with each request, changes nothing."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    with serving() as served, served.connect() as client:
        for _ in range(3):
            client.sendall(request("/", *offer, body=body))
            assert f"/ {len(body or b'')}".encode() == answer(client)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"GET http:// HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 200_000, 400),
        (b"GET /" + b"a" * 100_000, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 200, 431),
    ],
    ids=["tls", "no host", "connect", "chunk", "extension", "trailer", "path", "header", "headers"],
)
def test_what_is_no_request_is_told(sent: bytes, status: int) -> None:
    """A problem and the end of the connection, as soon as it is clear that it is none, however much would follow."""
    with serving() as served, served.connect() as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(sent)
        data = answer_head(client)

    assert data.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in data


def answer_head(connection: socket.socket) -> bytes:
    """What came first."""
    return connection.recv(65536)


def test_what_stands_behind_a_body_is_no_header() -> None:
    """A trailer is read past: nothing that was decided by the headers can be changed by it."""
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    with serving() as served, served.connect(chunked) as client:
        assert b"/ 3" == answer(client)
        client.sendall(request("/again"))
        assert b"/again 0" == answer(client)
