"""Open invitations, stored by hash; accepted, revoked and replaced ones are deleted."""

from dataclasses import replace

import msgspec
import sqlalchemy as sa

from loadbell.domain.ids import MAX_ID
from loadbell.domain.orgs import Invitation
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import invitations

_INSERT = Statement(
    insert_into(
        invitations,
        *("organization_id", "email", "role", "project_ids", "hash", "invited_by", "created_at", "expires_at"),
    ).returning(invitations.c.id)
)
_PAGE = Statement(
    sa.select(invitations)
    .where(
        invitations.c.organization_id == sa.bindparam("organization_id"),
        invitations.c.expires_at > sa.bindparam("now"),
        invitations.c.id < sa.bindparam("before"),
    )
    .order_by(invitations.c.id.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_GET = Statement(
    "SELECT * FROM invitations WHERE id = :id AND organization_id = :organization_id AND expires_at > :now"
)
_FIND = Statement("SELECT * FROM invitations WHERE hash = :hash AND expires_at > :now")
_TAKE = Statement("DELETE FROM invitations WHERE hash = :hash AND expires_at > :now RETURNING *")
_DELETE = Statement("DELETE FROM invitations WHERE id = :id AND organization_id = :organization_id")
_DELETE_FORMER = Statement(
    "DELETE FROM invitations WHERE organization_id = :organization_id AND (email = :email OR expires_at <= :now)"
)


async def insert_invitation(tx: Transaction, invitation: Invitation, invitation_hash: str) -> Invitation:
    """Adds an invitation by its hash and returns it with its id."""
    row = await tx.first(
        _INSERT,
        organization_id=invitation.organization_id,
        email=invitation.email,
        role=invitation.role.value,
        project_ids=msgspec.json.encode(invitation.project_ids).decode(),
        hash=invitation_hash,
        invited_by=invitation.invited_by,
        created_at=invitation.created_at,
        expires_at=invitation.expires_at,
    )
    assert row is not None
    return replace(invitation, id=int(row["id"]))


async def get_invitation(tx: Transaction, organization_id: int, invitation_id: int) -> Invitation | None:
    """Returns the invitation, if it is the organization's and hasn't expired."""
    row = await tx.first(_GET, organization_id=organization_id, id=invitation_id, now=tx.now)
    return None if row is None else read_row(Invitation, row)


async def list_invitations(
    tx: Transaction, organization_id: int, *, before: int | None, limit: int
) -> list[Invitation]:
    """Returns up to ``limit`` unexpired invitations of the organization, newest first, with ids below ``before``."""
    rows = await tx.all(
        _PAGE, organization_id=organization_id, before=MAX_ID if before is None else before, limit=limit, now=tx.now
    )
    return [read_row(Invitation, row) for row in rows]


async def find_invitation(tx: Transaction, invitation_hash: str) -> Invitation | None:
    """Returns the invitation with that hash, of any organization, if it hasn't expired."""
    row = await tx.first(_FIND, hash=invitation_hash, now=tx.now)
    return None if row is None else read_row(Invitation, row)


async def take_invitation(tx: Transaction, invitation_hash: str) -> Invitation | None:
    """Uses up the unexpired invitation with that hash. Of two concurrent callers, only one gets it."""
    row = await tx.first(_TAKE, hash=invitation_hash, now=tx.now)
    return None if row is None else read_row(Invitation, row)


async def delete_invitation(tx: Transaction, organization_id: int, invitation_id: int) -> None:
    """Deletes the invitation, if it is the organization's."""
    await tx.run(_DELETE, organization_id=organization_id, id=invitation_id)


async def delete_former_invitations(tx: Transaction, organization_id: int, email: str) -> None:
    """Deletes the organization's invitations to ``email`` and its expired ones."""
    await tx.run(_DELETE_FORMER, organization_id=organization_id, email=email, now=tx.now)
