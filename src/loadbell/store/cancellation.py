"""
Cancels deliveries: by a person, or because their channel, project or organization was deleted.

A pending delivery is cancelled with a message that says why; one that had ended before a Redeliver keeps its end. A
delivery that is being sent finishes its attempt, and is checked again if it becomes pending after it. A sweep
(``sweeps.py``) cancels many. ``outbox.py`` has the order of locks on PostgreSQL.
"""

from collections.abc import Collection
from uuid import UUID

from loadbell.domain.deliveries import FinalStatus
from loadbell.domain.ids import Micros
from loadbell.store.deliveries import Ending, end_deliveries
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.ordering import leave, leave_together, lock_around, release

CHANNEL_DELETED = "The channel was deleted before this was sent."
PROJECT_DELETED = "The project was deleted before this was sent."
ORGANIZATION_DELETED = "The organization was deleted before this was sent."

LOST = (
    "CASE WHEN EXISTS "
    "(SELECT 1 FROM organizations org WHERE org.id = d.organization_id AND org.deleted_at IS NOT NULL) "
    f"THEN '{ORGANIZATION_DELETED}' WHEN d.project_id IS NOT NULL AND NOT EXISTS "
    "(SELECT 1 FROM projects p WHERE p.id = d.project_id AND p.deleted_at IS NULL) "
    f"THEN '{PROJECT_DELETED}' "
    "WHEN o.form IS NULL AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.id = d.channel_id) "
    f"THEN '{CHANNEL_DELETED}' END"
)
"""SQL on a delivery ``d`` and its work ``o``: the message about what was deleted; null: nothing."""

_LOCK_PENDING = Statement(
    "SELECT delivery_id FROM outbox WHERE delivery_id IN LIST(:ids, text) AND lease_owner IS NULL "
    "ORDER BY delivery_id FOR UPDATE"
)
_DELETE = Statement("DELETE FROM outbox WHERE delivery_id IN LIST(:ids, text)")
_FIND_LOST = Statement(
    f"SELECT d.id, {LOST} AS lost FROM outbox o JOIN deliveries d ON d.id = o.delivery_id "
    "WHERE o.delivery_id IN LIST(:ids, text) AND o.lease_owner IS NULL"
)
_COUNT_PENDING = Statement(
    "SELECT count(*) AS count FROM outbox o JOIN deliveries d ON d.id = o.delivery_id "
    "WHERE o.organization_id = :organization_id AND o.lease_owner IS NULL "
    "AND (d.project_id = :project_id OR CAST(:project_id AS bigint) IS NULL)"
)


async def count_pending(tx: Transaction, organization_id: int, project_id: int | None = None) -> int:
    """Counts the pending deliveries of the organization, or of one of its projects."""
    row = await tx.first(_COUNT_PENDING, organization_id=organization_id, project_id=project_id)
    assert row is not None
    return int(row["count"])


async def delete_work(tx: Transaction, ids: Collection[str]) -> None:
    """Deletes the outbox rows of these deliveries, which this transaction has locked."""
    if ids:
        await tx.run(_DELETE, ids=ids)


async def end_pending(tx: Transaction, ids: Collection[str], ending: Ending) -> list[str]:
    """Deletes the work of the pending ones among these deliveries and ends their logs; returns their ids."""
    if not ids:
        return []
    pending = [row["delivery_id"] for row in await tx.all(_LOCK_PENDING, ids=ids)]
    if pending:
        await delete_work(tx, pending)
        await end_deliveries(tx, pending, ending)
    return pending


async def cancel_one(tx: Transaction, delivery_id: UUID) -> None:
    """Cancels a pending, locked delivery at a person's request; those behind it wait for what it waited for."""
    await leave(tx, str(delivery_id))
    await cancel_these(tx, [str(delivery_id)], None, tx.now)


async def cancel_these(
    tx: Transaction, delivery_ids: Collection[str], message: str | None, now: Micros
) -> tuple[list[str], int]:
    """Cancels the pending ones, releases those behind them; returns the cancelled ids and the number released."""
    cancelled = await end_pending(tx, delivery_ids, Ending(FinalStatus.CANCELLED, now, message))
    return cancelled, await release(tx, cancelled)


async def cancel_in_line(tx: Transaction, delivery_ids: Collection[str], message: str | None, now: Micros) -> None:
    """Cancels the pending ones; those behind them wait for what they waited for."""
    if delivery_ids:
        await lock_around(tx, delivery_ids)
        if await leave_together(tx, delivery_ids):
            tx.wake_workers()
        await end_pending(tx, delivery_ids, Ending(FinalStatus.CANCELLED, now, message))


async def cancel_lost(tx: Transaction, delivery_ids: Collection[str]) -> int:
    """Cancels pending ones whose channel, project or organization is deleted; returns how many others it released."""
    if not delivery_ids:
        return 0
    lost: dict[str, list[str]] = {}
    for row in await tx.all(_FIND_LOST, ids=delivery_ids):
        if row["lost"] is not None:
            lost.setdefault(row["lost"], []).append(row["id"])
    return sum([(await cancel_these(tx, ids, message, tx.now))[1] for message, ids in lost.items()])
