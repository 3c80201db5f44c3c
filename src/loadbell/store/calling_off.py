"""
Deliveries that have lost what they were for: their channel, their project or their organization.

What is pending is cancelled and says why; a Redeliver returns to its end. What is being sent ends in its attempt, and
is looked at again by whoever makes it pending afterwards. Many are worked off by a sweep (``sweeps.py``). On PostgreSQL
rows are locked channels first, then deliveries in ascending order, as everybody locks them.
"""

from collections.abc import Collection

import msgspec

from loadbell.domain.ids import MAX_ID, Micros
from loadbell.store.db import Transaction
from loadbell.store.statements import Statement

CHANNEL_DELETED = "The channel was deleted before this was sent."
PROJECT_DELETED = "The project was deleted before this was sent."
ORGANIZATION_DELETED = "The organization was deleted before this was sent."
EVERY_GENERATION = MAX_ID
"""Of a sweep: whatever is pending for its channel is meant, Test Hooks too, for the channel is gone."""

LOST = (
    "CASE WHEN EXISTS (SELECT 1 FROM organizations o WHERE o.id = d.organization_id AND o.deleted_at IS NOT NULL) "
    f"THEN '{ORGANIZATION_DELETED}' WHEN d.project_id IS NOT NULL AND NOT EXISTS "
    "(SELECT 1 FROM projects p WHERE p.id = d.project_id AND p.deleted_at IS NULL) "
    f"THEN '{PROJECT_DELETED}' "
    "WHEN d.form IS NULL AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.id = d.channel_id) "
    f"THEN '{CHANNEL_DELETED}' END"
)
"""SQL on a delivery ``d``: the sentence that says what it has lost; null: nothing."""

_OF_SWEEP = (
    "CASE WHEN deliveries.status = 'pending' THEN (SELECT s.{} FROM sweeps s "
    "WHERE s.project_id = deliveries.project_id OR s.kind = 'cancel' AND s.channel_id = deliveries.channel_id "
    "AND deliveries.generation < s.generation AND (deliveries.lane = deliveries.channel_id OR s.generation = "
    f"{EVERY_GENERATION}) ORDER BY s.id LIMIT 1) END"
)
AS_SWEPT = f"{_OF_SWEEP.format('message')} AS swept, {_OF_SWEEP.format('created_at')} AS swept_at"
"""SQL columns of ``deliveries``: the sentence with which a sweep is about to cancel it, and since when; null: none."""

_IDS = ("IN (SELECT value FROM json_each(:ids))", "= ANY(CAST(:ids AS text[]))")
_CALLED_OFF = (
    "status = coalesce(settled, 'cancelled'), settled = NULL, next_attempt_at = NULL, resume_at = NULL, "
    "waits_for = NULL, form = NULL, finished_at = coalesce(finished_at, :now), "
)
_CALL_OFF = "UPDATE deliveries SET " + _CALLED_OFF
_CALL_OFF += (
    "message = CASE WHEN settled IS NULL THEN CAST(:message AS text) ELSE message END WHERE status = 'pending' "
)
_CALL_OFF_THESE = Statement(_CALL_OFF + "AND id " + _IDS[0], _CALL_OFF + "AND id " + _IDS[1])

_FIND_LOST = f"SELECT d.id, {LOST} AS lost FROM deliveries d WHERE d.status = 'pending' AND d.id "
_FIND_LOST_THESE = Statement(_FIND_LOST + _IDS[0], _FIND_LOST + _IDS[1])
_RELEASE = "UPDATE deliveries SET waits_for = NULL WHERE waits_for "
_RELEASE_FROM = Statement(_RELEASE + _IDS[0], _RELEASE + _IDS[1])

