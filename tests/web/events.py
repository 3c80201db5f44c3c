"""What a browser does with a live page for these tests: keeps its stream open and reads its events."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.web.browser import Browser


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: str


class Stream:
    """An open answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.comments = 0  #: that have come

    def next(self) -> Event | None:
        """The next event; None: the server has ended the stream."""
        name, data = "", []
        while line := self._response.readline().decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == ":":
                self.comments += 1
            elif data:
                return Event(name, "\n".join(data))
        return None

    def rest(self) -> list[Event]:
        """All events until the server ends the stream."""
        return list(iter(self.next, None))


@contextmanager
def open_stream(browser: Browser, path: str, *, buffer: int | None = None) -> Iterator[Stream]:
    """The stream at ``path`` with the cookies of ``browser``; ``buffer``: how many bytes the socket takes unread."""
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    connection = http.client.HTTPConnection(browser.host, browser.port, timeout=30)
    connection.sock = socket.socket()
    if buffer is not None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.sock.settimeout(30)
    connection.sock.connect((browser.host, browser.port))
    response = None
    try:
        connection.request("GET", path, headers={"Accept": "text/event-stream", "Cookie": cookies})
        response = connection.getresponse()
        yield Stream(response)
    finally:
        if response is not None:
            response.close()
        connection.close()
