"""
Fair turns for work that takes a thread and memory: a few at once, and never all of them for one organization.

Who waits is served organization by organization, so that one with a hundred waiting pushes delays another's only by the
one that is under way. Waiting ends after a while, and when whoever waits goes away.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import SECOND

T = TypeVar("T")

_WAIT = 1 * SECOND
_BUSY = "Too many metrics are being read at this moment. k6 sends these again by itself; later ones are not affected."


class Turns:
    """Turns of the organizations: ``at_once`` in all, of which one organization has at most all but one."""

    def __init__(self, at_once: int, *, most_waiting: int, patience: float) -> None:
        self._free = at_once
        self._most = at_once - 1  #: turns of one organization
        self._most_waiting = most_waiting  #: bytes of one organization's waiting work
        self._patience = patience  #: seconds that anybody waits
        self._running: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._waiting: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    async def run(self, organization_id: int, size: int, work: Callable[[], T]) -> T:
        """What ``work``, of ``size`` bytes, gives in a thread. A turn ends with the work, even if nobody waits for it.

        Raises:
            RateLimited: there is no turn for it now, or the work itself took too long.
        """
        size = max(size, 1)
        if self._sizes.get(organization_id, 0) + size > self._most_waiting:
            raise RateLimited(_BUSY, _WAIT)
        self._sizes[organization_id] = self._sizes.get(organization_id, 0) + size
        try:
            async with asyncio.timeout(self._patience):
                await self._begin(organization_id)
        except TimeoutError:
            self._forget(organization_id, size)
            raise RateLimited(_BUSY, _WAIT) from None
        except asyncio.CancelledError:
            self._forget(organization_id, size)
            raise
        task = asyncio.ensure_future(asyncio.to_thread(work))
        task.add_done_callback(lambda ended: self._end(ended, organization_id, size))
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(task)
        except TimeoutError:
            raise RateLimited(_BUSY, _WAIT) from None

    async def _begin(self, organization_id: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(organization_id, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._give_back(organization_id)
            raise

    def _hand_out(self) -> None:
        """Gives the free turns to those who wait, one organization after the other."""
        for organization_id in list(self._waiting):
            if not self._free:
                return
            if self._running.get(organization_id, 0) < self._most:
                self._give_to(organization_id)

    def _give_to(self, organization_id: int) -> None:
        waiting = self._waiting[organization_id]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._free -= 1
                self._running[organization_id] = self._running.get(organization_id, 0) + 1
                break
        if waiting:
            self._waiting.move_to_end(organization_id)  # the others come first
        else:
            del self._waiting[organization_id]

    def _end(self, ended: "asyncio.Future[T]", organization_id: int, size: int) -> None:
        if not ended.cancelled():
            ended.exception()  # which nobody may be there for any more
        self._forget(organization_id, size)
        self._give_back(organization_id)

    def _forget(self, organization_id: int, size: int) -> None:
        self._sizes[organization_id] -= size
        if not self._sizes[organization_id]:
            del self._sizes[organization_id]

    def _give_back(self, organization_id: int) -> None:
        self._free += 1
        self._running[organization_id] -= 1
        if not self._running[organization_id]:
            del self._running[organization_id]
        self._hand_out()
