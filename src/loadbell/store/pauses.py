"""
Pauses of channels: what a batch of results does to its channels, and what becomes of the deliveries that they hold.

On PostgreSQL rows are locked channels first, then deliveries, each in ascending order, as everybody locks them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from loadbell.domain.channels import ChannelKind, Subscription
from loadbell.domain.ids import SECOND, Micros
from loadbell.store.channels import Listener
from loadbell.store.db import Transaction
from loadbell.store.statements import Statement

LARGEST_BATCH = 200
"""How many deliveries that waited too long are ended in one transaction, about."""

_LATELY: Micros = 10 * SECOND  # a channel that keeps being rate-limited is throttled again within this

_CONCERNED = (
    "SELECT id, organization_id, kind, name, failing_since, judged_from, paused_at FROM channels "
    "WHERE id {any_of_all} AND (id {any_of_touched} OR failing_since IS NOT NULL AND id {any_of_well} "
    "OR paused_at IS NULL AND (failing_since IS NULL OR failing_since <= :before) AND id {any_of_failing}) ORDER BY id"
)
_LISTS = ("all", "touched", "well", "failing")
_LOCK_CONCERNED = Statement(
    _CONCERNED.format(**{f"any_of_{name}": f"IN (SELECT value FROM json_each(:{name}))" for name in _LISTS}),
    # NO KEY: reports, which hold channels by KEY SHARE, are not kept waiting.
    _CONCERNED.format(**{f"any_of_{name}": f"= ANY(CAST(:{name} AS bigint[]))" for name in _LISTS})
    + " FOR NO KEY UPDATE",
)
_NOTE_FAILING = Statement("UPDATE channels SET failing_since = :since WHERE id = :id")
_PAUSE = Statement("UPDATE channels SET paused_at = :now, paused_reason = :reason WHERE id = :id AND paused_at IS NULL")
_TOLD = (
    "SELECT id, kind, subscription FROM channels "
    "WHERE organization_id = :organization_id AND enabled AND paused_at IS NULL ORDER BY id"
)
# FOR KEY SHARE: a channel can't be deleted between this look and the commit of the deliveries made from it.
_LOCK_TOLD = Statement(_TOLD, _TOLD + " FOR KEY SHARE")

_RESUME = Statement(
    "UPDATE channels SET paused_at = NULL, paused_reason = NULL, failing_since = NULL, throttled_until = 0, "
    "rate_limits = 0, judged_from = :now, "
    "full_at = CASE WHEN full_at > :full_at THEN CAST(:full_at AS bigint) ELSE full_at END WHERE id = :id"
)
_END = (
    "UPDATE deliveries SET status = coalesce(settled, 'failed'), "
    "reason = CASE WHEN settled IS NULL THEN 'expired' ELSE reason END, "
    "message = CASE WHEN settled IS NULL THEN CAST(:message AS text) ELSE message END, "
    "settled = NULL, resume_at = NULL, next_attempt_at = NULL, waits_for = NULL, form = NULL, "
    "finished_at = coalesce(finished_at, :now) WHERE status = 'pending' AND "
)

_WAITED_TOO_LONG = """
    WITH RECURSIVE late(id, lane, paused) AS (
        SELECT id, lane, paused FROM (
            SELECT d.id AS id, d.lane AS lane, 1 AS paused FROM channels c CROSS JOIN deliveries d
            WHERE c.paused_at IS NOT NULL AND d.status = 'pending' AND d.waits_for IS NULL AND d.retrying = 0
                AND d.lane = c.id AND d.next_attempt_at <= :before
            UNION ALL
            SELECT d.id AS id, d.lane AS lane, CASE WHEN c.paused_at IS NULL THEN 0 ELSE 1 END AS paused
            FROM channels c CROSS JOIN deliveries d
            WHERE (c.paused_at IS NOT NULL OR c.throttled_until > :lately)
                AND d.status = 'pending' AND d.waits_for IS NULL AND d.retrying = 1 AND d.lane = c.id
                AND CASE WHEN d.settled IS NULL THEN d.created_at ELSE d.next_attempt_at END <= :before
                AND (c.paused_at IS NOT NULL OR d.reason = 'rate_limited' AND EXISTS (
                    SELECT 1 FROM attempts a
                    WHERE a.delivery_id = d.id AND a.reason = 'rate_limited' AND a.started_at <= :before))
            LIMIT :limit
        ) AS heads
        UNION ALL
        SELECT d.id, d.lane, late.paused FROM late JOIN deliveries d ON d.waits_for = late.id
        WHERE late.paused = 1 AND d.status = 'pending' AND d.created_at <= :before
    )
    SELECT id, lane, paused FROM late LIMIT :limit
