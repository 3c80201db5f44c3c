"""
Sweeps: changes to any number of rows, in batches. See ``docs/decisions/0024-sweeps.md``.

The row of a sweep is the mark: once it is committed, its channel sends nothing but Test Hooks, and the deliveries that
it will cancel read as cancelled. Each batch is one transaction, and any process can do the next. The first batch runs
in the transaction that sets the mark, so that small sweeps are done at once.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from loadbell.store.cancellation import cancel_in_line, cancel_these
from loadbell.store.deliveries import EVERY_GENERATION
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.statements import Statement, delete_some, insert_into
from loadbell.store.ordering import put_in_line
from loadbell.store.schema import sweeps

BATCH = 200
"""About how many rows one transaction changes: a few milliseconds, during which nobody else writes on SQLite."""

MORE_THAN_COUNTED = f"more than {BATCH}"
"""The count of deliveries while a sweep isn't done."""

_RUN_BATCH_SIZE = 50

_INSERT = Statement(
    insert_into(
        sweeps, "kind", "organization_id", "channel_id", "project_id", "generation", "message", "created_at", after=""
    ).returning(sweeps.c.id)
)
_SUPERSEDE = Statement("DELETE FROM sweeps WHERE channel_id = :channel_id")
_SUPERSEDE_ALL = Statement(
    "DELETE FROM sweeps WHERE channel_id IN (SELECT id FROM channels WHERE organization_id = :organization_id)"
)
_INSERT_FOR_ALL = Statement(
    "INSERT INTO sweeps (kind, organization_id, channel_id, generation, message, after, created_at) "
    "SELECT 'cancel', organization_id, id, CAST(:generation AS bigint), CAST(:message AS text), '', "
    "CAST(:now AS bigint) FROM channels c WHERE organization_id = :organization_id AND EXISTS "
    "(SELECT 1 FROM outbox o WHERE o.channel_id = c.id) RETURNING id"
)
_EARLIER = Statement("SELECT id FROM sweeps WHERE channel_id = :channel_id AND id < :id")
_READY = Statement(
    # One at a time for each channel, in the order of their requests.
    "SELECT id FROM sweeps s WHERE NOT EXISTS "
    "(SELECT 1 FROM sweeps e WHERE e.channel_id = s.channel_id AND e.id < s.id) ORDER BY id LIMIT :limit"
)
_TAKE = Statement("SELECT * FROM sweeps WHERE id = :id FOR UPDATE SKIP LOCKED")
_GO_ON_AFTER = Statement("UPDATE sweeps SET after = :after WHERE id = :id")
_DELETE = Statement("DELETE FROM sweeps WHERE id = :id")
_NEXT_GENERATION = Statement("UPDATE channels SET generation = generation + 1 WHERE id = :id RETURNING generation")

_FIND_PENDING = Statement(
    "SELECT delivery_id FROM outbox WHERE channel_id = :channel_id AND lease_owner IS NULL "
    "AND generation < :generation AND (channel_key = :channel_id OR CAST(:tests AS integer) = 1) "
    "ORDER BY delivery_id LIMIT :limit FOR UPDATE"
)
_RUNS = Statement("SELECT id FROM runs WHERE project_id = :project_id ORDER BY id DESC LIMIT :limit")
_PENDING_OF_RUNS = Statement(
    "SELECT o.delivery_id FROM deliveries d JOIN outbox o ON o.delivery_id = d.id "
    "WHERE d.run_id IN LIST(:ids, bigint) AND o.lease_owner IS NULL LIMIT :limit"
)
_PARTS_OF_RUNS = [
    Statement(*delete_some(table, f"FROM {table} WHERE run_id IN LIST(:ids, bigint) LIMIT :limit"))
    for table in ("run_measurements", "run_moves")
]
_DELETE_RUNS = Statement("DELETE FROM runs WHERE id IN LIST(:ids, bigint)")
_PARTS_OF_PROJECT = [
    Statement(*delete_some(table, f"FROM {table} WHERE project_id = :project_id LIMIT :limit"))
    for table in ("tests", "assignments")
]
_DELETE_PROJECT = Statement("DELETE FROM projects WHERE id = :project_id")
_DELETE_ASSIGNMENTS = Statement(
    *delete_some(
        "assignments",
        "FROM projects p JOIN assignments ON assignments.project_id = p.id "
        "WHERE p.organization_id = :organization_id LIMIT :limit",
    )
)


async def next_generation(tx: Transaction, channel_id: int) -> int:
    """Starts and returns the next generation of deliveries of a channel that this transaction has locked."""
    row = await tx.first(_NEXT_GENERATION, id=channel_id)
    assert row is not None
    return int(row["generation"])


async def sweep_held(tx: Transaction, organization_id: int, channel_id: int, *, drop: str | None) -> tuple[int, bool]:
    """Cancels the deliveries that a channel holds now, or makes them due in order; later ones aren't affected.

    This transaction has locked the channel. ``drop`` is the message of cancelled ones; None: nothing is cancelled.
    Returns how many deliveries are done, and whether those were all.
    """
    generation = await next_generation(tx, channel_id)
    kind, message = ("deliver", "") if drop is None else ("cancel", drop)
    of = {"organization_id": organization_id, "channel_id": channel_id, "project_id": None}
    return await _begin(tx, kind, of, generation=generation, message=message)


