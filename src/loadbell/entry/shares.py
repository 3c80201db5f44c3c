"""
What one organization may take of this process at a time, so that its storm is not everybody's.

Two things are shared: turns at the database, and room for large bodies. Whoever wants more than is there waits, within
its own share; another organization's request passes it by. Where too many wait already, the next is told to come back.

Whose a request is shows only once its credential was looked up, which takes a turn itself. So it is remembered for
credentials that were good; the first request with one, and all with none that is good, count to the address they come
from. The health of the process takes no turn.
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

_MAX_KNOWN_CREDENTIALS = 10_000  # credentials
_MIB = 2**20


@dataclass(frozen=True)
class ShareLimits:
    """How much there is, and how much of it one organization gets."""

    at_once: int = 64  #: units of work of one organization at the database
    waiting: int = 512  #: more of them that wait for their turn
    bodies: int = 64 * _MIB  #: bytes of large bodies in memory
    bodies_of_one: int = 16 * _MIB  #: those of one organization; k6's largest push has half of that
    patience: float = 10.0  #: seconds that a large body waits for room


class _Line:
    def __init__(self, at_once: int) -> None:
        self.turns = asyncio.Semaphore(at_once)
        self.asking = 0


class Shares:
    """Who takes how much at this moment."""

    def __init__(self, limits: ShareLimits | None = None) -> None:
        self._limits = limits or ShareLimits()
        self._lines: dict[Hashable, _Line] = {}
        self._remembered: OrderedDict[object, Hashable] = OrderedDict()
        self._bodies: Counter[Hashable] = Counter()
        self._body_bytes = 0
        self._freed = asyncio.Event()

    def whose(self, credential: str | None, address: str | None) -> Hashable:
        """Whose share a request takes, by what is known of it before it is let in."""
        known = self._remembered.get(hash_credential(credential)) if credential else None
        return network_of(address) if known is None else known

    def remember(self, credential: str, whose: Hashable) -> None:
        """The credential was good, and is theirs."""
        hashed = hash_credential(credential)
        self._remembered[hashed] = whose
        self._remembered.move_to_end(hashed)
        if len(self._remembered) > _MAX_KNOWN_CREDENTIALS:
            self._remembered.popitem(last=False)

    @asynccontextmanager
    async def turn(self, whose: Hashable) -> AsyncIterator[None]:
        """Waits until fewer than ``at_once`` of theirs are at work.

        Raises:
            RateLimited: too many wait already.
        """
        line = self._lines.setdefault(whose, _Line(self._limits.at_once))
        if line.asking >= self._limits.at_once + self._limits.waiting:
            raise RateLimited("Too many requests of yours are waiting to be answered. Send fewer at once.", SECOND)
        line.asking += 1
        try:
            async with line.turns:
                yield
        finally:
            line.asking -= 1
            if not line.asking:
                del self._lines[whose]

    async def take_room(self, whose: Hashable, length: int) -> None:
        """Waits until there is room for ``length`` more bytes of theirs, which :meth:`give_room` gives back.

        Raises:
            RateLimited: they have taken theirs.
            Unavailable: others have taken all of it.
        """
        try:
            async with asyncio.timeout(self._limits.patience):
                while not self._has_room(whose, length):
                    await self._freed.wait()
        except TimeoutError:
            if self._bodies[whose] + length > self._limits.bodies_of_one:
                message = "Too many large requests of yours are under way. Send fewer at once."
                raise RateLimited(message, SECOND) from None
            raise Unavailable("Too many large requests are under way. Send the same request again.") from None
        self._bodies[whose] += length
        self._body_bytes += length

    def give_room(self, whose: Hashable, length: int) -> None:
        """Others may have it."""
        self._body_bytes -= length
        self._bodies[whose] -= length
        if not self._bodies[whose]:
            del self._bodies[whose]
        freed, self._freed = self._freed, asyncio.Event()
        freed.set()

    def _has_room(self, whose: Hashable, length: int) -> bool:
        own, limits = self._bodies.get(whose, 0), self._limits
        return own + length <= limits.bodies_of_one and self._body_bytes + length <= limits.bodies
