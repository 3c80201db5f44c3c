"""SIGTERM while clients hang in every way: the process ends in time, with exit code 0."""

import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.server import Server, set_up
from tests.web.browser import Browser

IN_ALL_SECONDS = 10.0
"""What a supervisor gives a process before it kills it."""


def _head(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def test_hanging_clients_do_not_hold_up_the_end(tmp_path: Path) -> None:
    """Idle connections, half heads, half bodies, live pages and clients that read nothing: all of them at once."""
    body = set_up(tmp_path)
    with Server(tmp_path) as server:
        parts = urlsplit(server.url)
        browser = Browser(server.url)
        assert browser.sign_in("owner@example.org", body["password"]).status == 303
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        token = f"Authorization: Bearer {body['token']}"
        sent = [
            b"",
            b"GET /healthz HTTP/1.1\r\nHost:",
            _head("/healthz"),
            _head("/healthz") + b"GET /he",
            _head("/login", "Content-Length: 1000000", method="POST") + b"x" * 10_000,
            _head("/api/v1/runs", token, "Content-Length: 1000000", method="POST") + b"x" * 10_000,
            _head("/v2/metrics/1", token, "Content-Length: 8000000", method="POST") + b"x" * 10_000,
            _head("/v1/tests", token, "Expect: 100-continue", "Content-Length: 10", method="POST"),
            _head("/runs/live", f"Cookie: {cookie}"),
            _head("/api/v1/openapi.json") * 15,  # some megabytes of answers, and none is read
        ]
        clients = []
        for bytes_of_one in sent * 5:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((parts.hostname, parts.port))
            client.sendall(bytes_of_one)
            clients.append(client)
        assert Browser(server.url).get("/healthz").status == 200  # all of that has come

        began = time.monotonic()
        code = server.stop(60)
        took = time.monotonic() - began
        for client in clients:
            client.close()

    assert "Traceback" not in server.log.read_text()
    assert code == 0
    assert took < IN_ALL_SECONDS


def test_a_client_that_goes_on_is_no_reason_to_stay(tmp_path: Path) -> None:
    """A body that trickles on at an honest pace is given up when the process stops."""
    set_up(tmp_path)
    stop = threading.Event()

    def trickle(client: socket.socket) -> None:
        try:
            while not stop.wait(0.05):
                client.sendall(b"x" * 1000)
        except OSError:
            return

    with Server(tmp_path) as server:
        parts = urlsplit(server.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as client:
            client.sendall(_head("/login", "Content-Length: 1000000", method="POST"))
            thread = threading.Thread(target=trickle, args=(client,))
            thread.start()
            began = time.monotonic()
            code = server.stop(60)
            took = time.monotonic() - began
            stop.set()
            thread.join()

    assert code == 0
    assert took < IN_ALL_SECONDS
