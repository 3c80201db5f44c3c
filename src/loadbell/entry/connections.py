"""
Limits open connections, in total and per network, and selects which to drop at the limit.

New connections are never refused. Instead, of the network with the most connections waiting for their client, the one
that has waited longest is dropped: idle, with half a head or body, or with an unread response. A connection whose
request is being handled stays, however long that takes. So new requests get in while thousands of connections do
nothing, also when all of them come from one address.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

import structlog

from loadbell.settings import Network

log = structlog.get_logger()

_LOG_INTERVAL_S = 60.0
_TARGET_BODY_SHARE = 0.75  # of the bytes that may wait, so that it doesn't run for each byte


@dataclass(frozen=True)
class ConnectionLimits:
    """How long to wait for a client, in seconds, and for how many."""

    head: float = 10.0  #: from the first byte of a request, or from connecting, to the end of its headers
    body: float = 30.0  #: for a body, plus its time at ``rate``
    rate: int = 8 * 1024  #: the slowest accepted bytes per second, of a body or of reading a response
    idle: float = 75.0  #: between two requests; load balancers use 60
    unread: float = 30.0  #: for a response to be read, or ``rate`` times as many bytes of it
    linger: float = 5.0  #: rest of the input is skipped after an early response, so that the client can read it
    stopping: float = 3.0  #: while this process stops
    max_connections: int = 8_192  #: in total
    max_connections_per_network: int = 4_096  #: per IPv4 address or IPv6 /64; a trusted proxy may have more
    max_waiting: int = 32 * 2**20  #: bytes of incomplete bodies


class Connection(Protocol):
    """A connection, as this module needs it."""

    @property
    def network(self) -> str:
        """The network that it comes from."""
        ...

    @property
    def is_served(self) -> bool:
        """Whether a request on it has been answered."""
        ...

    def drop(self) -> None:
        """Ends it at once."""
        ...


Group = tuple[str, bool]  # network and is_served: clients with a request count apart from those without one


class Connections:
    """The open connections of this process."""

    def __init__(self, limits: ConnectionLimits, trusted: Sequence[Network] = ()) -> None:
        self.limits = limits
        self._trusted = trusted
        self._by_network: Counter[str] = Counter()
        self._groups: dict[Group, OrderedDict[Connection, None]] = {}
        self._group_of: dict[Connection, Group] = {}
        self._open: set[Connection] = set()
        self._bodies: dict[Connection, int] = {}
        self._body_bytes = 0
        self._dropped = 0
        self._logged_at = float("-inf")

    def add(self, connection: Connection, now: float) -> None:
        """Adds a connection that waits for its first request; drops another if there are too many."""
        self._open.add(connection)
        self._by_network[connection.network] += 1
        self.wait(connection)
        if self._by_network[connection.network] > self.limits.max_connections_per_network and not self._is_trusted(
            connection.network
        ):
            groups = ((connection.network, served) for served in (False, True))
            self._drop_oldest(max(groups, key=self._size), now)
        if len(self._open) > self.limits.max_connections:
            groups_by_greed = max(self._groups, key=lambda group: (not self._is_trusted(group[0]), self._size(group)))
            self._drop_oldest(groups_by_greed, now)

    def remove(self, connection: Connection) -> None:
        """Removes a connection that has ended."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        self.work(connection)
        self.hold(connection, 0, 0.0)
        self._by_network[connection.network] -= 1
        if not self._by_network[connection.network]:
            del self._by_network[connection.network]

    def wait(self, connection: Connection) -> None:
        """Marks it as waiting for its client from now on."""
        self.work(connection)
        if connection in self._open:
            group = self._group_of[connection] = (connection.network, connection.is_served)
            self._groups.setdefault(group, OrderedDict())[connection] = None

    def work(self, connection: Connection) -> None:
        """Marks it as being handled."""
        group = self._group_of.pop(connection, None)
        if group is not None:
            del self._groups[group][connection]
            if not self._groups[group]:
                del self._groups[group]

    def hold(self, connection: Connection, length: int, now: float) -> None:
        """Counts ``length`` bytes of an incomplete body; drops the networks with most if there are too many."""
        self._body_bytes += length - self._bodies.pop(connection, 0)
        if length:
            self._bodies[connection] = length
        if self._body_bytes > self.limits.max_waiting:
            self._drop_bodies(now)

    def _size(self, group: Group) -> int:
        return len(self._groups.get(group, ()))

    def _is_trusted(self, where: str) -> bool:
        try:
            return any(ip_address(where.partition("/")[0]) in network for network in self._trusted)
        except ValueError:
            return False

    def _drop_oldest(self, group: Group, now: float) -> None:
        waiting = self._groups.get(group)
        if waiting:
            self._drop(next(iter(waiting)), now)

    def _drop_bodies(self, now: float) -> None:
        of_place: Counter[str] = Counter()
        for connection, length in self._bodies.items():
            of_place[connection.network] += length
        greediest_first = sorted(self._bodies, key=lambda one: of_place[one.network], reverse=True)  # then the oldest
        for connection in greediest_first:
            if self._body_bytes <= self.limits.max_waiting * _TARGET_BODY_SHARE:
                return
            self._drop(connection, now)

    def _drop(self, connection: Connection, now: float) -> None:
        self.remove(connection)
        connection.drop()
        self._dropped += 1
        if now - self._logged_at >= _LOG_INTERVAL_S:
            log.warning(
                "The connection limit is reached; closing the connections that have been idle longest",
                closed=self._dropped,
                open=len(self._open),
                address=connection.network,
            )
            self._logged_at, self._dropped = now, 0
