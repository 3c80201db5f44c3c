"""
The thread that drives libcurl: starts exchanges, looks up names, judges addresses, returns results.

An exchange goes ``begin → (resolving →) judge → (resolving the proxy →) flying → done``, each step in this thread.
"""

import collections
import ipaddress
import socket
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pycurl
import structlog

from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import SECOND, Micros
from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.epoll import Epoll
from loadbell.outbound.failures import (
    BLOCKED,
    INTERNAL,
    LOOKUP_FAILED,
    NOT_FOUND,
    PROXY_NOT_FOUND,
    Failure,
    Phase,
    timeout_failure,
)
from loadbell.outbound.messages import Message, NoReply, Reply
from loadbell.outbound.resolve import Lookup, Resolver, ResolverThreads
from loadbell.outbound.transfer import Transfer
from loadbell.outbound.trust import trust_file
from loadbell.outbound.urls import Address, BadUrl, Target, parse_literal, parse_url
from loadbell.settings import Proxy

# Traces are logged as text: a renderer that shows each frame's variables would show secrets.
_log = structlog.get_logger(__name__)

_MAX_ADDRESSES = 8  # per name, tried in turn
_MAX_WAIT_S = 1.0  # seconds between calls of libcurl while something is in flight: a safety net, not a poll
_BULK_WAIT_S = 0.005  # seconds; libcurl writes a large body block by block, without an epoll edge in between
_SHARE_OF_LOOKUP = 3  # after this part (1/3) of the deadline, the proxy gets the name instead of an address
_PAUSE_AFTER_FAULT = 0.05  # seconds
_MAX_STARTS_PER_TURN = (
    16  # exchanges, before libcurl works on them: the first doesn't wait for the last of a large batch
)
_FALLS_BACK = frozenset({pycurl.E_COULDNT_CONNECT, pycurl.E_OPERATION_TIMEDOUT})
_FIRST_FINAL_STATUS = 200


@dataclass(frozen=True)
class Exchange:
    """One message to send. ``key`` is the caller's and is returned with the result."""

    key: Hashable
    message: Message


Result = tuple[Exchange, Reply | NoReply]
OnDone = Callable[[list[Result]], None]


@dataclass(eq=False)
class _Flight:
    exchange: Exchange
    on_done: OnDone
    started: Micros
    target: Target | None = None
    lookup: Lookup | None = None
    hosts: list[Address | str] = field(default_factory=list)  #: permitted, not tried yet; names are for the proxy
    proxies: list[Address] = field(default_factory=list)  #: of the operator's proxy
    transfer: Transfer | None = None

    @property
    def origin(self) -> str | None:
        return self.target.origin if self.target is not None else None


