"""Answers to requests that carried an Idempotency-Key, kept for 24 hours for each token."""

import sqlalchemy as sa

from loadbell.domain.errors import Conflict
from loadbell.domain.ids import SECOND, Micros
from loadbell.store.db import Transaction
from loadbell.store.schema import idempotency_keys
from loadbell.store.statements import Statement

KEPT: Micros = 24 * 3600 * SECOND

_FORGET = Statement(
    sa.delete(idempotency_keys).where(
        idempotency_keys.c.token_id == sa.bindparam("token_id"), idempotency_keys.c.created_at < sa.bindparam("until")
    )
)
_CLAIM = Statement(
    "INSERT INTO idempotency_keys (token_id, key, request_hash, created_at) "
    "VALUES (:token_id, :key, :request_hash, :now) ON CONFLICT (token_id, key) DO NOTHING"
)
_GET = Statement(
    sa.select(idempotency_keys.c.request_hash, idempotency_keys.c.answer).where(
        idempotency_keys.c.token_id == sa.bindparam("token_id"), idempotency_keys.c.key == sa.bindparam("key")
    )
)
_KEEP = Statement(
    "UPDATE idempotency_keys SET answer = :answer WHERE token_id = :token_id AND key = :key AND answer IS NULL"
)


async def claim_key(tx: Transaction, token_id: int, key: str, request_hash: str, now: Micros) -> str | None:
    """Claims ``key`` for this request, or gives the answer that the same request had before.

    A request with the same key that is under way makes this one wait for its end.

    Raises:
        Conflict: the key was used for another request.
    """
    await tx.run(_FORGET, token_id=token_id, until=now - KEPT)
    if await tx.run(_CLAIM, token_id=token_id, key=key, request_hash=request_hash, now=now):
        return None
    row = await tx.first(_GET, token_id=token_id, key=key)
    if row is None or row["request_hash"] != request_hash:
        raise Conflict(
            "This Idempotency-Key was used in the last 24 hours for another request, or while this token had other "
            "rights. Use a new key for a new request."
        )
    return tx.unseal(row["answer"])


async def keep_answer(tx: Transaction, token_id: int, key: str, answer: str) -> None:
    """Keeps the answer to the request that claimed ``key`` in this transaction."""
    await tx.run(_KEEP, token_id=token_id, key=key, answer=tx.seal(answer))
