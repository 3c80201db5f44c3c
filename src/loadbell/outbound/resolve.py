"""
Name lookups on a bounded number of threads.

``getaddrinfo`` blocks and can't be interrupted. So it runs on threads of its own, as many as there are lookups at a
time up to a limit, and its answer is dropped when it comes too late. The sender asks for a host once while a lookup of
it is under way; a host whose name server hangs therefore holds one thread, however many messages wait for it.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Resolver = Callable[[str, int], list[str]]
"""All addresses of a host and port. Blocks; raises what ``socket.getaddrinfo`` raises when there are none."""

MAX_THREADS = 64
"""Lookups at a time; further ones wait in order."""

_MAX_JOIN_S = 0.5  # seconds


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that the system knows for ``host``: /etc/hosts, DNS, whatever it is set up for.

    Raises:
        OSError: there are none, or nobody could tell.
    """
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


@dataclass(eq=False)
class Lookup:
    """One question and, once it is done, its answer: addresses, or the error that the resolver raised."""

    host: str
    port: int
    addresses: list[str] = field(default_factory=list)
    error: Exception | None = None


class ResolverThreads:
    """Runs lookups on threads that start when needed; ``on_done`` is called in one of them for each that ends."""

    def __init__(self, resolver: Resolver, on_done: Callable[[Lookup], None]) -> None:
        self._resolver = resolver
        self._on_done = on_done
        self._queue: queue.SimpleQueue[Lookup | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False

    def look_up(self, host: str, port: int) -> Lookup:
        """Asks for the addresses of ``host``; returns at once."""
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
        """Ends the threads. One that hangs in the resolver is left behind (it is a daemon) and ends when it returns."""
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
            except Exception as error:  # noqa: BLE001 - whatever a resolver raises is its answer
                lookup.error = error
            with self._lock:
                self._unfinished -= 1
            self._on_done(lookup)
