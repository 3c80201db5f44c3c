"""Limits how fast secrets can be guessed: a token bucket for each key, shared by all processes."""

from loadbell.domain.ids import Micros
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement

_DELETE_BATCH_SIZE = 20

_LOCK = Statement(
    "INSERT INTO attempt_paces (key, full_at) VALUES (:key, 0) "
    "ON CONFLICT (key) DO UPDATE SET full_at = attempt_paces.full_at RETURNING full_at"
)
_SET = Statement("UPDATE attempt_paces SET full_at = :full_at WHERE key = :key")
_RETURN = Statement("UPDATE attempt_paces SET full_at = full_at - :interval WHERE key = :key")
_FULL = "SELECT key FROM attempt_paces WHERE full_at <= :now ORDER BY full_at LIMIT :count"
_DELETE_FULL = Statement(
    f"DELETE FROM attempt_paces WHERE key IN ({_FULL})",
    # Materialized, or PostgreSQL may repeat the query for each deleted row and skip past those locked by now.
    f"WITH forgotten AS MATERIALIZED ({_FULL} FOR UPDATE SKIP LOCKED) "
    "DELETE FROM attempt_paces WHERE key IN (SELECT key FROM forgotten)",
)


async def take_token(tx: Transaction, key: str, bucket: TokenBucket) -> Micros:
    """Takes one token from the bucket of ``key``; returns 0, or how long to wait if it is empty.

    Locks the bucket until this transaction ends. Take from several buckets in the order of their keys, or two
    transactions could deadlock.
    """
    row = await tx.first(_LOCK, key=key)
    assert row is not None
    full_at = min(
        int(row["full_at"]), tx.now + bucket.burst * bucket.interval
    )  # more than empty: the clock was set back
    if not bucket.allowed(full_at, tx.now):
        return bucket.next_at(full_at) - tx.now
    await tx.run(_SET, key=key, full_at=bucket.after(full_at, tx.now, 1))
    return 0


async def return_token(tx: Transaction, key: str, bucket: TokenBucket) -> None:
    """Undoes one :func:`take_token`."""
    await tx.run(_RETURN, key=key, interval=bucket.interval)


async def delete_full_buckets(tx: Transaction) -> None:
    """Deletes some full buckets: a missing bucket counts as full."""
    await tx.run(_DELETE_FULL, now=tx.now, count=_DELETE_BATCH_SIZE)