async def sweep_channel(tx: Transaction, organization_id: int, channel_id: int, message: str) -> tuple[int, bool]:
    """Cancels what is pending for a channel that this transaction deletes; returns how many, and whether all."""
    await tx.run(_SUPERSEDE, channel_id=channel_id)
    of = {"organization_id": organization_id, "channel_id": channel_id, "project_id": None}
    return await _begin(tx, "cancel", of, generation=EVERY_GENERATION, message=message)


async def sweep_channels(tx: Transaction, organization_id: int, message: str) -> None:
    """Cancels what is pending for the channels of an organization that this transaction is about to delete."""
    of = {"organization_id": organization_id}
    await tx.run(_SUPERSEDE_ALL, **of)
    room = BATCH
    for made in await tx.all(_INSERT_FOR_ALL, **of, generation=EVERY_GENERATION, message=message, now=tx.now):
        if room <= 0:
            break
        row = await tx.first(_TAKE, id=made["id"])
        assert row is not None
        count, _ = await _batch(tx, row)
        room -= count + 1


async def sweep_project(tx: Transaction, organization_id: int, project_id: int, message: str) -> None:
    """Deletes the rows of a project that this transaction marks as deleted; cancels its pending deliveries."""
    of = {"organization_id": organization_id, "channel_id": None, "project_id": project_id}
    await _begin(tx, "project", of, generation=0, message=message)


async def sweep_assignments(tx: Transaction, organization_id: int) -> None:
    """Deletes the assignments in an organization that this transaction marks as deleted."""
    of = {"organization_id": organization_id, "channel_id": None, "project_id": None}
    await _begin(tx, "organization", of, generation=0, message="")


async def ready_sweeps(tx: Transaction, *, limit: int) -> list[int]:
    """Returns up to ``limit`` sweeps that can continue, oldest first."""
    return [int(row["id"]) for row in await tx.all(_READY, limit=limit)]


async def go_on(tx: Transaction, sweep_id: int) -> None:
    """Does the next batch of a sweep; skips a sweep that another process is working on."""
    row = await tx.first(_TAKE, id=sweep_id)
    if row is not None:
        await _batch(tx, row)


async def _begin(
    tx: Transaction, kind: str, of: dict[str, int | None], *, generation: int, message: str
) -> tuple[int, bool]:
    made = await tx.first(_INSERT, kind=kind, **of, generation=generation, message=message, created_at=tx.now)
    assert made is not None
    if of["channel_id"] is not None and await tx.first(_EARLIER, channel_id=of["channel_id"], id=made["id"]):
        return 0, False
    row = await tx.first(_TAKE, id=made["id"])
    assert row is not None
    return await _batch(tx, row)


async def _batch(tx: Transaction, row: Row) -> tuple[int, bool]:
    count, over = await _KINDS[row["kind"]](tx, row)
    tx.changed(row["organization_id"])
    if over:
        await tx.run(_DELETE, id=row["id"])
        tx.wake_workers()
    return count, over


async def _cancel(tx: Transaction, row: Row) -> tuple[int, bool]:
    rows = await tx.all(
        _FIND_PENDING,
        channel_id=row["channel_id"],
        generation=row["generation"],
        tests=int(row["generation"] == EVERY_GENERATION),
        limit=BATCH,
    )
    ids = [each["delivery_id"] for each in rows]
    await cancel_these(tx, ids, row["message"], tx.now)
    return len(ids), len(ids) < BATCH


async def _deliver(tx: Transaction, row: Row) -> tuple[int, bool]:
    count, after = await put_in_line(
        tx, row["channel_id"], after=row["after"], generation=row["generation"], limit=BATCH
    )
    if after is not None:
        await tx.run(_GO_ON_AFTER, id=row["id"], after=after)
    return count, after is None


async def _remove_project(tx: Transaction, row: Row) -> tuple[int, bool]:
    """Deletes the newest runs first: pending deliveries belong to those."""
    project = {"project_id": row["project_id"]}
    runs = [each["id"] for each in await tx.all(_RUNS, **project, limit=_RUN_BATCH_SIZE)]
    if runs:
        pending = [each["delivery_id"] for each in await tx.all(_PENDING_OF_RUNS, ids=runs, limit=BATCH)]
        await cancel_in_line(tx, pending, row["message"], tx.now)
        if len(pending) == BATCH or await _fills_a_batch(tx, _PARTS_OF_RUNS, ids=runs):
            return 0, False
        await tx.run(_DELETE_RUNS, ids=runs)
        if len(runs) == _RUN_BATCH_SIZE:
            return 0, False
    if await _fills_a_batch(tx, _PARTS_OF_PROJECT, **project):
        return 0, False
    await tx.run(_DELETE_PROJECT, **project)
    return 0, True


async def _remove_assignments(tx: Transaction, row: Row) -> tuple[int, bool]:
    count = await tx.run(_DELETE_ASSIGNMENTS, organization_id=row["organization_id"], limit=BATCH)
    return count, count < BATCH


async def _fills_a_batch(tx: Transaction, deletions: list[Statement], **of: Any) -> bool:
    """Runs each deletion for up to one batch; stops and returns True at the first that may have more to delete."""
    for deletion in deletions:
        if await tx.run(deletion, **of, limit=BATCH) == BATCH:
            return True
    return False


_KINDS: dict[str, Callable[[Transaction, Row], Awaitable[tuple[int, bool]]]] = {
    "cancel": _cancel,
    "deliver": _deliver,
    "project": _remove_project,
    "organization": _remove_assignments,
}
