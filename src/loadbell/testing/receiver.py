"""
A scripted receiver: a real HTTP/1.1 server on a real port, well-behaved or not.

::

    with ScriptedReceiver([respond(503), respond(200)]) as receiver:
        ...  # point loadbell at receiver.url
        first, second = receiver.wait_for(2)

Standard library only. It runs in its own thread, and closes the thread and all connections at the end.
"""

import asyncio
import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

MAX_REQUEST_SIZE = 16 * 1024 * 1024
"""In bytes. A request with a longer head or body isn't read; its connection is closed."""


@dataclass(frozen=True)
class Received:
    """One received request. ``headers`` are spelled and ordered as on the wire."""

    arrived_at: int  #: microseconds since the epoch, when its last byte was read
    method: str
    path: str  #: the request target, query included
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int  #: number of the connection that carried it, from 1

    def header(self, name: str) -> str | None:
        """Returns the value of the first header with that name, ignoring case."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), None)


Behaviour = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Handles one request: writes the response, and returns whether the connection stays open for another."""

Script = Sequence[Behaviour] | Callable[[Received], Behaviour]
"""
One behaviour for each request in turn, the last one repeating; or a function that chooses for each request.

The function is called in the receiver's thread, one request at a time, and must not block. Waiters for a request are
notified after it returns.
"""


def respond(
    status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"", delay: float = 0.0
) -> Behaviour:
    """Sends a complete response, ``delay`` seconds after the request."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(delay)
        writer.write(_head(status, {**(headers or {}), "Content-Length": str(len(body))}) + body)
        await writer.drain()
        return True

    return behave


def redirect(url: str, status: int = 302) -> Behaviour:
    """Redirects the client to ``url``."""
    return respond(status, {"Location": url})


def hang() -> Behaviour:
    """Never responds."""

    async def behave(_: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(3600)
        return False

    return behave


def raw(data: bytes, *, keep: bool = False) -> Behaviour:
    """Sends these bytes, whether HTTP or not, and closes the connection unless ``keep``."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return keep

    return behave


def close() -> Behaviour:
    """Closes the connection without a response."""
    return raw(b"")


def cut_off() -> Behaviour:
    """Announces 100 bytes of body, sends 4 and closes the connection."""
    return raw(_head(200, {"Content-Length": "100"}) + b"half")


def reset(*, after: bytes = b"") -> Behaviour:
    """Resets the connection (RST) after these bytes of a response."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        if after:
            writer.write(after)
            await writer.drain()
            await asyncio.sleep(0.05)
        _reset_on_close(writer)
        return False

    return behave


def drip(status: int = 200, *, interval: float = 1.0, size: int = 1_000_000) -> Behaviour:
    """Sends the head of a response at once, then its body of ``size`` bytes, one byte every ``interval`` seconds."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(_head(status, {"Content-Length": str(size)}))
        for _ in range(size):
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(interval)
        return True

    return behave


def endless_body(status: int = 200) -> Behaviour:
    """Sends a body without end, as fast as the client reads."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(_head(status, {"Connection": "close"}))
        block = b"x" * 65_536
        while True:
            writer.write(block)
            await writer.drain()

    return behave


def endless_headers() -> Behaviour:
    """Sends headers without end."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    return behave


def informational_flood() -> Behaviour:
    """Sends ``103 Early Hints`` without end, and never a final response."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </>; rel=preload\r\n\r\n")
            await writer.drain()

    return behave


def gzip_bomb(size: int = 16 * 1024 * 1024) -> Behaviour:
    """Sends a small gzip body that would unpack to ``size`` bytes."""
    return respond(200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(size), 9))


class ScriptedReceiver:
    """A receiver on ``host`` (a loopback address, IPv4 or IPv6) and ``port`` (0: any free one), as a context manager.

    ``script`` decides the responses; without one, every request gets 200 with an empty body. With ``tls`` it uses
    HTTPS. All methods are thread-safe. Entering raises ``OSError`` if the address can't be bound.
    """

    def __init__(
        self, script: Script = (), *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._script: Script = script
        self._seen: Callable[[Received], None] | None = None
        self._host = host
        self._wanted_port = port
        self._tls = tls
        self._changed = threading.Condition()
        self._requests: list[Received] = []
        self._connects = 0
        self._answered = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._wanted_port), family=family, backlog=512)
        self.port: int = self._socket.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name=f"receiver-{self.port}")
        self._thread.start()
        ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """The receiver's URL: ``http://127.0.0.1:PORT/``, or ``https``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/"

    @property
    def requests(self) -> list[Received]:
        """The requests received so far, in order of arrival."""
        with self._changed:
            return list(self._requests)

    @property
    def connects(self) -> int:
        """How many connections were opened so far, with or without data."""
        with self._changed:
            return self._connects

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Received]:
        """Waits until there are at least ``count`` requests and returns all.

        Raises:
            TimeoutError: fewer arrived within ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, timeout):
                raise TimeoutError(f"{len(self._requests)} of {count} requests came within {timeout} s.")
            return list(self._requests)

    def play(self, script: Script) -> None:
        """Starts a new script for the next requests."""
        with self._changed:
            self._script = script
            self._answered = 0

    def watch(self, seen: Callable[[Received], None]) -> None:
        """Calls ``seen`` in the receiver's thread with each new request, after its script; it must not block."""
        with self._changed:
            self._seen = seen

    async def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=MAX_REQUEST_SIZE)
        ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._changed:
            self._connects += 1
            number = self._connects
        task = self._loop.create_task(self._serve(reader, writer, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        kept = True
        transport = writer.transport  # the plain one, whatever TLS puts on top
        try:
            if self._tls is not None:
                await writer.start_tls(self._tls)
            while kept and (request := await _read(reader, number)) is not None:
                kept = await self._note(request)(writer)
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass  # the client disconnected, or sent something else
        finally:
            transport.abort()

    def _note(self, request: Received) -> Behaviour:
        with self._changed:
            self._requests.append(request)
            position = self._answered
            self._answered += 1
            if callable(self._script):
                behaviour = self._script(request)
            else:
                behaviour = self._script[min(position, len(self._script) - 1)] if self._script else respond()
            if self._seen is not None:
                self._seen(request)
            self._changed.notify_all()
        return behaviour


async def _read(reader: asyncio.StreamReader, number: int) -> Received | None:
    """Reads the next request; None if the client has closed the connection between requests."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, path, _ = request_line.split(" ", 2)
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body = await reader.readexactly(min(length, MAX_REQUEST_SIZE))
    return Received(time.time_ns() // 1000, method, path, headers, body, number)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    phrase = next((known.phrase for known in HTTPStatus if known == status), "")
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
