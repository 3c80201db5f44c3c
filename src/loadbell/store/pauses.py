"""Pauses of channels: how a batch of results changes channels, and when held deliveries expire."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import FinalStatus, Reason
from loadbell.domain.ids import SECOND, Micros
from loadbell.store.cancellation import end_pending
from loadbell.store.channels import Listener
from loadbell.store.deliveries import Ending
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement
from loadbell.store.ordering import release

MAX_BATCH_SIZE = 200
"""About how many late deliveries one transaction ends."""

_LATELY: Micros = 10 * SECOND  # a channel that keeps being rate-limited is throttled again within this

_LOCK_CONCERNED = Statement(
    # NO KEY: run reports, which lock channels by KEY SHARE, don't wait for this lock.
    "SELECT id, organization_id, kind, name, failing_since, health_since, paused_at FROM channels "
    "WHERE id IN LIST(:all, bigint) AND (id IN LIST(:touched, bigint) "
    "OR failing_since IS NOT NULL AND id IN LIST(:well, bigint) "
    "OR paused_at IS NULL AND (failing_since IS NULL OR failing_since <= :before) AND id IN LIST(:failing, bigint)) "
    "ORDER BY id FOR NO KEY UPDATE"
)
_NOTE_FAILING = Statement("UPDATE channels SET failing_since = :since WHERE id = :id")
_PAUSE = Statement("UPDATE channels SET paused_at = :now, paused_reason = :reason WHERE id = :id AND paused_at IS NULL")
_LOCK_TOLD = Statement(
    # FOR KEY SHARE: a channel can't be deleted between this look and the commit of the deliveries made from it.
    "SELECT id, kind, subscription FROM channels "
    "WHERE organization_id = :organization_id AND enabled AND paused_at IS NULL ORDER BY id FOR KEY SHARE"
)

_RESUME = Statement(
    "UPDATE channels SET paused_at = NULL, paused_reason = NULL, failing_since = NULL, throttled_until = 0, "
    "rate_limits = 0, health_since = :now, "
    "bucket_full_at = CASE WHEN bucket_full_at > :bucket_full_at "
    "THEN CAST(:bucket_full_at AS bigint) ELSE bucket_full_at END WHERE id = :id"
)
_SINCE = "CASE WHEN d.status = 'pending' THEN d.created_at ELSE o.due_at END"
_FIND_LATE = Statement(
    f"""
    WITH RECURSIVE late(id, channel_id, paused) AS (
        SELECT id, channel_id, paused FROM (
            -- Held by a paused channel: first attempts, by when they were due …
            SELECT o.delivery_id AS id, o.channel_key AS channel_id, 1 AS paused FROM channels c CROSS JOIN outbox o
            WHERE c.paused_at IS NOT NULL AND o.lease_owner IS NULL AND o.after IS NULL AND o.is_retry = 0
                AND o.channel_key = c.id AND o.due_at <= :before
            UNION ALL
            -- … and retries, by when they were created; and deliveries that were only rate-limited since then.
            SELECT o.delivery_id AS id, o.channel_key AS channel_id,
                CASE WHEN c.paused_at IS NULL THEN 0 ELSE 1 END AS paused
            FROM channels c CROSS JOIN outbox o CROSS JOIN deliveries d
            WHERE (c.paused_at IS NOT NULL OR c.throttled_until > :lately)
                AND o.lease_owner IS NULL AND o.after IS NULL AND o.is_retry = 1 AND o.channel_key = c.id
                AND d.id = o.delivery_id AND {_SINCE} <= :before
                AND (c.paused_at IS NOT NULL OR d.reason = 'rate_limited' AND EXISTS (
                    SELECT 1 FROM attempts a
                    WHERE a.delivery_id = d.id AND a.reason = 'rate_limited' AND a.started_at <= :before))
            LIMIT :limit
        ) AS heads
        UNION ALL
        -- Behind each, those that wait for it.
        SELECT o.delivery_id, o.channel_key, late.paused
        FROM late JOIN outbox o ON o.after = late.id JOIN deliveries d ON d.id = o.delivery_id
        WHERE late.paused = 1 AND o.lease_owner IS NULL AND d.created_at <= :before
    )
    SELECT id, channel_id, paused FROM late LIMIT :limit
    """
)
_LOCK_PAUSED = Statement(
    # KEY SHARE blocks a resume; a channel that is being resumed is skipped.
    "SELECT id FROM channels WHERE paused_at IS NOT NULL AND id IN LIST(:ids, bigint) "
    "ORDER BY id FOR KEY SHARE SKIP LOCKED"
)
_LOCK_LATE = Statement(
    # Skips deliveries that were sent or redelivered since they were found.
    "SELECT o.delivery_id AS id, o.organization_id FROM outbox o JOIN deliveries d ON d.id = o.delivery_id "
    f"WHERE o.lease_owner IS NULL AND {_SINCE} <= :before "
    "AND (d.id IN LIST(:held, text) OR d.id IN LIST(:limited, text) AND d.reason = 'rate_limited') "
    "ORDER BY o.delivery_id FOR UPDATE OF o"
)


@dataclass(frozen=True)
class ChannelHealth:
    """A channel's health before a batch of results changes it."""

    id: int
    organization_id: int
    kind: ChannelKind
    name: str
    failing_since: Micros | None
    health_since: Micros  #: attempts that began earlier say nothing about its health now
    paused: bool


