"""Moves due times after a clock was set back: a few at a time, so that reports can continue."""

import asyncio

from loadbell.domain.ids import Micros
from loadbell.store.clock_steps import bring_nearer, find_ahead
from loadbell.store.engine.db import Database

BATCH = 500
"""Due times changed in one transaction: some milliseconds in which SQLite blocks other writers."""

_FOUND_AT_ONCE = 20 * BATCH
_PAUSE_S = 0.001  # between two batches: others who wait for the writer come first


class DueTimes:
    """The due times still to move after a clock was set ``back``; ``now``: the first instant after that."""

    def __init__(self, back: Micros, now: Micros) -> None:
        self._back, self._now = back, now
        self._after = ""

    async def follow(self, database: Database) -> None:
        """Moves all of them, each once, also when called again after an error.

        On PostgreSQL they were moved already, in the transaction that noticed the clock.
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
