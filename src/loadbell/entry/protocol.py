"""
HTTP/1.1 with time limits: uvicorn's protocol by itself waits forever for a head, a body or a reader.

Each connection is in one phase, and each phase that waits for the client has its limit. A late client gets 408, if
there is a request to answer, and the connection ends.
"""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Any, ClassVar

import httptools
from litestar import Response
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from loadbell.accounts.rate_limit import network_of
from loadbell.entry.connections import Connections
from loadbell.entry.problems import BAD_REQUEST, MEDIA_TYPE, REQUEST_TIMEOUT, problem
from loadbell.entry.request_limits import (
    MAX_HEADERS,
    MAX_HEADERS_SIZE,
    MAX_PATH_LENGTH,
    MAX_QUERY_LENGTH,
    address_too_long,
    headers_too_large,
)
from loadbell.entry.targets import TargetHost

MAX_HEAD_SIZE = 2 * MAX_HEADERS_SIZE
"""Bytes of an incomplete head. ``RequestLimits`` checks complete ones below that."""

MAX_TARGET_LENGTH = 4 * (MAX_PATH_LENGTH + MAX_QUERY_LENGTH)
MAX_PIPELINED_REQUESTS = 16
"""Requests that may be sent before the first is answered."""

_UNKNOWN_BODY = 64 * 1024  # bytes taken before the caller is known; the rest counts in its share
_PROGRESS = 16 * 1024  # bytes of a body after which its client counts as new among those waiting
_SLACK = 0.002  # timers are exact to the millisecond


