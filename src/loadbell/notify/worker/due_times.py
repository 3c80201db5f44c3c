"""Due times of deliveries follow a clock that was set back: a few at a time, so that reports go on meanwhile."""

import asyncio

from loadbell.domain.ids import Micros
from loadbell.store.clock_steps import bring_nearer, find_ahead
from loadbell.store.engine.db import Database

BATCH = 500
"""How many due times one transaction changes: some milliseconds, in which nobody else writes on SQLite."""

_FOUND_AT_ONCE = 20 * BATCH
_PAUSE_S = 0.001  # between two batches: others who wait for the writer come first


class DueTimes:
    """The due times that still have to follow a clock that was set ``back``; ``now``: the first instant after that."""

    def __init__(self, back: Micros, now: Micros) -> None:
        self._back, self._now = back, now
        self._after = ""

    async def follow(self, database: Database) -> None:
        """Brings all of them nearer, each once, also if this is called again after it could not end.

        On PostgreSQL they have followed already, in the transaction that noticed the clock.
        """
        if database.dialect == "postgresql":
            return
        while ids := await self._find(database):
            for start in range(0, len(ids), BATCH):
                await self._bring_nearer(database, ids[start : start + BATCH])
                await asyncio.sleep(_PAUSE_S)

    async def _find(self, database: Database) -> list[str]:
        return await database.read(find_ahead, now=self._now, after=self._after, limit=_FOUND_AT_ONCE)

    async def _bring_nearer(self, database: Database, ids: list[str]) -> None:
        await database.write(bring_nearer, ids, back=self._back, now=self._now)
        self._after = ids[-1]
