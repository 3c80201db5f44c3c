"""
Replays: each is a row with a cursor over its channel's deliveries.

The cursor moves in the transaction that makes the deliveries due, so an interrupted replay continues where it was.
"""

from dataclasses import dataclass
from uuid import UUID

import msgspec

from loadbell.domain.deliveries import FinalStatus
from loadbell.domain.ids import Micros, first_uuid
from loadbell.domain.replays import Replay
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.enqueue import send_again
from loadbell.store.schema import replays

_WINDOW = 500  # deliveries looked at in one transaction

_MEANT = (
    # A failed Redeliver doesn't change finished_at, so the attempts are checked, too.
    "event <> 'test.notification_channel' AND finished_at < :asked_at AND status IN LIST(:statuses, text) "
    "AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.delivery_id = deliveries.id) AND NOT EXISTS "
    "(SELECT 1 FROM attempts a WHERE a.delivery_id = deliveries.id AND a.started_at + a.duration >= :asked_at) "
    "AND (project_id IS NULL OR EXISTS "
    "(SELECT 1 FROM projects p WHERE p.id = deliveries.project_id AND p.deleted_at IS NULL))"
)
_COUNT_MEANT = Statement(
    "SELECT count(*) AS count FROM deliveries "
    f"WHERE channel_id = :channel_id AND id > :after AND id < :until AND {_MEANT}"
)
_NEXT_MEANT = Statement(
    "SELECT id, run_id, status FROM deliveries "
    f"WHERE channel_id = :channel_id AND id > :after AND id <= :end AND {_MEANT} ORDER BY id LIMIT :room"
)
_WINDOW_END = Statement(
    "SELECT max(id) AS id FROM (SELECT id FROM deliveries WHERE channel_id = :channel_id AND id > :after "
    "AND id < :until ORDER BY id LIMIT :window) AS w"
)

_INSERT = Statement(
    insert_into(
        replays,
        *("organization_id", "channel_id", "statuses", "after", "until", "count", "created_at", "finished_at"),
        done=0,
    ).returning(replays.c.id)
)
_OPEN_ONES = "FROM outbox o WHERE o.replay_id = r.id"
_GET = Statement(
    f"SELECT r.*, (SELECT count(*) {_OPEN_ONES}) AS open FROM replays r "
    "WHERE r.id = :id AND r.channel_id = :channel_id AND r.organization_id = :organization_id"
)
_GOING_ON = Statement("SELECT id FROM replays WHERE channel_id = :channel_id AND finished_at IS NULL")

_FREE = (
    "FROM replays r JOIN channels c ON c.id = r.channel_id "
    "WHERE r.finished_at IS NULL AND c.enabled AND c.paused_at IS NULL "
)
_WITH_ROOM = Statement(
    f"SELECT r.id, c.throttled_until, c.bucket_full_at {_FREE} "
    f"AND (SELECT count(*) {_OPEN_ONES}) < :at_once ORDER BY r.id"
)
_LOCK = Statement(
    f"SELECT r.id, r.channel_id, r.statuses, r.after, r.until, r.created_at {_FREE} AND r.id = :id "
    "FOR UPDATE OF r SKIP LOCKED"
)
_OPEN_RUNS = Statement(
    "SELECT d.run_id FROM outbox o JOIN deliveries d ON d.id = o.delivery_id WHERE o.replay_id = :id"
)
_ADVANCE = Statement("UPDATE replays SET after = :after, done = done + :sent WHERE id = :id")
_FINISH = Statement("UPDATE replays SET finished_at = :now WHERE id = :id")


@dataclass(frozen=True)
class Span:
    """The deliveries of a channel that a replay covers, Test Hooks aside.

    They were created in [since, until), not before 1970, ended before ``asked_at`` in one of ``statuses``, and have had
    no attempt since. A response from before ``asked_at`` that is recorded later counts, too, though
    :func:`count_meant` doesn't see it yet.
    """

    channel_id: int
    since: Micros
    until: Micros
    statuses: tuple[FinalStatus, ...]
    asked_at: Micros

    @property
    def before(self) -> str:
        """An id before the first delivery."""
        return str(UUID(int=first_uuid(self.since).int - 1))

    @property
    def end(self) -> str:
        """The first id after the last delivery."""
        return str(first_uuid(self.until))