class Phase(Enum):
    """The phase of a connection."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"  #: the request is complete and being handled
    DRAIN = "drain"  #: it is answered while its body still arrives
    REFUSED = "refused"  #: all further input is ignored


class _Stop(Exception):  # noqa: N818 - no error: ends the parser's work
    """Stops the parser: the response is known already."""


class LimitedProtocol(TargetHost):
    """One connection. All connections of a server share one ``pool``."""

    pool: ClassVar[Connections]
    network = ""
    is_served = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Starts to wait for the first request."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self._resume_reading)
        self.network = network_of(self.client[0] if self.client else None)
        self._limits = self.pool.limits
        self._receiving: Phase | None = None
        self._answered: RequestResponseCycle | None = None  # of pipelined requests, the one being answered
        self._phase = Phase.IDLE
        self._since = self.loop.time()
        self._stopping = False
        self._judgement: Response[bytes] | None = None
        self._head_bytes = self._body_bytes = self._told_bytes = self._barren_bytes = 0
        self._unread_until, self._unread_bytes = inf, 0
        self._timer: TimerHandle | None = None
        self._timer_at = inf
        self.pool.add(self, self._since)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Frees the connection's place."""
        self._is_closed_by_peer()
        super().connection_lost(exc)
        self.pool.remove(self)
        if self._timer is not None:
            self._timer.cancel()

    def drop(self) -> None:
        """Ends the connection at once, so that another gets its descriptor."""
        self._is_closed_by_peer()
        self.transport.abort()

    def _is_closed_by_peer(self) -> None:
        """Notifies readers of the request and writers of the response that the client is gone."""
        for cycle in (self._answered, *(ahead for ahead, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def shutdown(self) -> None:
        """Ends the connection after the response in progress, with a short limit for the client."""
        self._stopping = True
        super().shutdown()
        self._since = self.loop.time()
        self._watch_reader()
        self._update_state()

    # What the client sends.

    def data_received(self, data: bytes) -> None:
        """Parses input, unless the connection has been refused."""
        if self._phase is Phase.REFUSED:
            return
        before = self._body_bytes
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(self._judgement or problem(BAD_REQUEST, "The request can't be read as HTTP/1.1."))
            return
        if self._receiving is Phase.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_SIZE:
                self._refuse(address_too_long() if len(self.url) > MAX_TARGET_LENGTH else headers_too_large())
                return
        elif self._receiving is Phase.BODY:
            self._barren_bytes = 0 if self._body_bytes != before else self._barren_bytes + len(data)
            if self._barren_bytes > MAX_HEAD_SIZE:
                self._refuse(problem(BAD_REQUEST, "The body has far more framing than content."))
                return
        self._update_state()

    def _feed(self, data: bytes) -> None:
        """Parses ``data``, and ignores offers of another protocol.

        The parser would treat input after such a head as that protocol's, and lose the body.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            head = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1"]
            head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self._feed(b"\r\n".join([*head, b"", data[offer.args[0] :]]))

    def on_message_begin(self) -> None:
        """Starts a request."""
        super().on_message_begin()
        self._receiving = Phase.HEAD
        self._head_bytes = self._body_bytes = self._told_bytes = self._barren_bytes = 0
        self._phase = Phase.IDLE  # so that its time starts, also right after another request

    def on_header(self, name: bytes, value: bytes) -> None:
        """Adds a header; trailers are ignored."""
        if self._receiving is Phase.BODY:
            return
        if len(self.headers) >= MAX_HEADERS:
            self._judgement = headers_too_large()
            raise _Stop
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Starts to handle the request."""
        if len(self.url) > MAX_TARGET_LENGTH:
            self._judgement = address_too_long()
            raise _Stop
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS or self.parser.get_method() == b"CONNECT":
            raise _Stop
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()
        self._receiving = Phase.BODY

    def on_body(self, body: bytes) -> None:
        """Adds a part of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Completes the request."""
        if self._receiving is Phase.HEAD:  # see _feed
            return
        super().on_message_complete()
        self._receiving = None

    # What the client reads.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # idle time is measured here
        self.is_served = True
        if self.transport.is_closing():
            self._watch_reader()
        self._update_state()

    def pause_writing(self) -> None:
        """The client reads its response too slowly."""
        super().pause_writing()
        self._watch_reader()
        self.pool.wait(self)
        self._arm()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._unread_until = inf
        if self._phase is Phase.ANSWER:
            self.pool.work(self)

    def _watch_reader(self) -> None:
        span = self._limits.stopping if self._stopping else self._limits.unread
        self._unread_until, self._unread_bytes = self.loop.time() + span, self.transport.get_write_buffer_size()

    def _resume_reading(self) -> None:
        """Resumes reading; the pause doesn't count as the client's time."""
        self._since = self.loop.time()

    # How long it may take.

    def _update_state(self) -> None:
        """Updates the phase of the connection."""
        phase = self._now_in()
        if phase is not self._phase:
            self._phase, self._since = phase, self.loop.time()
            if phase is Phase.ANSWER and not self.flow.write_paused:
                self.pool.work(self)
            else:
                self.pool.wait(self)
        if phase is Phase.BODY:
            self.pool.hold(self, min(self._body_bytes, _UNKNOWN_BODY), self.loop.time())
            if self._body_bytes - self._told_bytes >= _PROGRESS:
                self._told_bytes = self._body_bytes
                self.pool.wait(self)
        else:
            self.pool.hold(self, 0, 0.0)
        self._arm()

    @property
    def _current(self) -> RequestResponseCycle | None:
        return self.cycle  # none before the first request, which uvicorn's annotation leaves out

    def _now_in(self) -> Phase:
        if self._phase is Phase.REFUSED:
            return Phase.REFUSED
        cycle = self._current
        answered = cycle is None or cycle.response_complete
        if self._receiving is Phase.HEAD:
            return Phase.HEAD if answered else Phase.ANSWER
        if self._receiving is Phase.BODY:
            return Phase.DRAIN if answered else Phase.BODY
        return Phase.IDLE if answered else Phase.ANSWER

    def _patience(self) -> float:
        limits = self._limits
        match self._phase:
            case Phase.IDLE:
                patience = limits.idle if self.is_served else limits.head
            case Phase.HEAD:
                patience = limits.head
            case Phase.BODY:
                patience = limits.body + self._body_bytes / limits.rate
            case Phase.ANSWER:
                return inf
            case _:
                patience = limits.linger
        return min(patience, limits.stopping) if self._stopping else patience

    def _arm(self) -> None:
        """Schedules :meth:`_on_timer` in time; calling it too early costs little."""
        deadline = min(self._since + self._patience(), self._unread_until)
        if deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self.loop.call_later(max(deadline - self.loop.time(), 0), self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self.loop.time() + _SLACK
        if now >= self._unread_until:
            left = self.transport.get_write_buffer_size()
            taken = self._unread_bytes - left
            if left and (self._stopping or taken < self._limits.rate * self._limits.unread):
                self.drop()
                return
            self._unread_until = inf
            if left:
                self._watch_reader()
        if now >= self._since + self._patience():
            self._on_timeout()
        self._arm()

    def _on_timeout(self) -> None:
        if self.flow.read_paused:  # we paused reading ourselves
            self._since = self.loop.time()
        elif self._phase is Phase.IDLE:
            self.transport.close()
            self._since = inf
            self._watch_reader()
        elif self._phase in {Phase.HEAD, Phase.BODY}:
            self._refuse(problem(REQUEST_TIMEOUT, "The request did not arrive in time. Send it again, and faster."))
        else:
            self.drop()

    def _refuse(self, response: Response[bytes]) -> None:
        """Sends the response, skips further input for a moment, and ends the connection."""
        if self.transport.is_closing():
            return
        cycle = self._current
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or self.pipeline or self._receiving is not Phase.BODY:
                self.drop()  # an earlier response is in progress
                return
            self._is_closed_by_peer()
        self.is_served = True
        self._phase, self._since = Phase.REFUSED, self.loop.time()
        self.flow.resume_reading()
        self.transport.write(_as_bytes(response, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._update_state()


class _Flow(FlowControl):
    """uvicorn's flow control, with a callback when it reads again."""

    def __init__(self, transport: Transport, reads_again: Callable[[], None]) -> None:
        super().__init__(transport)
        self._reads_again = reads_again

    def resume_reading(self) -> None:
        if self.read_paused:
            super().resume_reading()
            self._reads_again()


def limited_protocol(connections: Connections) -> type[LimitedProtocol]:
    """Returns the protocol class of a server with these ``connections``."""

    class Limited(LimitedProtocol):
        pool = connections

    return Limited


def _as_bytes(response: Response[Any], defaults: list[tuple[bytes, bytes]]) -> bytes:
    headers = [
        *defaults,
        *((name.lower().encode(), value.encode()) for name, value in response.headers.items()),
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(response.content)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    lines = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join([STATUS_LINE[response.status_code or 500], *lines, b"\r\n", response.content])
