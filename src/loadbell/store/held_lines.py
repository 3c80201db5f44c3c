"""
The line in which a resumed channel is told what it had held: one after the other, in the order of the events.

That order is the order of their ids, but the end of a run follows its start even if both have the same instant or a
clock was set back. What is being sent just now is waited for, too.
"""

from collections.abc import Sequence

import msgspec

from loadbell.store.db import Row, Transaction
from loadbell.store.statements import Statement

_OPEN = "FROM deliveries WHERE channel_id = :channel_id AND status IN ('pending', 'sending') AND lane = :channel_id "
_WINDOW = "SELECT id, event_id, event, run_id, status, generation " + _OPEN + "AND id > :after ORDER BY id LIMIT :limit"
_FIND_WINDOW = Statement(_WINDOW, _WINDOW + " FOR UPDATE")
_OF_RUNS = (
    "SELECT id, event_id, event, run_id, status, generation FROM deliveries WHERE channel_id = :channel_id "
    "AND +lane = :channel_id AND status IN ('pending', 'sending') AND run_id {}"
)
_FIND_OF_RUNS = Statement(
    _OF_RUNS.format("IN (SELECT value FROM json_each(:runs))"), _OF_RUNS.format("= ANY(CAST(:runs AS bigint[]))")
)
_LAST = (
    "SELECT id " + _OPEN + "AND id <= :after AND (status = 'sending' OR generation >= :generation) "  # noqa: S608 - texts of this module
    "AND NOT EXISTS (SELECT 1 FROM deliveries w WHERE w.waits_for = deliveries.id) ORDER BY id DESC LIMIT 1"
)
_FIND_LAST = Statement(_LAST, _LAST + " FOR UPDATE")
_PUT = Statement(
    "UPDATE deliveries SET waits_for = :earlier, generation = :generation, "
    "next_attempt_at = CASE WHEN next_attempt_at > :now THEN CAST(:now AS bigint) ELSE next_attempt_at END "
    "WHERE id = :id AND status = 'pending'"
)


async def put_in_line(
    tx: Transaction, channel_id: int, *, after: str, generation: int, limit: int
) -> tuple[int, str | None]:
    """Puts up to ``limit`` deliveries of earlier generations, with ids above ``after``, behind those in the line.

    An end whose start comes later waits for its turn with that. Gives how many deliveries were put in line, and from
    which id to go on after; None: there are no more.
    """
    window = await tx.all(_FIND_WINDOW, channel_id=channel_id, after=after, limit=limit)
    if not window:
        return 0, None
    upto = window[-1]["id"]
    of_runs = await _of_runs(tx, channel_id, window)
    later = {row["run_id"] for row in of_runs if row["id"] > upto and not _is_end(row)}
    rows = {row["id"]: row for row in window}
    rows.update({row["id"]: row for row in of_runs if row["id"] <= after and row["status"] == "pending"})
    newest: dict[int, str] = {}
    for row in of_runs:
        newest[row["run_id"]] = max(row["event_id"], newest.get(row["run_id"], ""))
    line = [
        ((newest[row["run_id"]] if _is_end(row) else row["event_id"], _is_end(row), row["id"]), row["status"])
        for row in rows.values()
        if not (_is_end(row) and row["run_id"] in later)
        and (row["status"] == "sending" or row["generation"] < generation)
    ]
    last = await tx.first(_FIND_LAST, channel_id=channel_id, after=after, generation=generation)
    earlier = None if last is None else last["id"]
    put = []
    for (_, _, delivery), status in sorted(line):
        if status == "pending":
            put.append({"id": delivery, "earlier": earlier, "generation": generation, "now": tx.now})
        earlier = delivery
    await tx.run_many(_PUT, put)
    return len(put), upto if len(window) == limit else None


async def _of_runs(tx: Transaction, channel_id: int, window: Sequence[Row]) -> Sequence[Row]:
    """Everything open for the channel of the runs that the window tells of, in it or not."""
    runs = sorted({row["run_id"] for row in window if row["run_id"] is not None})
    if not runs:
        return []
    listed = runs if tx.dialect == "postgresql" else msgspec.json.encode(runs).decode()
    return await tx.all(_FIND_OF_RUNS, channel_id=channel_id, runs=listed)


def _is_end(row: Row) -> bool:
    return bool(row["event"] == "test.finished")
