"""Replay: use cases to send a channel's ended deliveries again, and the task that does it.

Design: ``docs/decisions/0013-replay.md``.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from loadbell.domain.deliveries import FinalStatus
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from loadbell.domain.ids import SECOND, Micros, rfc3339
from loadbell.domain.orgs import Action, Principal
from loadbell.domain.replays import Replay
from loadbell.notify.channels import get_channel
from loadbell.store import replays as store
from loadbell.store.audit import append_entry
from loadbell.store.channels import lock_channel
from loadbell.store.engine.db import Database
from loadbell.store.unit_of_work import UnitOfWork

log = structlog.get_logger()

MAX_PENDING = 2
"""Deliveries of one replay that are pending or being sent at the same time."""

_POLL_INTERVAL_S = 1.0  # a backstop: recorded attempts wake it
_PAUSE_S = 0.01  # between two rounds; without it live notifications took 50 % longer (benchmarks/replay.py)


async def start_replay(  # noqa: PLR0913 - what to send again, and the ambient values
    unit: UnitOfWork[Principal],
    channel_id: int,
    *,
    since: Micros,
    until: Micros | None,
    statuses: Sequence[FinalStatus],
    dry_run: bool,
    counted: int | None = None,
) -> tuple[int | None, int]:
    """Starts one manual attempt of each delivery of the channel in the time span that has one of ``statuses`` now.

    ``since`` is included, ``until`` is not; None means now. Returns the replay's id (None for a dry run, which changes
    nothing) and the number of deliveries. Counting many takes long and would block all writers: do a dry run in a read
    transaction first and pass its number as ``counted``.

    Raises:
        NotFound: the channel isn't in the caller's organization.
        Invalid: no delivery can match.
        Conflict: the channel is paused or turned off, or another replay of it is in progress.
    """
    await get_channel(unit, channel_id)
    unit.principal.require(Action.MANAGE_DELIVERIES)
    if since > unit.now:
        raise Invalid(FieldError("since", "must not be in the future"))
    if until is not None and since >= until:
        raise Invalid(FieldError("until", "must be later than since"))
    until = unit.now if until is None else min(until, unit.now)
    span = store.Span(channel_id, max(since, 0), max(until, 0), tuple(dict.fromkeys(statuses)), unit.now)
    if not span.statuses:
        raise Invalid(FieldError("statuses", "must have at least one status"))
    count = await store.count_meant(unit.tx, span) if counted is None else counted
    if dry_run:
        return None, count
    channel = await lock_channel(unit.tx, unit.principal.organization_id, channel_id)
    if channel is None:
        raise NotFound(f"There is no channel {channel_id}.")
    if not channel.enabled:
        raise Conflict("The channel is turned off. Turn it on, then replay.")
    if channel.paused_reason is not None:
        raise Conflict("The channel is paused. Resume it, then replay.")
    other = await store.replay_going_on(unit.tx, channel_id)
    if other is not None:
        raise Conflict(f"Replay {other} of this channel is still running. Wait until it ends, then try again.")
    replay_id = await store.insert_replay(unit.tx, unit.principal.organization_id, span, count)
    changes = {
        "replay": replay_id,
        "since": rfc3339(span.since),
        "until": rfc3339(span.until),
        "statuses": span.statuses,
        "count": count,
    }
    await append_entry(unit.tx, unit.principal, "channel.replayed", f"channel {channel_id}", changes)
    return replay_id, count


async def get_replay(unit: UnitOfWork[Principal], channel_id: int, replay_id: int) -> Replay:
    """Returns the replay with its progress.

    Raises:
        NotFound: the channel isn't in the caller's organization, or the replay is not the channel's.
    """
    await get_channel(unit, channel_id)
    unit.principal.require(Action.READ_LOG)
    replay = await store.get_replay(unit.tx, unit.principal.organization_id, channel_id, replay_id)
    if replay is None:
        raise NotFound(f"There is no replay {replay_id} of channel {channel_id}.")
    return replay


class Replayer:
    """Runs replays from :meth:`start` until :meth:`stop`; several may run on the same database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts to look for replays."""
        self._task = asyncio.create_task(self._run(), name="replayer")

    async def stop(self) -> None:
        """Starts no more attempts."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Call this when an attempt of a replay was recorded: there may be room for the next."""
        self._wake.set()

    async def advance_all(self) -> float:
        """Starts attempts while there is room; returns the seconds until the next call."""
        ready, due = await self._database.read(store.replays_with_room, at_once=MAX_PENDING)
        more = False
        for replay_id in ready:
            try:
                more |= await self._database.write(store.advance_replay, replay_id, at_once=MAX_PENDING)
            except Unavailable:
                raise
            except Exception:
                log.exception("A replay failed; retrying", replay=replay_id)
        if more:
            return 0
        return _POLL_INTERVAL_S if due is None else min((due - self._database.clock()) / SECOND, _POLL_INTERVAL_S)

    async def _run(self) -> None:
        while True:
            pause = _POLL_INTERVAL_S
            self._wake.clear()
            try:
                pause = await self.advance_all()
            except Unavailable as error:
                log.warning("Replays can't reach the database; retrying", error=str(error))
            except Exception:
                log.exception("Looking for replays failed; retrying")
            await asyncio.sleep(_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
