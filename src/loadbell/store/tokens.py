"""API tokens: kept as hashes, found by them."""

from dataclasses import dataclass

import sqlalchemy as sa

from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.store.db import Transaction
from loadbell.store.schema import members, tokens
from loadbell.store.statements import Statement, insert_into

_INSERT = Statement(
    insert_into(
        tokens,
        *("organization_id", "user_id", "name", "scope", "trigger", "hash", "prefix", "created_at", "expires_at"),
        "project_id",
    ).returning(tokens.c.id)
)
_FIND = Statement(
    sa.select(
        tokens.c.id,
        tokens.c.organization_id,
        tokens.c.user_id,
        tokens.c.scope,
        tokens.c.trigger,
        tokens.c.expires_at,
        tokens.c.project_id,
        tokens.c.last_used_at,
        members.c.role,
    )
    .join(
        members,
        sa.and_(members.c.organization_id == tokens.c.organization_id, members.c.user_id == tokens.c.user_id),
    )
    .where(tokens.c.hash == sa.bindparam("hash"))
)
_LOCK = "SELECT o.id FROM organizations o JOIN tokens t ON t.organization_id = o.id WHERE t.hash = :hash "
_LOCK_SHARED = Statement(_LOCK, _LOCK + "FOR SHARE OF o")
_LOCK_ALONE = Statement(_LOCK, _LOCK + "FOR NO KEY UPDATE OF o")
_TOUCH = Statement(
    "UPDATE tokens SET last_used_at = :now WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :now)"
)


@dataclass(frozen=True)
class TokenRow:
    """A token as it stands, with the role its user has now."""

    id: int
    organization_id: int
    user_id: int
    scope: Scope
    trigger: Trigger
    expires_at: Micros | None
    project_id: int | None
    last_used_at: Micros | None
    role: Role


async def insert_token(  # noqa: PLR0913 - one argument for each column
    tx: Transaction,
    *,
    organization_id: int,
    user_id: int,
    name: str,
    scope: Scope,
    trigger: Trigger,
    token_hash: str,
    prefix: str,
    expires_at: Micros | None,
    project_id: int | None = None,
    now: Micros,
) -> int:
    """Adds a token of which only the hash is known; gives its id."""
    row = await tx.first(
        _INSERT,
        organization_id=organization_id,
        user_id=user_id,
        name=name,
        scope=scope.value,
        trigger=trigger.value,
        hash=token_hash,
        prefix=prefix,
        created_at=now,
        expires_at=expires_at,
        project_id=project_id,
    )
    assert row is not None
    return int(row["id"])


async def find_token(tx: Transaction, token_hash: str) -> TokenRow | None:
    """The token of that hash, if its user is still a member of its organization."""
    row = await tx.first(_FIND, hash=token_hash)
    if row is None:
        return None
    return TokenRow(
        id=row["id"],
        organization_id=row["organization_id"],
        user_id=row["user_id"],
        scope=Scope(row["scope"]),
        trigger=Trigger(row["trigger"]),
        expires_at=row["expires_at"],
        project_id=row["project_id"],
        last_used_at=row["last_used_at"],
        role=Role(row["role"]),
    )


async def lock_organization_of(tx: Transaction, token_hash: str, *, alone: bool) -> None:
    """Until this transaction ends nobody changes who belongs to the token's organization, or what it has.

    ``alone``: nobody else writes in it at all. See ``docs/decisions/0016-one-organization-one-lock.md``.
    """
    if tx.dialect == "postgresql":  # SQLite has one writer at a time anyway
        await tx.all(_LOCK_ALONE if alone else _LOCK_SHARED, hash=token_hash)


async def note_token_use(tx: Transaction, token_id: int, now: Micros) -> None:
    """Keeps when the token was last used."""
    await tx.run(_TOUCH, id=token_id, now=now)