class Engine:
    """The work of the sender's thread; arguments and errors are those of :class:`loadbell.outbound.sender.Sender`.

    ``hand_over`` gets the results of each turn and must not block.
    """

    def __init__(  # noqa: PLR0913 - the sender's own arguments
        self,
        *,
        policy: AddressPolicy,
        resolver: Resolver,
        timeout: Micros,
        ca_file: Path | None,
        proxy: Proxy | None,
        max_in_flight: int,
        hand_over: Callable[[list[tuple[OnDone, Result]]], None],
    ) -> None:
        self._policy = policy
        self._timeout = timeout
        self._proxy = proxy
        self._max_in_flight = max_in_flight
        self._hand_over = hand_over
        self._lifetime = ExitStack()
        self._ca_file = trust_file(ca_file, self._lifetime)
        self._epoll = Epoll()
        self._lifetime.callback(self._epoll.close)
        self._resolvers = ResolverThreads(resolver, self._on_lookup)
        self._lifetime.callback(self._resolvers.close)
        self._stopping = False
        self._inbox: collections.deque[tuple[Sequence[Exchange], OnDone]] = collections.deque()
        self._answers: collections.deque[Lookup] = collections.deque()
        self._queue: collections.deque[tuple[Exchange, OnDone]] = collections.deque()
        self._done: list[tuple[OnDone, Result]] = []
        self._lookups: dict[tuple[str, int], Lookup] = {}  # in progress
        self._open_multi()

    def submit(self, exchanges: Sequence[Exchange], on_done: OnDone) -> None:
        """Queues ``exchanges``. Thread-safe."""
        self._inbox.append((exchanges, on_done))
        self._epoll.wake()

    def stop(self) -> None:
        """Ends :meth:`run` and everything in flight. Thread-safe."""
        self._stopping = True
        self._epoll.wake()

    def run(self) -> None:
        """Runs the thread. An error in a turn ends everything in flight as ``internal``, never the thread."""
        with self._lifetime:
            while not self._stopping:
                try:
                    self._turn()
                except Exception:  # noqa: BLE001 - whatever it was, the next turn starts with a new libcurl
                    _log.error("sender_turn_failed", trace=traceback.format_exc())
                    self._restart()
                    time.sleep(_PAUSE_AFTER_FAULT)
            self._close_multi()

    def _turn(self) -> None:
        while self._inbox:
            exchanges, on_done = self._inbox.popleft()
            self._queue.extend((exchange, on_done) for exchange in exchanges)
        while self._answers:
            self._take_answer(self._answers.popleft())
        self._expire_lookups()
        for _ in range(_MAX_STARTS_PER_TURN):
            if not self._can_start():
                break
            flight = _Flight(*self._queue.popleft(), started=_now())
            self._step(flight, self._begin)
        self._perform()
        if self._done:
            done, self._done = self._done, []
            self._hand_over(done)
        if not self._can_start():
            self._epoll.wait(self._longest_wait())

    def _can_start(self) -> bool:
        return bool(self._queue) and len(self._resolving) + len(self._flying) < self._max_in_flight

    def _longest_wait(self) -> float | None:
        """Returns the seconds until something is due; None if nothing is in flight."""
        limits = []
        if self._flying:
            wish = self._multi.timeout()  # milliseconds; -1: none
            limits.append(min(wish / 1000, _MAX_WAIT_S) if wish >= 0 else _MAX_WAIT_S)
            if any(flight.transfer is not None and flight.transfer.bulky for flight in self._flying.values()):
                limits.append(_BULK_WAIT_S)
        if self._resolving:
            limits.append(max(0, min(self._resolving.values()) - _now()) / SECOND)
        return min(limits, default=None)

    def _step(self, flight: _Flight, step: Callable[[_Flight], None]) -> None:
        """Runs one step of an exchange; an unexpected error ends only that exchange."""
        try:
            step(flight)
        except Exception:  # noqa: BLE001 - one exchange must not harm the others
            _log.error("exchange_failed", origin=flight.origin, trace=traceback.format_exc())
            self._resolving.pop(flight, None)
            if flight.transfer is not None:
                if self._flying.pop(flight.transfer.curl, None) is not None:
                    self._multi.remove_handle(flight.transfer.curl)
                flight.transfer.curl.close()
                flight.transfer = None
            self._fail(flight, Failure(Reason.INTERNAL, INTERNAL))

    def _begin(self, flight: _Flight) -> None:
        try:
            flight.target = target = parse_url(flight.exchange.message.url)
        except BadUrl as error:
            self._fail(flight, Failure(Reason.BAD_SETTINGS, str(error)))
            return
        if target.address is not None:
            self._judge(flight, target, [str(target.address)])
            return
        # Behind a proxy, lookups often fail: leave time for the proxy to try.
        span = self._timeout // _SHARE_OF_LOOKUP if self._proxy is not None else self._timeout
        self._look_up(flight, target.host, target.port, flight.started + span)

    def _look_up(self, flight: _Flight, host: str, port: int, latest: Micros) -> None:
        flight.lookup = self._lookups.get((host, port))
        if flight.lookup is None:
            flight.lookup = self._lookups[host, port] = self._resolvers.look_up(host, port)
        self._resolving[flight] = latest

    def _on_lookup(self, lookup: Lookup) -> None:
        """Called in a resolver thread."""
        self._answers.append(lookup)
        self._epoll.wake()

    def _take_answer(self, lookup: Lookup) -> None:
        del self._lookups[lookup.host, lookup.port]
        for flight in [flight for flight in self._resolving if flight.lookup is lookup]:
            del self._resolving[flight]
            self._step(flight, partial(self._use_answer, lookup=lookup))

    def _use_answer(self, flight: _Flight, lookup: Lookup) -> None:
        assert flight.target is not None
        if flight.hosts:
            self._use_proxy(flight, lookup.addresses)
        elif not lookup.addresses and self._proxy is None:
            self._fail(flight, _no_address(lookup))
        elif flight.started + self._timeout <= _now():
            self._fail(flight, timeout_failure(Phase.LOOKUP, self._timeout))
        elif not lookup.addresses:
            self._load(flight, flight.target, [flight.target.host])
        else:
            self._judge(flight, flight.target, lookup.addresses)

    def _expire_lookups(self) -> None:
        now = _now()
        for flight in [flight for flight, latest in self._resolving.items() if latest <= now]:
            del self._resolving[flight]
            if self._proxy is not None and not flight.hosts and flight.target is not None:
                self._step(flight, partial(self._load, target=flight.target, hosts=[flight.target.host]))
            elif flight.hosts:
                self._use_proxy(flight, [])
            else:
                self._fail(flight, timeout_failure(Phase.LOOKUP, self._timeout))

    def _judge(self, flight: _Flight, target: Target, answers: Sequence[str]) -> None:
        """Ends the exchange if any of its host's addresses is refused; else continues it."""
        refused = [answer for answer in answers if not self._policy.permits(answer)]
        if refused:
            _log.warning("address_refused", origin=target.origin, addresses=refused)
            self._fail(flight, Failure(Reason.BLOCKED_ADDRESS, BLOCKED))
            return
        self._load(flight, target, [ipaddress.ip_address(answer) for answer in answers[:_MAX_ADDRESSES]])

    def _load(self, flight: _Flight, target: Target, hosts: Sequence[Address | str]) -> None:
        """Prepares a handle for the exchange, and starts it at once or after the proxy's lookup."""
        flight.hosts = list(hosts)
        transfer = self._idle.pop() if self._idle else self._new_transfer()
        flight.transfer = transfer
        try:
            transfer.load(flight.exchange.message, target)
        except ValueError:
            self._fail(flight, Failure(Reason.BAD_SETTINGS, "A header of the message can't be sent as it stands."))
            return
        if self._proxy is None:
            self._start_transfer(flight, transfer)
        elif parse_literal(self._proxy.host) is not None:
            self._use_proxy(flight, [self._proxy.host])
        else:
            self._look_up(flight, self._proxy.host, self._proxy.port, flight.started + self._timeout)

    def _new_transfer(self) -> Transfer:
        return Transfer(self._policy, self._ca_file, self._epoll.register, self._proxy)

    def _use_proxy(self, flight: _Flight, answers: Sequence[str]) -> None:
        assert self._proxy is not None
        assert flight.transfer is not None
        if not answers or flight.started + self._timeout <= _now():
            _log.warning("proxy_not_found", proxy=self._proxy.place)
            self._fail(flight, Failure(Reason.CONNECT, PROXY_NOT_FOUND.format(proxy=self._proxy.place)))
            return
        flight.proxies = [ipaddress.ip_address(answer) for answer in answers]
        self._start_transfer(flight, flight.transfer)

    def _start_transfer(self, flight: _Flight, transfer: Transfer) -> None:
        remaining = flight.started + self._timeout - _now()
        transfer.connect_to(flight.hosts[0], remaining, len(flight.hosts), flight.proxies)
        del flight.hosts[0]
        self._flying[transfer.curl] = flight
        self._multi.add_handle(transfer.curl)

    def _perform(self) -> None:
        if not self._flying:
            return
        self._multi.perform()
        queued = 1
        while queued:
            queued, succeeded, failed = self._multi.info_read()
            for curl, code, text in [*((curl, pycurl.E_OK, "") for curl in succeeded), *failed]:
                flight = self._flying.pop(curl)
                self._multi.remove_handle(curl)
                self._step(flight, partial(self._on_transfer_end, code=code, text=text))

    def _on_transfer_end(self, flight: _Flight, code: int, text: str) -> None:
        transfer = flight.transfer
        assert transfer is not None
        failure = transfer.failure(code, text, self._timeout) if code != pycurl.E_OK else None
        if failure is None:
            reply = transfer.reply(_now() - flight.started)
            if reply.status < _FIRST_FINAL_STATUS:
                self._fail(flight, Failure(Reason.PROTOCOL, "The receiver sent no final response."))
            else:
                self._finish(flight, reply)
        elif (
            (code in _FALLS_BACK or transfer.refused_by_proxy)
            and flight.hosts
            and transfer.sent_nothing
            and _now() < flight.started + self._timeout
        ):
            self._start_transfer(flight, transfer)
        else:
            if failure.reason is Reason.INTERNAL:
                _log.error("transfer_failed", origin=flight.origin, code=code)
            if self._proxy is not None and failure.reason is Reason.CONNECT:
                _log.warning("proxy_gave_no_way", origin=flight.origin, told=failure.message)
            self._fail(flight, failure)

    def _fail(self, flight: _Flight, failure: Failure) -> None:
        self._finish(flight, NoReply(failure.reason, failure.message, _now() - flight.started))

    def _finish(self, flight: _Flight, result: Reply | NoReply) -> None:
        if flight.transfer is not None:
            self._idle.append(flight.transfer)
        self._done.append((flight.on_done, (flight.exchange, result)))

    def _open_multi(self) -> None:
        self._resolving: dict[_Flight, Micros] = {}  # with each deadline
        self._flying: dict[Any, _Flight] = {}  # by libcurl handle
        self._idle: list[Transfer] = []
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, self._max_in_flight)

    def _close_multi(self) -> None:
        for curl in self._flying:
            with suppress(pycurl.error):
                self._multi.remove_handle(curl)
        with suppress(pycurl.error):
            self._multi.close()
        for curl in [*self._flying, *(transfer.curl for transfer in self._idle)]:
            with suppress(pycurl.error):
                curl.close()

    def _restart(self) -> None:
        """Ends everything in flight as ``internal`` and opens a new libcurl."""
        flights = [*self._resolving, *self._flying.values()]
        self._close_multi()
        self._open_multi()
        for flight in flights:
            flight.transfer = None
            self._fail(flight, Failure(Reason.INTERNAL, INTERNAL))


def _no_address(lookup: Lookup) -> Failure:
    nowhere = {socket.EAI_NONAME, socket.EAI_NODATA}
    if lookup.error is None or (isinstance(lookup.error, socket.gaierror) and lookup.error.errno in nowhere):
        return Failure(Reason.DNS, NOT_FOUND)
    _log.warning("lookup_failed", host=lookup.host, error=repr(lookup.error))
    return Failure(Reason.DNS, LOOKUP_FAILED)


def _now() -> Micros:
    return time.monotonic_ns() // 1000
