"""
Order of deliveries: one waits (``outbox.after``) for an earlier one of its channel to get a response or end.

Only this module decides what waits. The end of a run waits for its start; a resumed channel sends what it held one by
one, in the order of the events. That is the order of their ids, but a run's end follows its start even if both have the
same instant or the clock was set back. See ``docs/decisions/0006-ordering.md``.
"""

from collections.abc import Collection, Sequence

from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.statements import Statement

_UNANSWERED = Statement(
    # FOR UPDATE: waits for a response that is being recorded now, so that nothing waits for it afterwards.
    "SELECT o.delivery_id, o.channel_id FROM deliveries d JOIN outbox o ON o.delivery_id = d.id "
    "WHERE d.run_id = :run_id AND d.status = 'pending' AND NOT o.answered ORDER BY o.delivery_id FOR UPDATE OF o"
)
_BRING_FORWARD = Statement(
    "UPDATE outbox SET due_at = :now WHERE delivery_id = :id AND lease_owner IS NULL AND due_at > :now "
    "AND (SELECT d.reason FROM deliveries d WHERE d.id = :id) <> 'rate_limited'"
)
_RELEASE = Statement("UPDATE outbox SET after = NULL WHERE after IN LIST(:ids, text)")
_COMES_AFTER = Statement("SELECT after FROM outbox WHERE delivery_id = :id")
_LEAVE = Statement(
    # The delivery leaves the line together with its run's end, so what waits for that end moves up, too.
    """
    UPDATE outbox SET after = :earlier WHERE delivery_id IN (
        SELECT w.delivery_id FROM outbox w JOIN deliveries wd ON wd.id = w.delivery_id
        WHERE coalesce(wd.run_id <> (SELECT d.run_id FROM deliveries d WHERE d.id = :id), TRUE)
            AND (w.after = :id OR w.after IN (
                SELECT e.delivery_id FROM outbox e JOIN deliveries ed ON ed.id = e.delivery_id
                JOIN deliveries d ON d.run_id = ed.run_id WHERE e.after = :id AND d.id = :id)))
    """
)
_AROUND = Statement(
    "SELECT w.delivery_id FROM outbox w WHERE w.after IN LIST(:ids, text) "
    "UNION SELECT e.after FROM outbox e WHERE e.delivery_id IN LIST(:ids, text) AND e.after IS NOT NULL"
)
_LOCK = Statement(
    "SELECT delivery_id FROM outbox WHERE delivery_id IN LIST(:ids, text) ORDER BY delivery_id FOR UPDATE"
)
_LEAVE_TOGETHER = Statement(
    """
    WITH RECURSIVE line(id, earlier) AS (
        -- A delivery that waits for one of these, and what that one waits for …
        SELECT w.delivery_id, e.after FROM outbox e JOIN outbox w ON w.after = e.delivery_id
        WHERE e.lease_owner IS NULL AND e.delivery_id IN LIST(:ids, text)
            AND NOT w.delivery_id IN LIST(:ids, text)
        UNION ALL
        -- … and so on, past all of them.
        SELECT line.id, e.after FROM line JOIN outbox e ON e.delivery_id = line.earlier
        WHERE e.lease_owner IS NULL AND e.delivery_id IN LIST(:ids, text)
    )
    UPDATE outbox SET after = line.earlier FROM line
    WHERE outbox.delivery_id = line.id AND (line.earlier IS NULL OR NOT EXISTS (
        SELECT 1 FROM outbox e
        WHERE e.delivery_id = line.earlier AND e.lease_owner IS NULL AND e.delivery_id IN LIST(:ids, text)))
    """
)

_ROW = "SELECT o.delivery_id AS id, d.event_id, d.event, d.run_id, o.lease_owner IS NOT NULL AS sending, o.generation "
_WINDOW = Statement(
    _ROW + "FROM outbox o JOIN deliveries d ON d.id = o.delivery_id "
    "WHERE o.channel_id = :channel_id AND o.channel_key = :channel_id AND o.delivery_id > :after "
    "ORDER BY o.delivery_id LIMIT :limit FOR UPDATE OF o"
)
_OF_RUNS = Statement(
    _ROW + "FROM deliveries d JOIN outbox o ON o.delivery_id = d.id "
    "WHERE d.channel_id = :channel_id AND o.channel_key = :channel_id AND d.run_id IN LIST(:runs, bigint)"
)
_LAST = Statement(
    "SELECT o.delivery_id AS id FROM outbox o WHERE o.channel_id = :channel_id AND o.channel_key = :channel_id "
    "AND o.delivery_id <= :after AND (o.lease_owner IS NOT NULL OR o.generation >= :generation) "
    "AND NOT EXISTS (SELECT 1 FROM outbox w WHERE w.after = o.delivery_id) "
    "ORDER BY o.delivery_id DESC LIMIT 1 FOR UPDATE OF o"
)
_PUT = Statement(
    "UPDATE outbox SET after = :earlier, generation = :generation, "
    "due_at = CASE WHEN due_at > :now THEN CAST(:now AS bigint) ELSE due_at END "
    "WHERE delivery_id = :id AND lease_owner IS NULL"
)


