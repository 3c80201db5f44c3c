"""
Room for connections: how many may be open, in all and from one place, and which of them go when there is no more.

Nobody who comes is refused. Instead whoever has let us wait longest goes, of the place that has most such connections:
an idle one, half a head, half a body, an answer that is not read. A connection whose request is being worked on stays,
however long that takes. So a new request gets in while thousands of connections do nothing, also when all of them come
from one address.
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
_TARGET_BODY_SHARE = 0.75  # of the bytes that may wait, so that making room is not done for each byte


@dataclass(frozen=True)
class ConnectionLimits:
    """How long a client may let us wait, in seconds, and how many may."""

    head: float = 10.0  #: from the first byte of a request, or from connecting, to the end of its headers
    body: float = 30.0  #: for a body, and as much more as it takes at ``rate``
    rate: int = 8 * 1024  #: bytes a second that a body, or the reading of a large answer, may be slow at
    idle: float = 75.0  #: between two requests; load balancers use 60
    unread: float = 30.0  #: for an answer to be taken, or ``rate`` times as many bytes of it
    linger: float = 5.0  #: what still comes after an answer is read past, so that the client gets to see it
    stopping: float = 3.0  #: while this process stops
    max_connections: int = 8_192  #: connections
    max_connections_per_network: int = 4_096  #: from one address, or one /64 of IPv6; a trusted proxy may have more
    max_waiting: int = 32 * 2**20  #: bytes of bodies that are not whole yet


class Connection(Protocol):
    """What this module knows of a connection."""

    @property
    def network(self) -> str:
        """Where it comes from."""
        ...

    @property
    def is_served(self) -> bool:
        """Whether a request on it has been answered."""
        ...

    def drop(self) -> None:
        """Ends it at once."""
        ...


Group = tuple[str, bool]  # whoever has been served is not counted with those that never asked for anything


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
        """A new one, which waits for its first request; drops another if there are too many."""
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
        """It has ended."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        self.work(connection)
        self.hold(connection, 0, 0.0)
        self._by_network[connection.network] -= 1
        if not self._by_network[connection.network]:
            del self._by_network[connection.network]

    def wait(self, connection: Connection) -> None:
        """From now on we wait for the client; among those that do, it is the youngest."""
        self.work(connection)
        if connection in self._open:
            group = self._group_of[connection] = (connection.network, connection.is_served)
            self._groups.setdefault(group, OrderedDict())[connection] = None

    def work(self, connection: Connection) -> None:
        """From now on the client waits for us."""
        group = self._group_of.pop(connection, None)
        if group is not None:
            del self._groups[group][connection]
            if not self._groups[group]:
                del self._groups[group]

    def hold(self, connection: Connection, length: int, now: float) -> None:
        """``length`` bytes of a body that is not whole yet are kept; drops the greediest if there are too many."""
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
        greediest_first = sorted(self._bodies, key=lambda one: of_place[one.network], reverse=True)  # else the oldest
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
