"""
Locks an organization during a write. See ``docs/decisions/0016-one-organization-one-lock.md``.

PostgreSQL uses advisory locks, which are granted in the order of the requests; with row locks, new shared locks could
starve an exclusive one. SQLite has one writer at a time anyway.
"""

from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement

ORGANIZATION_LOCKS = 0x10AD_BE13
"""Class of these locks. Two organizations with the same number in it only wait for each other more often."""

_KEY = "(CAST(:locks AS integer), CAST(organization_id % 2147483647 AS integer))"
_BY_ID = " FROM (SELECT CAST(:organization_id AS bigint) AS organization_id) AS one"
_OF_HASH = " FROM tokens WHERE hash = :hash"
_SHARED = "SELECT pg_advisory_xact_lock_shared" + _KEY
_EXCLUSIVE = "SELECT pg_advisory_xact_lock" + _KEY
_LOCK = {False: Statement(_SHARED + _BY_ID), True: Statement(_EXCLUSIVE + _BY_ID)}
_LOCK_OF_TOKEN = {False: Statement(_SHARED + _OF_HASH), True: Statement(_EXCLUSIVE + _OF_HASH)}


async def lock_organization(tx: Transaction, organization_id: int, *, exclusive: bool) -> None:
    """Locks the organization's members and contents against changes until this transaction ends.

    ``exclusive``: nobody else writes in it at all. Anything read before the lock may be out of date.
    """
    if tx.dialect == "postgresql":
        await tx.all(_LOCK[exclusive], locks=ORGANIZATION_LOCKS, organization_id=organization_id)


async def lock_organization_of_token(tx: Transaction, token_hash: str, *, exclusive: bool) -> None:
    """Like :func:`lock_organization`, for the organization of the token, if the token exists."""
    if tx.dialect == "postgresql":
        await tx.all(_LOCK_OF_TOKEN[exclusive], locks=ORGANIZATION_LOCKS, hash=token_hash)
