"""A small application behind our HTTP server, in a thread of this process, and raw connections to it."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvloop
from litestar.types import ASGIApp

from loadbell.entry.connections import ConnectionLimits
from loadbell.entry.http_server import ConnectionCapacity, HttpServer, http_config
from loadbell.entry.request_limits import RequestLimits
from loadbell.settings import Network

LONG = 20.0
"""Seconds that no test reaches unless something hangs."""

LENIENT = ConnectionLimits(head=LONG, body=LONG, idle=LONG, unread=LONG, linger=LONG, rate=1)


class Application:
    """Answers `/large` with 8 MiB, `/wait` once it is let, `/early` without reading, else how long the body was."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.let = asyncio.Event()
        self.ended = threading.Semaphore(0)  # once for each request whose client has gone
        self.large_done = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request."""
        path, body = scope["path"], b""
        if path == "/wait":
            self.waiting.set()
            await self.let.wait()
        while path != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ended.release()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        data = b"x" * 2**23 if path == "/large" else f"{path} {len(body)}".encode()
        length = [(b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        for at in range(0, len(data), 2**20):
            part = data[at : at + 2**20]
            await send({"type": "http.response.body", "body": part, "more_body": at + len(part) < len(data)})
        if path == "/large":
            self.large_done.set()


class Serving:
    """The running server."""

    def __init__(
        self, application: Application, loop: asyncio.AbstractEventLoop, server: HttpServer, port: int
    ) -> None:
        self.application = application
        self._loop = loop
        self._server = server
        self.port = port

    def let(self) -> None:
        """Lets `/wait` be answered."""
        self._loop.call_soon_threadsafe(self.application.let.set)

    @property
    def open(self) -> int:
        """How many connections it has."""
        return len(self._server.server_state.connections)

    def connect(self, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
        """A connection from an address of loopback, on which ``sent`` was sent."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=LONG, source_address=(source, 0))
        if sent:
            made.sendall(sent)
        return made

    def get(self, path: str = "/", source: str = "127.0.0.1") -> bytes:
        """The whole answer to a request on a connection of its own."""
        with self.connect(request(path, "Connection: close"), source) as connection:
            return rest(connection)


@contextmanager
def serving(trusted: Sequence[Network] = (), at_once: int = 1_000, **limits: Any) -> Iterator[Serving]:
    """Serves with ``limits`` that differ from lenient ones."""
    loop, application = uvloop.new_event_loop(), Application()
    limited: ASGIApp = RequestLimits(application, at_once)
    room = ConnectionCapacity(replace(LENIENT, **limits), backlog=1_000)
    server = HttpServer(http_config(limited, grace=2, trusted_proxies=trusted, capacity=room))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(sockets=[listener]),), name="serving")
    thread.start()
    try:
        yield Serving(application, loop, server, listener.getsockname()[1])
    finally:
        loop.call_soon_threadsafe(application.let.set)
        server.should_exit = True
        thread.join(30)
        loop.close()


def request(path: str = "/", *headers: str, body: bytes | None = None) -> bytes:
    """A request; a POST if it has a body."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: loadbell", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def rest(connection: socket.socket) -> bytes:
    """What comes until the other end closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answer(connection: socket.socket) -> bytes:
    """The body of one answer on a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[15:])
    while len(body) < length:
        body += connection.recv(65536)
    return body
