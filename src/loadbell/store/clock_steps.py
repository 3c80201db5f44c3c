"""
Corrects future instants in the rows after the clock was set back, or after a gap in which no worker ran.

One transaction does it, so it is done once. Of several workers on one PostgreSQL, the one with the lowest number does
it, if it is alone or its clock agrees with the database's: otherwise its own clock is wrong, and the others are right.

On SQLite, due times of deliveries follow in batches (``bring_nearer``), which don't block run reports; nobody else sets
one until the worker continues. On PostgreSQL, where others might, one statement changes them all; it blocks nobody,
because those rows aren't due.
"""

from collections.abc import Sequence

from loadbell.domain.ids import SECOND, Micros
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.postgresql import WORKER_LOCKS
from loadbell.store.engine.statements import Statement

MIN_STEP: Micros = 2 * SECOND
"""Clocks that differ by less count as equal."""

_WORKERS_OF_POSTGRESQL = Statement(
    """
    SELECT min(CAST(objid AS bigint)) AS eldest, count(*) AS workers,
        CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS database_now
    FROM pg_locks WHERE locktype = 'advisory' AND CAST(classid AS bigint) = :locks AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)


def _earlier(column: str) -> str:
    return f"{column} = CASE WHEN {column} > :now THEN {column} - CAST(:back AS bigint) ELSE {column} END"


_EARLIER_CHANNEL = ", ".join(map(_earlier, ("throttled_until", "bucket_full_at", "throttled_since")))
_SET_BACK = (
    Statement(
        f"UPDATE channels SET {_EARLIER_CHANNEL}, "
        "failing_since = failing_since - CAST(:back AS bigint), "
        "health_since = CASE WHEN health_since > :now THEN CAST(:now AS bigint) ELSE health_since END "
        "WHERE throttled_until > :now OR bucket_full_at > :now OR health_since > :now OR failing_since IS NOT NULL"
    ),
    Statement(f"UPDATE mails SET {_earlier('next_attempt_at')} WHERE next_attempt_at > :now"),
)
_AHEAD = "lease_owner IS NULL AND (due_at > :now OR resume_at > :now)"
_FIND_AHEAD = Statement(
    f"SELECT delivery_id FROM outbox WHERE {_AHEAD} AND delivery_id > :after ORDER BY delivery_id LIMIT :limit"
)
_NEARER = f"UPDATE outbox SET {_earlier('due_at')}, {_earlier('resume_at')} WHERE {_AHEAD}"
_ALL_NEARER = Statement(_NEARER)
_THESE_NEARER = Statement(_NEARER + " AND delivery_id IN LIST(:ids, text)")
_NOT_FAILING_MEANWHILE = Statement(
    "UPDATE channels SET failing_since = CASE WHEN failing_since + :gap > :now THEN CAST(:now AS bigint) "
    "ELSE failing_since + CAST(:gap AS bigint) END WHERE failing_since IS NOT NULL"
)
_RENEW = Statement("UPDATE outbox SET lease_until = :until WHERE lease_owner = :owner")


async def follow_step_back(tx: Transaction, *, owner: int, back: Micros, now: Micros) -> bool:
    """Moves future instants earlier by ``back``, as worker ``owner``'s clock was set back to ``now``.

    On SQLite, the deliveries must be moved afterwards. Returns False if another worker is responsible.
    """
    if not await _speaks_for_all(tx, owner, now):
        return False
    for statement in _SET_BACK:
        await tx.run(statement, back=back, now=now)
    if tx.dialect == "postgresql":
        await tx.run(_ALL_NEARER, back=back, now=now)
    return True


async def find_ahead(tx: Transaction, *, now: Micros, after: str, limit: int) -> list[str]:
    """Returns up to ``limit`` deliveries that aren't due yet, with ids above ``after``, in the order of their ids."""
    return [str(row["delivery_id"]) for row in await tx.all(_FIND_AHEAD, now=now, after=after, limit=limit)]


async def bring_nearer(tx: Transaction, ids: Sequence[str], *, back: Micros, now: Micros) -> None:
    """Moves the due times of these deliveries earlier by ``back``. For SQLite only."""
    await tx.run(_THESE_NEARER, ids=ids, back=back, now=now)


async def skip_gap(tx: Transaction, *, owner: int, gap: Micros, now: Micros, until: Micros) -> None:
    """Extends worker ``owner``'s leases to ``until`` after a ``gap`` without work, which doesn't count as failing."""
    await tx.run(_RENEW, owner=owner, until=until)
    if await _speaks_for_all(tx, owner, now):
        await tx.run(_NOT_FAILING_MEANWHILE, gap=gap, now=now)


async def _speaks_for_all(tx: Transaction, owner: int, now: Micros) -> bool:
    if tx.dialect == "sqlite":
        return True
    row = await tx.first(_WORKERS_OF_POSTGRESQL, locks=WORKER_LOCKS)
    assert row is not None
    agrees = abs(row["database_now"] - now) < MIN_STEP
    return bool(row["eldest"] == owner and (row["workers"] == 1 or agrees))
