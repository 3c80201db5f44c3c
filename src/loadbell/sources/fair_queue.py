"""
A fair queue for work that needs a thread and memory: a few at once, and never all of them for one organization.

Waiting work is served organization by organization, so one with a hundred waiting pushes delays another's only by the
one in progress. Waiting ends after a timeout, or when the client disconnects.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import SECOND

T = TypeVar("T")

_RETRY_AFTER = 1 * SECOND
_BUSY = "Too many metrics are being read at this moment. k6 sends these again by itself; later ones are not affected."


class FairQueue:
    """Runs up to ``max_running`` at once, of one organization at most all but one."""

    def __init__(self, max_running: int, *, max_waiting: int, timeout_s: float) -> None:
        self._free = max_running
        self._max_per_organization = max_running - 1  #: running at once
        self._max_waiting = max_waiting  #: bytes of one organization's waiting work
        self._timeout_s = timeout_s  #: the longest wait
        self._running: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._waiting: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    async def run(self, organization_id: int, size: int, work: Callable[[], T]) -> T:
        """Runs ``work``, of ``size`` bytes, in a thread. Its turn ends with the work, even if nobody waits for it.

        Raises:
            RateLimited: there is no turn for it now, or the work took too long.
        """
        size = max(size, 1)
        if self._sizes.get(organization_id, 0) + size > self._max_waiting:
            raise RateLimited(_BUSY, _RETRY_AFTER)
        self._sizes[organization_id] = self._sizes.get(organization_id, 0) + size
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._acquire(organization_id)
        except TimeoutError:
            self._forget(organization_id, size)
            raise RateLimited(_BUSY, _RETRY_AFTER) from None
        except asyncio.CancelledError:
            self._forget(organization_id, size)
            raise
        task = asyncio.ensure_future(asyncio.to_thread(work))
        task.add_done_callback(lambda ended: self._finish(ended, organization_id, size))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(task)
        except TimeoutError:
            raise RateLimited(_BUSY, _RETRY_AFTER) from None

    async def _acquire(self, organization_id: int) -> None:
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(organization_id, deque()).append(slot)
        self._grant_free()
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():  # its turn came at the same moment
                self._release(organization_id)
            raise

    def _grant_free(self) -> None:
        """Starts waiting work while there are free turns, one organization after the other."""
        for organization_id in list(self._waiting):
            if not self._free:
                return
            if self._running.get(organization_id, 0) < self._max_per_organization:
                self._grant(organization_id)

    def _grant(self, organization_id: int) -> None:
        waiting = self._waiting[organization_id]
        while waiting:
            slot = waiting.popleft()
            if not slot.done():
                slot.set_result(None)
                self._free -= 1
                self._running[organization_id] = self._running.get(organization_id, 0) + 1
                break
        if waiting:
            self._waiting.move_to_end(organization_id)  # the others come first
        else:
            del self._waiting[organization_id]

    def _finish(self, ended: "asyncio.Future[T]", organization_id: int, size: int) -> None:
        if not ended.cancelled():
            ended.exception()  # mark it as retrieved: nobody may be waiting any more
        self._forget(organization_id, size)
        self._release(organization_id)

    def _forget(self, organization_id: int, size: int) -> None:
        self._sizes[organization_id] -= size
        if not self._sizes[organization_id]:
            del self._sizes[organization_id]

    def _release(self, organization_id: int) -> None:
        self._free += 1
        self._running[organization_id] -= 1
        if not self._running[organization_id]:
            del self._running[organization_id]
        self._grant_free()
