"""
How the sender's thread waits: for its connections, for libcurl's timers, or to be woken.

An edge-triggered epoll (epoll(7), Linux only) that registers each connection once, when its socket is opened. Unlike
``select()``, it has no limit of 1,024 descriptors and nothing to register for each wait.
"""

import os
import select
import threading
from contextlib import suppress


class Epoll:
    """An epoll and a pipe that wakes it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._epoll = select.epoll()
        self._epoll.register(self._read, select.EPOLLIN)
        self._lock = threading.Lock()
        self._closed = False

    def register(self, descriptor: int) -> None:
        """Makes events on this connection end a wait, until the descriptor and libcurl's duplicate are closed."""
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def wait(self, seconds: float | None) -> None:
        """Waits for an event, at most ``seconds``; None: no limit."""
        for descriptor, _ in self._epoll.poll(seconds):
            if descriptor == self._read:
                with suppress(BlockingIOError):
                    os.read(self._read, 65_536)

    def wake(self) -> None:
        """Ends the current wait, or else the next one. Thread-safe. Does nothing once closed."""
        with self._lock, suppress(BlockingIOError):  # a full pipe wakes as well
            if not self._closed:
                os.write(self._write, b".")

    def close(self) -> None:
        """Closes the descriptors."""
        with self._lock:
            self._closed = True
            self._epoll.close()
            os.close(self._read)
            os.close(self._write)
