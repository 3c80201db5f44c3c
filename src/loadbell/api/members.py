"""Members: the people of an organization, their roles and projects."""

from typing import Annotated, Any

import msgspec

from loadbell.accounts import members
from loadbell.api.answers import Page, Time, page
from loadbell.api.routes import route
from loadbell.domain import orgs
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal, Role
from loadbell.entry.paging import PageQuery
from loadbell.store.unit_of_work import UnitOfWork, exclusive


class Member(msgspec.Struct):
    """A person in an organization. `project_ids` apply to the role member; other roles can see all projects."""

    user_id: int
    email: str
    name: str
    role: Role
    project_ids: list[int]
    created_at: Time


class MemberPage(Page[Member]):
    """A page of members, the newest users first. `next_cursor` is null on the last one."""


class MemberChangeBody(msgspec.Struct, kw_only=True):
    """The fields to change. Omitted fields stay unchanged."""

    role: Annotated[Role, msgspec.Meta(description="`owner` transfers ownership.")] | None = None
    project_ids: (
        Annotated[list[int], msgspec.Meta(max_length=1_000, description="Replaces all assignments.")] | None
    ) = None


@route("GET", "/organizations/{organization_id}/members", "List members", refusals=(404,))
async def list_members(unit: UnitOfWork[Principal], organization_id: int, query: PageQuery) -> MemberPage:
    """The organization's members, the newest users first."""
    listed = await members.list_members(unit, organization_id, before=query.before_id(), limit=query.one_more)
    return page(MemberPage, listed, query.limit, _to_json, lambda member: member.user_id)


@route("PATCH", "/organizations/{organization_id}/members/{user_id}", "Change a member", refusals=(404, 409))
@exclusive
async def update_member(
    unit: UnitOfWork[Principal], organization_id: int, user_id: int, body: MemberChangeBody
) -> Member:
    """Changes the role or the assigned projects. An owner who assigns the role owner becomes an admin."""
    project_ids = None if body.project_ids is None else tuple(body.project_ids)
    return _to_json(
        await members.update_member(unit, organization_id, user_id, role=body.role, project_ids=project_ids)
    )


@route("DELETE", "/organizations/{organization_id}/members/{user_id}", "Remove a member, or leave", refusals=(404, 409))
@exclusive
async def remove_member(unit: UnitOfWork[Principal], organization_id: int, user_id: int) -> None:
    """Removes the member, including assignments and tokens. With your own id, you leave the organization.

    The owner can neither leave nor be removed.
    """
    await members.remove_member(unit, organization_id, user_id)


def _to_json(member: orgs.Member) -> Member:
    return Member(
        member.user_id, member.email, member.name, member.role, list(member.project_ids), rfc3339(member.created_at)
    )


HANDLERS: list[Any] = [list_members, update_member, remove_member]
