"""A real forward proxy on a port of its own: CONNECT, credentials, names of its own, refusals, silence."""

import asyncio
import base64
import ssl
import threading
from contextlib import closing, suppress
from types import TracebackType
from typing import Self

_MAX_HEAD_SIZE = 64 * 1024


class ForwardProxy:
    """Answers CONNECT and passes bytes on. A context manager.

    ``names`` are those that it alone can look up. ``answer``, a whole answer in place of a tunnel; ``b""``: it says
    nothing and leaves the connection open. ``opens``: the status with which a tunnel begins. ``only``: a user and a
    password, joined by a colon, or it answers 407.
    """

    def __init__(  # noqa: PLR0913 - each makes it another proxy
        self,
        *,
        names: dict[str, str] | None = None,
        answer: bytes | None = None,
        opens: bytes = b"200 Connection established",
        refused: tuple[str, ...] = (),
        only: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.heads: list[bytes] = []  #: as they came, without the empty line at their end
        self.port = 0
        self._names, self._answer, self._refused = names or {}, answer, refused
        self._opens = opens
        self._wanted = f"basic {base64.b64encode(only.encode()).decode()}" if only else None
        self._context = context
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @property
    def targets(self) -> list[str]:
        """What tunnels were asked for to, in order."""
        return [head.split()[1].decode() for head in self.heads]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context, limit=_MAX_HEAD_SIZE)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError, asyncio.IncompleteReadError):
            await self._answer_one(reader, writer)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        self.heads.append(head)
        method, target = head.split(b" ", 2)[:2]
        host, _, port = target.decode().rpartition(":")
        lines = [line.decode().lower() for line in head.split(b"\r\n")]
        if self._wanted is not None and f"proxy-authorization: {self._wanted}".lower() not in lines:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
        elif method != b"CONNECT" or self._answer is not None:
            writer.write(b"HTTP/1.1 405 Not Here\r\n\r\n" if self._answer is None else self._answer)
            if self._answer == b"":
                await reader.read()
        elif host in self._refused:
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nX-Cache: secret of the proxy\r\n\r\n")
        else:
            await self._tunnel(reader, writer, self._names.get(host, host.strip("[]")), int(port))
        await writer.drain()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        away_reader, away = await asyncio.open_connection(host, port)
        with closing(away):
            writer.write(b"HTTP/1.1 %b\r\nVia: 1.1 proxy\r\n\r\n" % self._opens)
            await asyncio.gather(_copy(reader, away), _copy(away_reader, writer))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(_MAX_HEAD_SIZE):
            sink.write(piece)
            await sink.drain()
    with suppress(OSError):
        sink.close()