"""
_FIND_LATE = Statement(_WAITED_TOO_LONG)
_STILL_PAUSED = "SELECT id FROM channels WHERE paused_at IS NOT NULL AND id "
_LOCK_PAUSED = Statement(
    _STILL_PAUSED + "IN (SELECT value FROM json_each(:ids))",
    # KEY SHARE keeps a resume away; one that is under way has the channel, and is left alone.
    _STILL_PAUSED + "= ANY(CAST(:ids AS bigint[])) ORDER BY id FOR KEY SHARE SKIP LOCKED",
)
_STILL_LATE = (
    # What was sent or asked for since it was found is left alone.
    "SELECT id FROM deliveries WHERE status = 'pending' "
    "AND CASE WHEN settled IS NULL THEN created_at ELSE next_attempt_at END <= :before "
    "AND (id {held} OR id {limited} AND reason = 'rate_limited')"
)
_LOCK_LATE = Statement(
    _STILL_LATE.format(**{name: f"IN (SELECT value FROM json_each(:{name}))" for name in ("held", "limited")}),
    _STILL_LATE.format(**{name: f"= ANY(CAST(:{name} AS text[]))" for name in ("held", "limited")})
    + " ORDER BY id FOR UPDATE",
)
_EXPIRE_LATE = Statement(
    _END + "id IN (SELECT value FROM json_each(:ids)) RETURNING organization_id",
    _END + "id = ANY(CAST(:ids AS text[])) RETURNING organization_id",
)
_RELEASE = Statement(
    "UPDATE deliveries SET waits_for = NULL WHERE waits_for IN (SELECT value FROM json_each(:ids))",
    "UPDATE deliveries SET waits_for = NULL WHERE waits_for = ANY(CAST(:ids AS text[]))",
)


@dataclass(frozen=True)
class Standing:
    """How a channel stands before a batch of results changes it."""

    id: int
    organization_id: int
    kind: ChannelKind
    name: str
    failing_since: Micros | None
    judged_from: Micros  #: attempts that began before say nothing about it as it is now
    paused: bool


async def lock_concerned(
    tx: Transaction,
    *,
    touched: Collection[int],
    well: Collection[int],
    failing: Collection[int],
    before: Micros,
) -> list[Standing]:
    """The channels that a batch of results changes, by id; nobody else changes them until this transaction ends.

    These are the ``touched`` ones, those that are ``well`` again, and of those that are ``failing`` the ones that did
    not fail yet or have failed since ``before``, and are not paused. When all is well, there is none.
    """
    lists = {"touched": touched, "well": well, "failing": failing}
    lists["all"] = {*touched, *well, *failing}
    rows = await tx.all(_LOCK_CONCERNED, before=before, **{name: _ids(tx, ids) for name, ids in lists.items()})
    return [
        Standing(
            id=row["id"],
            organization_id=row["organization_id"],
            kind=ChannelKind(row["kind"]),
            name=row["name"],
            failing_since=row["failing_since"],
            judged_from=row["judged_from"],
            paused=row["paused_at"] is not None,
        )
        for row in rows
    ]


async def note_failing(tx: Transaction, since: Mapping[int, Micros | None]) -> None:
    """Keeps since when each of these channels has done nothing but fail; None: it has not."""
    await tx.run_many(_NOTE_FAILING, [{"id": channel, "since": instant} for channel, instant in sorted(since.items())])


async def pause_channel(tx: Transaction, channel_id: int, reason: str) -> bool:
    """Lets the channel send nothing but Test Hooks, for ``reason`` in words; False: it was paused already."""
    return await tx.run(_PAUSE, id=channel_id, reason=reason, now=tx.now) > 0


async def told_of_pauses(tx: Transaction, organization_id: int) -> list[Listener]:
    """Every channel of the organization that is enabled and not paused."""
    return [
        Listener(row["id"], ChannelKind(row["kind"]), msgspec.json.decode(row["subscription"], type=Subscription))
        for row in await tx.all(_LOCK_TOLD, organization_id=organization_id)
    ]


async def resume_channel(tx: Transaction, channel_id: int, *, full_at: Micros) -> None:
    """Lets a channel that this transaction has locked send again, as if it had never failed or been throttled.

    ``full_at``: when its bucket is full, at the latest (see ``domain/pace.py``).
    """
    await tx.run(_RESUME, id=channel_id, full_at=full_at, now=tx.now)


@dataclass(frozen=True)
class Late:
    """A delivery that has waited too long, for a paused channel or for a receiver's rate limit."""

    id: str
    channel_id: int
    paused: bool


async def find_late(tx: Transaction, *, before: Micros) -> list[Late]:
    """What has waited since ``before`` for a paused channel, or has met rate limits since then until now.

    A Redeliver counts from when it was asked for. There may be more from :data:`LARGEST_BATCH` on.
    """
    rows = await tx.all(_FIND_LATE, before=before, lately=tx.now - _LATELY, limit=LARGEST_BATCH)
    return [Late(row["id"], row["lane"], bool(row["paused"])) for row in rows]


async def expire_late(tx: Transaction, late: Sequence[Late], *, held: str, limited: str, before: Micros) -> int:
    """Ends those of the deliveries that are still late. A Redeliver returns to its end; what waited for it may go.

    ``held`` and ``limited`` tell each of them why. Gives how many there were.
    """
    channels = sorted({one.channel_id for one in late if one.paused})
    paused = {row["id"] for row in await tx.all(_LOCK_PAUSED, ids=_ids(tx, channels))}
    by_pause = [one.id for one in late if one.paused and one.channel_id in paused]
    by_limit = [one.id for one in late if not one.paused]
    found = await tx.all(_LOCK_LATE, held=_ids(tx, by_pause), limited=_ids(tx, by_limit), before=before)
    still = {row["id"] for row in found}
    for ids, message in ((by_pause, held), (by_limit, limited)):
        ended = [delivery for delivery in ids if delivery in still]
        for row in await tx.all(_EXPIRE_LATE, ids=_ids(tx, ended), message=message, now=tx.now):
            tx.changed(row["organization_id"])
        if await tx.run(_RELEASE, ids=_ids(tx, ended)):
            tx.wake_workers()
    return len(still)


def _ids(tx: Transaction, ids: Collection[int] | Collection[str]) -> list[int | str] | str:
    """``ids`` as either database takes a list."""
    return list(ids) if tx.dialect == "postgresql" else msgspec.json.encode(list(ids)).decode()
