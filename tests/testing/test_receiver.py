"""The scripted receiver itself: what the other tests, the demo and users stand on."""

import gzip
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection

import pytest

from loadbell.testing import ScriptedReceiver, gzip_bomb, hang, redirect, respond


def send_request(receiver: ScriptedReceiver, request: bytes) -> bytes:
    """All that comes back over one connection until the receiver closes it."""
    answer = b""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as client:
        client.sendall(request)
        while block := client.recv(65_536):
            answer += block
    return answer


def status_of(client: HTTPConnection, path: str = "/") -> int:
    """The status of a GET, its answer read to the end."""
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    return answer.status


def test_requests_are_recorded_as_on_the_wire() -> None:
    """Method, target, header spelling and order, body, arrival and connection are kept."""
    before = time.time_ns() // 1000
    with ScriptedReceiver() as receiver:
        client = HTTPConnection("127.0.0.1", receiver.port)
        for path in ("/a?b=c", "/d"):
            client.request("PUT", path, b"body\x00", {"x-OdD": "1", "X-Odd": "2"})
            client.getresponse().read()
        client.close()
        first, second = receiver.wait_for(2)

    assert ("PUT", "/a?b=c", b"body\x00", 1) == (first.method, first.path, first.body, first.connection)
    assert [("x-OdD", "1"), ("X-Odd", "2")] == [header for header in first.headers if header[0].lower() == "x-odd"]
    assert ("1", None) == (first.header("X-ODD"), first.header("X-Other"))
    assert ("/d", 1) == (second.path, second.connection)
    assert before <= first.arrived_at <= second.arrived_at


def test_a_script_is_played_in_order_and_its_last_line_repeats() -> None:
    """A list answers request after request; a function chooses for each; ``play`` changes the script."""
    with ScriptedReceiver([respond(500), redirect("/x"), respond(204)]) as receiver:
        client = HTTPConnection("127.0.0.1", receiver.port)

        assert [500, 302, 204, 204] == [status_of(client) for _ in range(4)]
        receiver.play([respond(201)])
        assert 201 == status_of(client)
        receiver.play(lambda request: respond(404 if request.path == "/no" else 200))
        assert [404, 200] == [status_of(client, "/no"), status_of(client, "/yes")]
        client.close()


def test_connections_without_a_byte_are_counted() -> None:
    """``connects`` counts what only connected, which is how a guard is proved."""
    with ScriptedReceiver() as receiver:
        for _ in range(3):
            socket.create_connection(("127.0.0.1", receiver.port)).close()
        client = HTTPConnection("127.0.0.1", receiver.port)
        assert 200 == status_of(client)
        client.close()

        assert (4, 1) == (receiver.connects, len(receiver.requests))


def test_clients_that_die_or_talk_nonsense_are_borne() -> None:
    """Resets, half requests and other protocols harm no later request."""
    with ScriptedReceiver([respond(delay=0.05)]) as receiver:
        for request in (
            b"",
            b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01",
        ):
            client = socket.create_connection(("127.0.0.1", receiver.port))
            client.sendall(request)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        for nonsense in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
            assert b"" == send_request(receiver, nonsense)

        later = HTTPConnection("127.0.0.1", receiver.port)
        assert 200 == status_of(later, "/fine")
        later.close()


def test_two_hundred_clients_are_served_side_by_side() -> None:
    """Two hundred connections at a time are answered as fast as one."""
    together = threading.Barrier(200)

    def client(_: int) -> int:
        connection = HTTPConnection("127.0.0.1", receiver.port, timeout=20)
        connection.connect()
        together.wait(20)
        status = status_of(connection)
        connection.close()
        return status

    with ScriptedReceiver([respond(delay=0.2)]) as receiver, ThreadPoolExecutor(200) as pool:
        assert [200] * 200 == list(pool.map(client, range(200)))
        assert 200 == receiver.connects


def test_it_leaves_nothing_behind() -> None:
    """On leaving, connections are closed, the port is free and the thread is gone, even in the middle of a hang."""
    before = set(threading.enumerate())
    with ScriptedReceiver([hang()]) as receiver:
        client = socket.create_connection(("127.0.0.1", receiver.port), timeout=5)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receiver.wait_for(1)
        port = receiver.port

    with client, suppress(ConnectionResetError):  # as good an end
        assert b"" == client.recv(1)
    assert before == set(threading.enumerate())
    with ScriptedReceiver(port=port) as again:
        assert port == again.port


def test_waiting_in_vain_says_what_came() -> None:
    """``wait_for`` gives up with how many requests came."""
    with ScriptedReceiver() as receiver, pytest.raises(TimeoutError, match="0 of 2 requests"):
        receiver.wait_for(2, timeout=0.05)


def test_it_listens_on_ipv6_too() -> None:
    """With an IPv6 host the URL is written with brackets and works."""
    with ScriptedReceiver(host="::1") as receiver:
        client = HTTPConnection("::1", receiver.port)
        assert (200, f"http://[::1]:{receiver.port}/") == (status_of(client), receiver.url)
        client.close()


def test_a_gzip_bomb_is_small_on_the_wire() -> None:
    """The bomb is valid gzip that unpacks to the size asked for."""
    with ScriptedReceiver([gzip_bomb(1_000_000)]) as receiver:
        client = HTTPConnection("127.0.0.1", receiver.port)
        client.request("GET", "/")
        answer = client.getresponse()
        body = answer.read()
        client.close()

    assert ("gzip", 1_000_000) == (answer.headers["Content-Encoding"], len(gzip.decompress(body)))
    assert len(body) < 10_000
