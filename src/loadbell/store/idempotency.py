"""Responses to requests with an Idempotency-Key, kept for 24 hours for each token."""

import sqlalchemy as sa

from loadbell.domain.errors import Conflict
from loadbell.domain.ids import SECOND, Micros
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement, delete_some
from loadbell.store.schema import idempotency_keys

RETENTION: Micros = 24 * 3600 * SECOND

_CLAIM = Statement(
    # An expired key is ignored, whether or not it has been deleted yet.
    "INSERT INTO idempotency_keys (token_id, key, request_hash, created_at) "
    "VALUES (:token_id, :key, :request_hash, :now) ON CONFLICT (token_id, key) DO UPDATE "
    "SET request_hash = excluded.request_hash, created_at = excluded.created_at, answer = NULL "
    "WHERE idempotency_keys.created_at < :until"
)
_ANY_OLD = Statement("SELECT key FROM idempotency_keys WHERE created_at < :until LIMIT 1")
_FORGET = Statement(
    *delete_some("idempotency_keys", "FROM idempotency_keys WHERE created_at < :until ORDER BY created_at LIMIT :limit")
)
_GET = Statement(
    sa.select(idempotency_keys.c.request_hash, idempotency_keys.c.answer).where(
        idempotency_keys.c.token_id == sa.bindparam("token_id"), idempotency_keys.c.key == sa.bindparam("key")
    )
)
_KEEP = Statement(
    "UPDATE idempotency_keys SET answer = :answer WHERE token_id = :token_id AND key = :key AND answer IS NULL"
)


async def claim_key(tx: Transaction, token_id: int, key: str, request_hash: str) -> str | None:
    """Claims ``key`` for this request, or returns the earlier response to the same request.

    Waits for a request with the same key that is in progress.

    Raises:
        Conflict: the key was used for another request.
    """
    if await tx.run(
        _CLAIM, token_id=token_id, key=key, request_hash=request_hash, now=tx.now, until=tx.now - RETENTION
    ):
        return None
    row = await tx.first(_GET, token_id=token_id, key=key)
    if row is None or row["request_hash"] != request_hash:
        raise Conflict(
            "This Idempotency-Key was used in the last 24 hours for another request, or when this token had other "
            "rights. Use a new key."
        )
    return tx.unseal(row["answer"])


async def save_response(tx: Transaction, token_id: int, key: str, answer: str) -> None:
    """Saves the response to the request that claimed ``key`` in this transaction."""
    await tx.run(_KEEP, token_id=token_id, key=key, answer=tx.seal(answer))


async def delete_expired_keys(tx: Transaction, *, limit: int) -> int:
    """Deletes up to ``limit`` expired keys; returns how many."""
    return await tx.run(_FORGET, until=tx.now - RETENTION, limit=limit)


async def has_expired_key(tx: Transaction) -> bool:
    """Returns whether :func:`delete_expired_keys` has keys to delete."""
    return await tx.first(_ANY_OLD, until=tx.now - RETENTION) is not None
