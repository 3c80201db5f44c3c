"""Use cases on members of organizations, their roles and projects. There is always exactly one owner."""

from typing import Any

from loadbell.domain.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from loadbell.domain.orgs import Action, Member, Principal, Role
from loadbell.store import members as store
from loadbell.store.audit import append_entry
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import project_ids as all_project_ids
from loadbell.store.unit_of_work import UnitOfWork, exclusive


async def list_members(
    unit: UnitOfWork[Principal], organization_id: int, *, before: int | None, limit: int
) -> list[Member]:
    """Returns up to ``limit`` members with a user id below ``before``, newest users first.

    Raises:
        NotFound: the organization isn't the caller's.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.READ_MEMBERS)
    return await store.list_members(unit.tx, organization_id, before=before, limit=limit)


@exclusive
async def update_member(
    unit: UnitOfWork[Principal],
    organization_id: int,
    user_id: int,
    *,
    role: Role | None = None,
    project_ids: tuple[int, ...] | None = None,
) -> Member:
    """Changes the member's role or projects. Assignments are kept with any role.

    A new owner replaces the old one, who becomes an admin.

    Raises:
        NotFound: the organization isn't the caller's, or the user is not a member of it.
        Forbidden: only the owner can transfer the organization.
        Conflict: the owner's role can't change otherwise.
        Invalid: the organization has no such project.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.MANAGE_MEMBERS)
    if role is Role.OWNER:
        unit.principal.require(Action.TRANSFER_ORGANIZATION)
    member = await _member(unit.tx, organization_id, user_id)
    changes: dict[str, Any] = {}
    if project_ids is not None:
        wanted = tuple(sorted(set(project_ids)))
        await _check_projects(unit.tx, organization_id, wanted)
        if wanted != member.project_ids:
            await store.set_assignments(unit.tx, organization_id, user_id, wanted)
            changes["project_ids"] = {"before": member.project_ids, "after": wanted}
    if role is not None and role is not member.role:
        if member.role is Role.OWNER:
            raise Conflict("This member is the owner. Transfer ownership first, then change this role.")
        if role is Role.OWNER:
            await _demote_owner(unit)
        await store.set_role(unit.tx, organization_id, user_id, role)
        changes["role"] = {"before": member.role, "after": role}
    if changes:
        await append_entry(unit.tx, unit.principal, "member.changed", f"member {user_id}", changes)
    return await _member(unit.tx, organization_id, user_id)


@exclusive
async def remove_member(unit: UnitOfWork[Principal], organization_id: int, user_id: int) -> None:
    """Removes the user from the organization, with assignments and tokens. Everybody but the owner may leave.

    Raises:
        NotFound: the organization isn't the caller's, or the user is not a member of it.
        Forbidden: nobody can remove the owner.
        Conflict: the owner can't leave.
    """
    unit.principal.require_organization(organization_id)
    leaves = user_id == unit.principal.user_id
    unit.principal.require(Action.LEAVE if leaves else Action.MANAGE_MEMBERS)
    member = await _member(unit.tx, organization_id, user_id)
    if member.role is Role.OWNER:
        if leaves:
            raise Conflict("The owner can't leave. Transfer ownership first, or delete the organization.")
        raise Forbidden("The owner can't be removed. Ask the owner to transfer ownership first.")
    tokens = await store.delete_member(unit.tx, organization_id, user_id)
    changes = {"email": member.email, "role": member.role, "project_ids": member.project_ids, "tokens": tokens}
    action = "member.left" if leaves else "member.removed"
    await append_entry(unit.tx, unit.principal, action, f"member {user_id}", changes)


async def _demote_owner(unit: UnitOfWork[Principal]) -> None:
    owner_id = await store.get_owner(unit.tx, unit.principal.organization_id)
    await store.set_role(unit.tx, unit.principal.organization_id, owner_id, Role.ADMIN)
    changes = {"role": {"before": Role.OWNER, "after": Role.ADMIN}}
    await append_entry(unit.tx, unit.principal, "member.changed", f"member {owner_id}", changes)


async def _check_projects(tx: Transaction, organization_id: int, project_ids: tuple[int, ...]) -> None:
    unknown = set(project_ids) - set(await all_project_ids(tx, organization_id))
    if unknown:
        text = ", ".join(str(project) for project in sorted(unknown))
        raise Invalid(FieldError("project_ids", f"the organization has no project {text}"))


async def _member(tx: Transaction, organization_id: int, user_id: int) -> Member:
    member = await store.get_member(tx, organization_id, user_id)
    if member is None:
        raise NotFound(f"There is no member {user_id}.")
    return member
