"""API tokens, stored by hash."""

from dataclasses import dataclass

import sqlalchemy as sa

from loadbell.domain.ids import MAX_ID, Micros
from loadbell.domain.orgs import Role, Scope, Token
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import members, tokens

_INSERT = Statement(
    insert_into(
        tokens,
        *("organization_id", "user_id", "name", "scope", "trigger", "hash", "prefix", "created_at", "expires_at"),
        "project_id",
    ).returning(tokens.c.id)
)
_FIND = Statement(
    sa.select(tokens, members.c.role)
    .join(
        members,
        sa.and_(members.c.organization_id == tokens.c.organization_id, members.c.user_id == tokens.c.user_id),
    )
    .where(tokens.c.hash == sa.bindparam("hash"))
)
_GET = Statement(
    sa.select(tokens).where(
        tokens.c.id == sa.bindparam("id"), tokens.c.organization_id == sa.bindparam("organization_id")
    )
)
_PAGE = Statement(
    sa.select(tokens)
    .where(tokens.c.organization_id == sa.bindparam("organization_id"), tokens.c.id < sa.bindparam("before"))
    .order_by(tokens.c.id.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_DELETE = Statement("DELETE FROM tokens WHERE id = :id AND organization_id = :organization_id")
_TOUCH = Statement(
    "UPDATE tokens SET last_used_at = :now WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :now)"
)


@dataclass(frozen=True)
class TokenRow(Token):
    """A token with its user's current role."""

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
) -> int:
    """Adds a token by its hash and returns its id."""
    row = await tx.first(
        _INSERT,
        organization_id=organization_id,
        user_id=user_id,
        name=name,
        scope=scope.value,
        trigger=trigger.value,
        hash=token_hash,
        prefix=prefix,
        created_at=tx.now,
        expires_at=expires_at,
        project_id=project_id,
    )
    assert row is not None
    return int(row["id"])


async def find_token(tx: Transaction, token_hash: str) -> TokenRow | None:
    """Returns the token with that hash, if its user is still a member of its organization."""
    row = await tx.first(_FIND, hash=token_hash)
    return None if row is None else read_row(TokenRow, row)


async def get_token(tx: Transaction, organization_id: int, token_id: int) -> Token | None:
    """Returns the token, expired or not, if it is the organization's."""
    row = await tx.first(_GET, id=token_id, organization_id=organization_id)
    return None if row is None else read_row(Token, row)


async def list_tokens(tx: Transaction, organization_id: int, *, before: int | None, limit: int) -> list[Token]:
    """Returns up to ``limit`` tokens of the organization, expired ones too, newest first, with ids below ``before``."""
    rows = await tx.all(
        _PAGE, organization_id=organization_id, before=MAX_ID if before is None else before, limit=limit
    )
    return [read_row(Token, row) for row in rows]


async def delete_token(tx: Transaction, organization_id: int, token_id: int) -> None:
    """Deletes the organization's token with that id."""
    await tx.run(_DELETE, id=token_id, organization_id=organization_id)


async def note_token_use(tx: Transaction, token_id: int) -> None:
    """Records that the token was used now."""
    await tx.run(_TOUCH, id=token_id, now=tx.now)
