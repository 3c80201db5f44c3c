"""
The guarded sender: the only code of loadbell that connects to addresses chosen by users.

Each process has one libcurl thread, and a few for name lookups. Every address is judged before loadbell connects to it;
a second lookup, a redirect, a proxy or a kept connection can't bypass that (docs/decisions/0004-sender.md). The one
exception is the operator's proxy: its own lookups can't be judged here (docs/decisions/0028-outbound-proxy.md).
"""

import asyncio
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from loadbell.domain.ids import Micros
from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.engine import Engine, Exchange, OnDone, Result
from loadbell.outbound.messages import Message, NoReply, Reply
from loadbell.outbound.resolve import Resolver, system_resolver
from loadbell.outbound.transfer import MAX_BODY_SIZE, MAX_HEADERS_SIZE
from loadbell.settings import Proxy

__all__ = ["MAX_BODY_SIZE", "MAX_HEADERS_SIZE", "Exchange", "OnDone", "Resolver", "Result", "Sender", "system_resolver"]

_log = structlog.get_logger(__name__)


class Sender:
    """Sends messages and returns replies, or why there is none.

    ``timeout`` is the deadline of a whole exchange, from its start: lookup, connection, TLS, headers and body. At most
    ``max_in_flight`` exchanges run at a time; the others wait in order. ``ca_file`` (PEM) is trusted in addition to the
    system's certificates. With a ``proxy``, everything goes through it.

    Response bodies are read up to :data:`MAX_BODY_SIZE`, headers up to :data:`MAX_HEADERS_SIZE`. A request on a kept
    connection that closes before any byte of a response is sent again on a new one, as HTTP clients do.
    """

    def __init__(  # noqa: PLR0913 - what an operator may set, and the tests' resolver
        self,
        *,
        policy: AddressPolicy,
        resolver: Resolver = system_resolver,
        timeout: Micros,
        ca_file: Path | None = None,
        proxy: Proxy | None = None,
        max_in_flight: int = 256,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._timeout = timeout
        self._ca_file = ca_file
        self._proxy = proxy
        self._max_in_flight = max_in_flight
        self._engine: Engine | None = None
        self._sends: set[asyncio.Future[Reply | NoReply]] = set()

    def start(self) -> None:
        """Starts the threads. Call it once, in the running loop, after any fork.

        Raises:
            OSError: ``ca_file`` can't be read, or the system has no descriptors left.
        """
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._engine = Engine(
            policy=self._policy,
            resolver=self._resolver,
            timeout=self._timeout,
            ca_file=self._ca_file,
            proxy=self._proxy,
            max_in_flight=self._max_in_flight,
            hand_over=lambda done: self._call(self._deliver, done),
        )
        self._thread = threading.Thread(target=self._run, args=(self._engine,), name="loadbell-sender", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Aborts everything in flight, without results, cancels each waiting :meth:`send`, and ends the threads."""
        if self._engine is None:
            return
        engine, self._engine = self._engine, None
        engine.stop()
        await self._ended.wait()
        self._thread.join()
        for future in self._sends:
            future.cancel()

    def submit(self, exchanges: Sequence[Exchange], on_done: OnDone) -> None:
        """Sends ``exchanges``. Call it from the loop.

        ``on_done`` is called in the loop, perhaps several times, with everything that finished together. Every exchange
        is returned once, unless the sender is closed before.

        Raises:
            RuntimeError: the sender isn't started, or is closed.
        """
        if self._engine is None:
            raise RuntimeError("the sender is not running")
        self._engine.submit(exchanges, on_done)

    async def send(self, message: Message) -> Reply | NoReply:
        """Sends one message.

        Raises:
            RuntimeError: the sender isn't started, or is closed.
            asyncio.CancelledError: the sender was closed meanwhile.
        """
        future: asyncio.Future[Reply | NoReply] = self._loop.create_future()

        def done(results: list[Result]) -> None:
            if not future.done():
                future.set_result(results[0][1])

        self.submit([Exchange(None, message)], done)
        self._sends.add(future)
        try:
            return await future
        finally:
            self._sends.discard(future)

    def _run(self, engine: Engine) -> None:
        try:
            engine.run()
        finally:
            self._call(self._ended.set)

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is waiting
            self._loop.call_soon_threadsafe(function, *args)

    def _deliver(self, done: list[tuple[OnDone, Result]]) -> None:
        if self._engine is None:
            return
        batches: dict[OnDone, list[Result]] = {}
        for on_done, result in done:
            batches.setdefault(on_done, []).append(result)
        for on_done, results in batches.items():
            try:
                on_done(results)
            except Exception:  # noqa: BLE001 - one caller must not keep the others from their results
                _log.error("on_done_failed", trace=traceback.format_exc())  # as text: no variables, no secrets
