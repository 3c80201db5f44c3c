"""
The watchdog: ends runs whose source fell silent.

Silence counts from the later of the source's last report and the instant this process became ready, or ready again
after the database was away, so that a source which could not reach us meanwhile is not punished for it.
"""

import asyncio

import structlog

from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import SECOND, Clock, Entropy
from loadbell.runs.lifecycle import end_silent_run
from loadbell.store.db import Database, Transaction
from loadbell.store.runs import silent_runs

log = structlog.get_logger()

LOOK_SECONDS = 1.0


class Watchdog:
    """Looks for silent runs every second from :meth:`start` until :meth:`stop`."""

    def __init__(self, database: Database, *, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._ready_at = clock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on silence counts."""
        self._ready_at = self._clock()
        self._task = asyncio.create_task(self._run(), name="watchdog")

    async def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> int:
        """Ends every run whose silence has lasted as long as it may; gives how many."""
        now = self._clock()

        async def find(tx: Transaction) -> list[tuple[int, int]]:
            return await silent_runs(tx, now=now, not_before=self._ready_at)

        ended = 0
        for organization_id, run_id in await self._database.read(find):

            async def end(tx: Transaction, organization_id: int = organization_id, run_id: int = run_id) -> bool:
                run = await end_silent_run(tx, organization_id, run_id, now=now, entropy=self._entropy)
                return run is not None

            try:
                ended += await self._database.write(end)
            except Unavailable:
                raise
            except Exception:
                log.exception("A silent run could not be ended; the others are", run=run_id)
        return ended

    async def _run(self) -> None:
        while True:
            try:
                ended = await self.look()
                if ended:
                    log.info(
                        "Runs fell silent and were ended",
                        runs=ended,
                        after_s=(self._clock() - self._ready_at) // SECOND,
                    )
            except Unavailable as error:
                self._ready_at = self._clock()
                log.warning("The watchdog could not look; it will look again", error=str(error))
            except Exception:
                log.exception("The watchdog failed; it will look again")
            await asyncio.sleep(LOOK_SECONDS)
