"""
The watchdog: ends runs whose source no longer reports.

It measures by its own monotonic clock how long a run's last report stays the same, so no clock that is wrong or set,
here or in another process, ends a run. Whenever it could not look (it starts, the process was suspended, the database
was unavailable, a clock was set), each source has its whole time again: it may have tried to report meanwhile. See
``docs/decisions/0025-time.md``.
"""

import asyncio

import structlog

from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import SECOND, Clock, Micros
from loadbell.runs.lifecycle import end_silent_run
from loadbell.store.engine.db import Database
from loadbell.store.runs import list_watched_runs

log = structlog.get_logger()

POLL_INTERVAL_S = 1.0
MAX_GAP: Micros = 2 * SECOND
"""If two steps are further apart by either clock, the time before does not count."""

MAX_ENDED = 100
"""Runs ended in one step, so that reports are not held up."""


class Watchdog:
    """Looks for silent runs every second from :meth:`start` until :meth:`stop`."""

    def __init__(self, database: Database, *, clock: Clock, monotonic: Clock) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._at: tuple[Micros, Micros] | None = None  # of the last step: monotonic clock, system clock
        self._last_reports: dict[int, tuple[Micros, Micros]] = {}  # by run: its last report, and when it was first seen
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts to watch; time before doesn't count."""
        self._task = asyncio.create_task(self._run(), name="watchdog")

    async def stop(self) -> None:
        """Stops watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def end_silent_runs(self) -> int:
        """Ends runs that sent no reports for too long. Returns how many.

        Raises:
            Unavailable: the database can't be reached; the time before does not count.
        """
        self._was_delayed()
        try:
            return await self._end(await self._find_silent())
        except Unavailable:
            self._last_reports.clear()
            raise

    def _was_delayed(self) -> bool:
        """Whether the last call was too long ago; then the time before does not count."""
        before, self._at = self._at, (self._monotonic(), self._clock())
        held_up = before is not None and _gap(before, self._at) > MAX_GAP
        if held_up:
            log.warning("The watchdog was delayed, or the clock was set: the timeout of every run starts again")
            self._last_reports.clear()
        return held_up

    async def _find_silent(self) -> list[tuple[int, int, Micros]]:
        """Returns the runs to end, longest silent first: organization, run, and its last report."""
        now = self._monotonic()
        watched = await self._database.read(list_watched_runs)
        seen_at = self._monotonic()  # after the read: time spent reading doesn't count
        silent: list[tuple[Micros, tuple[int, int, Micros]]] = []
        values: dict[int, tuple[Micros, Micros]] = {}
        for run in watched:
            last, since = self._last_reports.get(run.id, (None, 0))
            if last != run.last_report_at:
                since = seen_at
            values[run.id] = (run.last_report_at, since)
            if now - since >= run.watchdog:
                silent.append((since, (run.organization_id, run.id, run.last_report_at)))
        self._last_reports = values
        return [found for _, found in sorted(silent)[:MAX_ENDED]]

    async def _end(self, silent: list[tuple[int, int, Micros]]) -> int:
        ended = 0
        for organization_id, run_id, heard_at in silent:
            if self._was_delayed():
                break
            try:
                run = await self._database.write(end_silent_run, organization_id, run_id, heard_at=heard_at)
                ended += run is not None
            except Unavailable:
                raise
            except Exception:
                log.exception("A silent run couldn't be ended", run=run_id)
        return ended

    async def _run(self) -> None:
        while True:
            try:
                ended = await self.end_silent_runs()
                if ended:
                    log.info("Runs timed out without reports", runs=ended)
            except Unavailable as error:
                log.warning("The watchdog can't reach the database; retrying", error=str(error))
            except Exception:
                log.exception("The watchdog failed; retrying")
            await asyncio.sleep(POLL_INTERVAL_S)


def _gap(before: tuple[Micros, Micros], after: tuple[Micros, Micros]) -> Micros:
    """Returns the time between two instants: the larger of both clocks' spans and of their difference.

    A suspended machine stops the monotonic clock; the system's shows too little after it is set back.
    """
    steady, system = after[0] - before[0], after[1] - before[1]
    return max(steady, system, steady - system)