# Each part has a partial index, so that a look costs what is open, not what the log holds.
_OPEN = " UNION ALL ".join(
    f"SELECT id, status, waits_for FROM deliveries WHERE {part} AND organization_id = :organization_id AND {{of}}"
    for part in (
        "status = 'pending' AND waits_for IS NULL",
        "status = 'pending' AND waits_for IS NOT NULL",
        "status = 'sending'",
    )
)
_OPEN_OF = {
    "project": _OPEN.format(of="project_id = :project_id"),
    "organization": _OPEN.format(of="TRUE"),
}
_COUNT_PENDING = {
    name: Statement(f"SELECT count(*) AS count FROM ({open_ones}) AS open_ones WHERE status = 'pending'")
    for name, open_ones in _OPEN_OF.items()
}
_AROUND = Statement(
    "SELECT w.id FROM deliveries w WHERE w.waits_for = ANY(CAST(:ids AS text[])) "
    "UNION SELECT e.waits_for FROM deliveries e WHERE e.id = ANY(CAST(:ids AS text[])) AND e.waits_for IS NOT NULL"
)
_LOCK = Statement("SELECT id FROM deliveries WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE")
_LEAVE_LINE = """
    WITH RECURSIVE line(id, earlier) AS (
        SELECT w.id, e.waits_for FROM deliveries e JOIN deliveries w ON w.waits_for = e.id
        WHERE e.status = 'pending' AND e.id {ids} AND NOT w.id {ids}
        UNION ALL
        SELECT line.id, e.waits_for FROM line JOIN deliveries e ON e.id = line.earlier
        WHERE e.status = 'pending' AND e.id {ids}
    )
    UPDATE deliveries SET waits_for = line.earlier FROM line
    WHERE deliveries.id = line.id AND (line.earlier IS NULL
        OR NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.id = line.earlier AND e.status = 'pending' AND e.id {ids}))
"""
_LET_OTHERS_GO_ON = Statement(_LEAVE_LINE.format(ids=_IDS[0]), _LEAVE_LINE.format(ids=_IDS[1]))


async def count_pending(tx: Transaction, organization_id: int, project_id: int | None = None) -> int:
    """How many deliveries of the organization, or of one project of it, are pending."""
    name, where = _where(organization_id, project_id)
    row = await tx.first(_COUNT_PENDING[name], **where)
    assert row is not None
    return int(row["count"])


async def call_off_these(tx: Transaction, delivery_ids: Collection[str], message: str, now: Micros) -> None:
    """Cancels those of the deliveries that are pending, in one channel; what waited for them is free to go."""
    if delivery_ids:
        ids = _list(tx, delivery_ids)
        await tx.run(_CALL_OFF_THESE, ids=ids, message=message, now=now)
        await tx.run(_RELEASE_FROM, ids=ids)


async def call_off_in_line(tx: Transaction, delivery_ids: Collection[str], message: str, now: Micros) -> None:
    """Cancels those of the deliveries that are pending; what waited for them waits for what they waited for."""
    if delivery_ids:
        ids = _list(tx, delivery_ids)
        if tx.dialect == "postgresql":
            # With them what they wait for and what waits for them: a result that is being recorded holds the one and
            # wants the other.
            around = {row["id"] for row in await tx.all(_AROUND, ids=ids)}
            await tx.all(_LOCK, ids=sorted({*delivery_ids, *around}))
        if await tx.run(_LET_OTHERS_GO_ON, ids=ids):
            tx.wake_workers()
        await tx.run(_CALL_OFF_THESE, ids=ids, message=message, now=now)


async def call_off_lost(tx: Transaction, delivery_ids: Collection[str]) -> int:
    """Cancels those of the deliveries that are pending and have lost what they were for, after an attempt or a lease.

    What waited for them is free to go; gives how many that are.
    """
    released = 0
    if delivery_ids:
        found = await tx.all(_FIND_LOST_THESE, ids=_list(tx, delivery_ids))
        lost: dict[str, list[str]] = {}
        for row in found:
            if row["lost"] is not None:
                lost.setdefault(row["lost"], []).append(row["id"])
        for message, ids in lost.items():
            await tx.run(_CALL_OFF_THESE, ids=_list(tx, ids), message=message, now=tx.now)
            released += await tx.run(_RELEASE_FROM, ids=_list(tx, ids))
    return released


def _where(organization_id: int, project_id: int | None) -> tuple[str, dict[str, int]]:
    if project_id is None:
        return "organization", {"organization_id": organization_id}
    return "project", {"organization_id": organization_id, "project_id": project_id}


def _list(tx: Transaction, ids: Collection[str]) -> list[str] | str:
    """``ids`` as either database takes a list."""
    return list(ids) if tx.dialect == "postgresql" else msgspec.json.encode(list(ids)).decode()
