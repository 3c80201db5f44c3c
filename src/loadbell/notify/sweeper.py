"""
The sweeper: continues work that was marked for it and removes expired rows, a few at a time.

Every batch is a transaction of some milliseconds with a pause after it, so reports and deliveries wait for one batch at
most. See ``docs/decisions/0024-sweeps.md``.
"""

import asyncio
from collections.abc import Sequence

import structlog

from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import Micros
from loadbell.domain.notices import format_span
from loadbell.store import pauses
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.idempotency import delete_expired_keys, has_expired_key
from loadbell.store.sweeps import BATCH, go_on, ready_sweeps

log = structlog.get_logger()

_POLL_INTERVAL_S = 0.5
_PAUSE_S = 0.005  # between two batches: others who wait for the writer come first
_MAX_SWEEPS = 20


async def find_late(tx: Transaction, *, hold_for: Micros) -> list[pauses.Late]:
    """Returns some that have waited longer than ``hold_for`` for a paused channel or a receiver's rate limit.

    This is slow when channels hold many deliveries: use it in a read transaction, never in one that writes.
    """
    return await pauses.find_late(tx, before=tx.now - hold_for)


async def expire_held(tx: Transaction, late: Sequence[pauses.Late], *, hold_for: Micros) -> int:
    """Expires the deliveries that have waited longer than ``hold_for``. Returns how many."""
    return await pauses.expire_late(
        tx,
        late,
        held=f"It expired after {format_span(hold_for)} in the queue of the paused channel. "
        "Resume the channel, then redeliver this if you still need it.",
        limited=f"It expired after {format_span(hold_for)}, because of the receiver's rate limit. "
        "Redeliver it if you still need it.",
        before=tx.now - hold_for,
    )


class Sweeper:
    """Sweeps from :meth:`start` until :meth:`stop`; several may run on the same database."""

    def __init__(self, database: Database, *, hold_for: Micros) -> None:
        self._database = database
        self._hold_for = hold_for
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts to look for work."""
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        """Stops; the next sweeper does what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep_all(self) -> bool:
        """Does one batch of each kind of work. Returns whether there is more."""
        ready, late, old_keys = await self._database.read(self._find)
        more = bool(ready)  # then the channel's next one may be ready
        for sweep_id in ready:
            try:
                await self._database.write(go_on, sweep_id)
            except Unavailable:
                raise
            except Exception:
                more = False
                log.exception("A sweep failed; retrying", sweep=sweep_id)
            await asyncio.sleep(_PAUSE_S)
        if late:
            expired = await self._database.write(expire_held, late, hold_for=self._hold_for)
            if expired:
                log.warning("Held deliveries expired", deliveries=expired)
            more |= expired >= pauses.MAX_BATCH_SIZE
        if old_keys:
            more |= await self._database.write(delete_expired_keys, limit=BATCH) >= BATCH
        return more

    async def _find(self, tx: Transaction) -> tuple[list[int], list[pauses.Late], bool]:
        late = await find_late(tx, hold_for=self._hold_for)
        return await ready_sweeps(tx, limit=_MAX_SWEEPS), late, await has_expired_key(tx)

    async def _run(self) -> None:
        while True:
            more = False
            try:
                more = await self.sweep_all()
            except Unavailable as error:
                log.warning("Sweeps can't reach the database; retrying", error=str(error))
            except Exception:
                log.exception("Looking for sweeps failed; retrying")
            await asyncio.sleep(_PAUSE_S if more else _POLL_INTERVAL_S)
