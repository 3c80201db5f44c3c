"""Members of an organization: their roles and assigned projects."""

from collections.abc import Collection, Sequence

from loadbell.domain.ids import MAX_ID
from loadbell.domain.orgs import Member, Role
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement

_SELECT = (
    "SELECT u.id, u.email, u.name, m.role, m.created_at FROM members m JOIN users u ON u.id = m.user_id "
    "WHERE m.organization_id = :organization_id "
)
_GET = Statement(_SELECT + "AND m.user_id = :user_id")
_OWNER = Statement("SELECT user_id FROM members WHERE organization_id = :organization_id AND role = 'owner'")
_PAGE = Statement(_SELECT + "AND m.user_id < :before ORDER BY m.user_id DESC LIMIT :limit")
_ASSIGNMENTS = Statement(
    "SELECT a.user_id, a.project_id FROM assignments a JOIN projects p ON p.id = a.project_id "
    "WHERE p.organization_id = :organization_id AND p.deleted_at IS NULL "
    "AND a.user_id >= :first AND a.user_id <= :last ORDER BY a.project_id"
)
_SET_ROLE = Statement("UPDATE members SET role = :role WHERE organization_id = :organization_id AND user_id = :user_id")
_ASSIGN = Statement("INSERT INTO assignments (project_id, user_id) VALUES (:project_id, :user_id)")
_UNASSIGN_ALL = Statement(
    "DELETE FROM assignments WHERE user_id = :user_id "
    "AND project_id IN (SELECT id FROM projects WHERE organization_id = :organization_id)"
)
_DELETE_TOKENS = Statement("DELETE FROM tokens WHERE organization_id = :organization_id AND user_id = :user_id")
_DELETE = Statement("DELETE FROM members WHERE organization_id = :organization_id AND user_id = :user_id")


async def get_member(tx: Transaction, organization_id: int, user_id: int) -> Member | None:
    """Returns the user as a member, if the user is one of the organization."""
    rows = await tx.all(_GET, organization_id=organization_id, user_id=user_id)
    members = await _members(tx, organization_id, rows)
    return members[0] if members else None


async def get_owner(tx: Transaction, organization_id: int) -> int:
    """Returns the id of the organization's owner."""
    row = await tx.first(_OWNER, organization_id=organization_id)
    assert row is not None, "an organization always has an owner"
    return int(row["user_id"])


async def list_members(tx: Transaction, organization_id: int, *, before: int | None, limit: int) -> list[Member]:
    """Returns up to ``limit`` members of the organization, newest users first, with user ids below ``before``."""
    rows = await tx.all(
        _PAGE, organization_id=organization_id, before=MAX_ID if before is None else before, limit=limit
    )
    return await _members(tx, organization_id, rows)


async def set_role(tx: Transaction, organization_id: int, user_id: int, role: Role) -> None:
    """Sets the member's role in the organization."""
    await tx.run(_SET_ROLE, organization_id=organization_id, user_id=user_id, role=role.value)


async def set_assignments(tx: Transaction, organization_id: int, user_id: int, project_ids: Collection[int]) -> None:
    """Replaces the member's assigned projects in the organization."""
    await tx.run(_UNASSIGN_ALL, organization_id=organization_id, user_id=user_id)
    await tx.run_many(_ASSIGN, [{"project_id": project_id, "user_id": user_id} for project_id in project_ids])


async def delete_member(tx: Transaction, organization_id: int, user_id: int) -> int:
    """Removes the user from the organization, with assignments and tokens there; returns how many tokens."""
    await tx.run(_UNASSIGN_ALL, organization_id=organization_id, user_id=user_id)
    tokens = await tx.run(_DELETE_TOKENS, organization_id=organization_id, user_id=user_id)
    await tx.run(_DELETE, organization_id=organization_id, user_id=user_id)
    return tokens


async def _members(tx: Transaction, organization_id: int, rows: Sequence[Row]) -> list[Member]:
    if not rows:
        return []
    ids = [int(row["id"]) for row in rows]
    assigned: dict[int, list[int]] = {}
    for row in await tx.all(_ASSIGNMENTS, organization_id=organization_id, first=min(ids), last=max(ids)):
        assigned.setdefault(row["user_id"], []).append(row["project_id"])
    return [read_row(Member, row, user_id=row["id"], project_ids=tuple(assigned.get(row["id"], ()))) for row in rows]
