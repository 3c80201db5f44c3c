"""
Name lookups on a bounded number of threads.

``getaddrinfo`` blocks and can't be interrupted, so it runs on separate threads, and late results are dropped. The
sender starts only one lookup of a host at a time, so a host whose name server hangs occupies one thread, however many
messages wait for it.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Resolver = Callable[[str, int], list[str]]
"""Returns all addresses of a host and port. Blocks; raises like ``socket.getaddrinfo`` when there are none."""

MAX_THREADS = 64
"""Concurrent lookups; further ones wait in order."""

_MAX_JOIN_S = 0.5  # seconds


def system_resolver(host: str, port: int) -> list[str]:
    """Returns the system's addresses for ``host``: from /etc/hosts, DNS or whatever is configured.

    Raises:
        OSError: there are none, or the lookup failed.
    """
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


@dataclass(eq=False)
class Lookup:
    """One lookup and, once done, its addresses or the error that the resolver raised."""

    host: str
    port: int
    addresses: list[str] = field(default_factory=list)
    error: Exception | None = None


class ResolverThreads:
    """Runs lookups on threads that start when needed; calls ``on_done`` in the thread of each finished lookup."""

    def __init__(self, resolver: Resolver, on_done: Callable[[Lookup], None]) -> None:
        self._resolver = resolver
        self._on_done = on_done
        self._queue: queue.SimpleQueue[Lookup | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False

    def look_up(self, host: str, port: int) -> Lookup:
        """Starts a lookup of ``host`` and returns at once."""
        lookup = Lookup(host, port)
        with self._lock:
            self._unfinished += 1
            if len(self._threads) < min(self._unfinished, MAX_THREADS):
                thread = threading.Thread(target=self._run, name="loadbell-resolver", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(lookup)
        return lookup

    def close(self) -> None:
        """Ends the threads. A thread that hangs in the resolver is a daemon, and ends when the resolver returns."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        latest = time.monotonic() + _MAX_JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, latest - time.monotonic()))

    def _run(self) -> None:
        while (lookup := self._queue.get()) is not None:
            if self._closed:
                continue
            try:
                lookup.addresses = self._resolver(lookup.host, lookup.port)
            except Exception as error:  # noqa: BLE001 - whatever a resolver raises is the lookup's result
                lookup.error = error
            with self._lock:
                self._unfinished -= 1
            self._on_done(lookup)
