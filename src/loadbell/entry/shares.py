"""
Limits one organization's share of this process, so that its load doesn't slow down all others.

Two things are shared: slots at the database, and room for large bodies. Requests beyond that wait within their own
share while other organizations' requests pass. If too many wait already, the next one is refused with a time to wait.

A request's organization is known only after its credential was looked up, which takes a slot itself. So it is
remembered for valid credentials; the first request with one, and all without a valid one, count for their address.
Health checks take no slot.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loadbell.accounts.credentials import hash_credential
from loadbell.accounts.rate_limit import network_of
from loadbell.domain.errors import RateLimited, Unavailable
from loadbell.domain.ids import SECOND

_MAX_KNOWN_CREDENTIALS = 10_000  # remembered
_MIB = 2**20


@dataclass(frozen=True)
class ShareLimits:
    """The limits in total and per organization."""

    max_running: int = 64  #: units of work of one organization at the database
    max_waiting: int = 512  #: more of them that wait
    max_bodies_size: int = 64 * _MIB  #: bytes of large bodies in memory
    max_bodies_size_per_key: int = 16 * _MIB  #: the same of one organization; k6's largest push has half of that
    timeout_s: float = 10.0  #: seconds that a large body waits for room


class _Queue:
    def __init__(self, at_once: int) -> None:
        self.slots = asyncio.Semaphore(at_once)
        self.users = 0


class Shares:
    """The shares that are in use."""

    def __init__(self, limits: ShareLimits | None = None) -> None:
        self._limits = limits or ShareLimits()
        self._queues: dict[Hashable, _Queue] = {}
        self._known: OrderedDict[object, Hashable] = OrderedDict()
        self._bodies: Counter[Hashable] = Counter()
        self._body_bytes = 0
        self._freed = asyncio.Event()

    def key_of(self, credential: str | None, address: str | None) -> Hashable:
        """The key of a request's share before its credential was checked."""
        known = self._known.get(hash_credential(credential)) if credential else None
        return network_of(address) if known is None else known

    def remember(self, credential: str, key: Hashable) -> None:
        """Remembers the key of a valid credential."""
        hashed = hash_credential(credential)
        self._known[hashed] = key
        self._known.move_to_end(hashed)
        if len(self._known) > _MAX_KNOWN_CREDENTIALS:
            self._known.popitem(last=False)

    @asynccontextmanager
    async def slot(self, key: Hashable) -> AsyncIterator[None]:
        """Waits until fewer than ``max_running`` units of ``key`` are running.

        Raises:
            RateLimited: too many wait already.
        """
        queue = self._queues.setdefault(key, _Queue(self._limits.max_running))
        if queue.users >= self._limits.max_running + self._limits.max_waiting:
            raise RateLimited("Too many of your requests are waiting. Send fewer at once.", SECOND)
        queue.users += 1
        try:
            async with queue.slots:
                yield
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[key]

    async def reserve(self, key: Hashable, length: int) -> None:
        """Waits until there is room for ``length`` more bytes of ``key``; :meth:`release` frees them.

        Raises:
            RateLimited: its share is used up.
            Unavailable: others use all of the room.
        """
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                while not self._has_room(key, length):
                    await self._freed.wait()
        except TimeoutError:
            if self._bodies[key] + length > self._limits.max_bodies_size_per_key:
                message = "Too many of your large requests are running. Send fewer at once."
                raise RateLimited(message, SECOND) from None
            raise Unavailable("Too many large requests are running. Send the request again.") from None
        self._bodies[key] += length
        self._body_bytes += length

    def release(self, key: Hashable, length: int) -> None:
        """Frees reserved bytes."""
        self._body_bytes -= length
        self._bodies[key] -= length
        if not self._bodies[key]:
            del self._bodies[key]
        freed, self._freed = self._freed, asyncio.Event()
        freed.set()

    def _has_room(self, key: Hashable, length: int) -> bool:
        own, limits = self._bodies.get(key, 0), self._limits
        return own + length <= limits.max_bodies_size_per_key and self._body_bytes + length <= limits.max_bodies_size