async def lock_concerned(
    tx: Transaction,
    *,
    touched: Collection[int],
    well: Collection[int],
    failing: Collection[int],
    before: Micros,
) -> list[ChannelHealth]:
    """Returns and locks the channels that a batch of results changes, by id, until this transaction ends.

    These are the ``touched`` ones, the ``well`` ones that were failing, and the unpaused ``failing`` ones that weren't
    failing yet or have been since ``before`` or earlier. In normal operation there are none.
    """
    lists = {"all": {*touched, *well, *failing}, "touched": touched, "well": well, "failing": failing}
    rows = await tx.all(_LOCK_CONCERNED, before=before, **lists)
    return [read_row(ChannelHealth, row, paused=row["paused_at"] is not None) for row in rows]


async def note_failing(tx: Transaction, since: Mapping[int, Micros | None]) -> None:
    """Saves since when each of these channels has only failed; None: it isn't failing."""
    await tx.run_many(_NOTE_FAILING, [{"id": channel, "since": instant} for channel, instant in sorted(since.items())])


async def pause_channel(tx: Transaction, channel_id: int, reason: str) -> bool:
    """Pauses the channel, except for Test Hooks; ``reason`` is a sentence. False if it was already paused."""
    return await tx.run(_PAUSE, id=channel_id, reason=reason, now=tx.now) > 0


async def list_pause_listeners(tx: Transaction, organization_id: int) -> list[Listener]:
    """Returns every channel of the organization that is enabled and not paused."""
    return [read_row(Listener, row) for row in await tx.all(_LOCK_TOLD, organization_id=organization_id)]


async def resume_channel(tx: Transaction, channel_id: int, *, bucket_full_at: Micros) -> None:
    """Resumes a channel, which this transaction has locked, as if it had never failed or been throttled.

    ``bucket_full_at``: when its bucket is full at the latest (see ``domain/token_bucket.py``).
    """
    await tx.run(_RESUME, id=channel_id, bucket_full_at=bucket_full_at, now=tx.now)


@dataclass(frozen=True)
class Late:
    """A delivery that has waited too long, for a paused channel or for a receiver's rate limit."""

    id: str
    channel_id: int
    paused: bool


async def find_late(tx: Transaction, *, before: Micros) -> list[Late]:
    """Returns deliveries that since ``before`` have waited for a paused channel or only been rate-limited.

    A Redeliver counts from its request. Returns at most :data:`MAX_BATCH_SIZE`; then there may be more.
    """
    rows = await tx.all(_FIND_LATE, before=before, lately=tx.now - _LATELY, limit=MAX_BATCH_SIZE)
    return [read_row(Late, row) for row in rows]


async def expire_late(tx: Transaction, late: Sequence[Late], *, held: str, limited: str, before: Micros) -> int:
    """Ends the deliveries that are still late and releases those that waited for them; returns how many were late.

    A Redeliver keeps its earlier end. ``held`` and ``limited`` are the messages for the two causes.
    """
    channels = {one.channel_id for one in late if one.paused}
    paused = {row["id"] for row in await tx.all(_LOCK_PAUSED, ids=channels)}
    by_pause = [one.id for one in late if one.paused and one.channel_id in paused]
    by_limit = [one.id for one in late if not one.paused]
    still = {
        row["id"]: row["organization_id"]
        for row in await tx.all(_LOCK_LATE, held=by_pause, limited=by_limit, before=before)
    }
    for ids, message in ((by_pause, held), (by_limit, limited)):
        late_ones = [delivery for delivery in ids if delivery in still]
        ending = Ending(FinalStatus.FAILED, tx.now, message, Reason.EXPIRED)
        ended = await end_pending(tx, late_ones, ending)
        if await release(tx, ended):
            tx.wake_workers()
    for organization in set(still.values()):
        tx.changed(organization)
    return len(still)