async def lock_unanswered(tx: Transaction, run_id: int) -> dict[int, str]:
    """Returns, for each channel, its latest delivery of this run without a response yet; Redelivers don't count."""
    return {row["channel_id"]: row["delivery_id"] for row in await tx.all(_UNANSWERED, run_id=run_id)}


async def bring_forward(tx: Transaction, delivery_ids: Sequence[str]) -> None:
    """Makes these deliveries due now if they wait for a retry, unless the receiver asked for the wait."""
    await tx.run_many(_BRING_FORWARD, [{"id": delivery_id, "now": tx.now} for delivery_id in delivery_ids])


async def release(tx: Transaction, delivery_ids: Collection[str]) -> int:
    """Releases the deliveries that wait for these; returns how many."""
    return await tx.run(_RELEASE, ids=delivery_ids) if delivery_ids else 0


async def leave(tx: Transaction, delivery_id: str) -> None:
    """Makes those that wait for this locked delivery wait for the one that it waits for, if any.

    The end of its own run never waits for another run's delivery: it keeps waiting for this one.
    """
    row = await tx.first(_COMES_AFTER, id=delivery_id)
    if row is not None and row["after"] is not None:
        await tx.run(_LEAVE, id=delivery_id, earlier=row["after"])


async def leave_together(tx: Transaction, delivery_ids: Collection[str]) -> int:
    """Makes those that wait for the pending ones of these wait for what they waited for; returns how many."""
    return await tx.run(_LEAVE_TOGETHER, ids=delivery_ids)


async def lock_around(tx: Transaction, delivery_ids: Collection[str]) -> None:
    """Locks these deliveries and both neighbors in line: recording a result locks one of them and needs another."""
    around = {row["delivery_id"] for row in await tx.all(_AROUND, ids=delivery_ids)}
    await tx.all(_LOCK, ids={*delivery_ids, *around})


async def put_in_line(
    tx: Transaction, channel_id: int, *, after: str, generation: int, limit: int
) -> tuple[int, str | None]:
    """Appends up to ``limit`` deliveries of earlier generations, with ids above ``after``, to the channel's line.

    They also wait for what is being sent now. A run's end whose start has a later id is put in line with that. Returns
    how many were put in line, and the ``after`` of the next call; None at the end.
    """
    window = await tx.all(_WINDOW, channel_id=channel_id, after=after, limit=limit)
    if not window:
        return 0, None
    upto = window[-1]["id"]
    runs = sorted({row["run_id"] for row in window if row["run_id"] is not None})
    of_runs = await tx.all(_OF_RUNS, channel_id=channel_id, runs=runs) if runs else []
    later = {row["run_id"] for row in of_runs if row["id"] > upto and not _is_end(row)}
    rows = {row["id"]: row for row in window}
    rows.update({row["id"]: row for row in of_runs if row["id"] <= after and not row["sending"]})
    newest: dict[int, str] = {}
    for row in of_runs:
        newest[row["run_id"]] = max(row["event_id"], newest.get(row["run_id"], ""))
    line = [
        ((newest[row["run_id"]] if _is_end(row) else row["event_id"], _is_end(row), row["id"]), row["sending"])
        for row in rows.values()
        if not (_is_end(row) and row["run_id"] in later) and (row["sending"] or row["generation"] < generation)
    ]
    last = await tx.first(_LAST, channel_id=channel_id, after=after, generation=generation)
    earlier = None if last is None else last["id"]
    put = []
    for (_, _, delivery), is_sending in sorted(line):
        if not is_sending:
            put.append({"id": delivery, "earlier": earlier, "generation": generation, "now": tx.now})
        earlier = delivery
    await tx.run_many(_PUT, put)
    return len(put), upto if len(window) == limit else None


def _is_end(row: Row) -> bool:
    return bool(row["event"] == "test.finished")