async def count_meant(tx: Transaction, span: Span) -> int:
    """Counts the deliveries in ``span``."""
    row = await tx.first(
        _COUNT_MEANT,
        channel_id=span.channel_id,
        after=span.before,
        until=span.end,
        asked_at=span.asked_at,
        statuses=span.statuses,
    )
    assert row is not None
    return int(row["count"])


async def insert_replay(tx: Transaction, organization_id: int, span: Span, count: int) -> int:
    """Adds a replay, finished at once if ``count`` is 0; returns its id."""
    row = await tx.first(
        _INSERT,
        organization_id=organization_id,
        channel_id=span.channel_id,
        statuses=msgspec.json.encode(span.statuses).decode(),
        after=span.before,
        until=span.end,
        count=count,
        created_at=span.asked_at,
        finished_at=None if count else span.asked_at,
    )
    assert row is not None
    return int(row["id"])


async def get_replay(tx: Transaction, organization_id: int, channel_id: int, replay_id: int) -> Replay | None:
    """Returns the replay, if it belongs to this channel of the organization."""
    row = await tx.first(_GET, id=replay_id, channel_id=channel_id, organization_id=organization_id)
    return None if row is None else read_row(Replay, row, done=row["done"] - row["open"])


async def replay_going_on(tx: Transaction, channel_id: int) -> int | None:
    """Returns the id of the channel's unfinished replay, if any."""
    row = await tx.first(_GOING_ON, channel_id=channel_id)
    return None if row is None else int(row["id"])


async def replays_with_room(tx: Transaction, *, at_once: int) -> tuple[list[int], Micros | None]:
    """Returns the replays that may send more now, and when the next of the others may.

    Leaves out paused and disabled channels. The others wait for a rate limit to end, or for the channel's bucket (see
    ``domain/token_bucket.py``) to be full.
    """
    ready: list[int] = []
    later: list[Micros] = []
    for row in await tx.all(_WITH_ROOM, at_once=at_once):
        due = max(row["throttled_until"], row["bucket_full_at"])
        if due <= tx.now:
            ready.append(row["id"])
        else:
            later.append(due)
    return ready, min(later, default=None)


async def advance_replay(tx: Transaction, replay_id: int, *, at_once: int) -> bool:
    """Makes a replay's next deliveries due, oldest first, until ``at_once`` are open, at most one of each run.

    Finishes the replay when none are left or open. Returns True if it reached the limit of one transaction with room
    for more. Skips a replay that another process is working on.
    """
    row = await tx.first(_LOCK, id=replay_id)
    if row is None:
        return False
    open_runs = [each["run_id"] for each in await tx.all(_OPEN_RUNS, id=replay_id)]
    room = at_once - len(open_runs)
    where = {"channel_id": row["channel_id"], "after": row["after"]}
    window = await tx.first(_WINDOW_END, **where, until=row["until"], window=_WINDOW)
    if window is None or window["id"] is None:
        if not open_runs:
            await tx.run(_FINISH, id=replay_id, now=tx.now)
        return False
    if room <= 0:
        return False
    statuses = msgspec.json.decode(row["statuses"], type=list[str])
    rows = await tx.all(
        _NEXT_MEANT, **where, end=window["id"], asked_at=row["created_at"], statuses=statuses, room=room
    )
    after, sent = row["after"], 0
    for each in rows:
        if each["run_id"] is not None and each["run_id"] in open_runs:
            break
        # One microsecond apart, so that the older one is leased first.
        due_at, final = tx.now - room + sent, FinalStatus(each["status"])
        sent += await send_again(tx, each["id"], final, replay_id=replay_id, due_at=due_at)
        open_runs.append(each["run_id"])
        after = each["id"]
    else:
        if len(rows) < room:
            after = window["id"]
    if after != row["after"]:
        await tx.run(_ADVANCE, id=replay_id, after=after, sent=sent)
    if sent:
        tx.wake_workers()
    return bool(after == window["id"])
