"""Members: who belongs to an organization, as what, and to which projects."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, patch
from litestar.di import NamedDependency

from loadbell.accounts import members
from loadbell.api.answers import Page, Time, page
from loadbell.api.operations import Operation, described
from loadbell.domain import orgs
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal, Role
from loadbell.entry.paging import PageQuery
from loadbell.entry.requests import ApiRequest, answer
from loadbell.store.unit_of_work import UnitOfWork, exclusive

_NOUN = "member"
_ORGANIZATION = "organization"


class Member(msgspec.Struct):
    """A person in an organization. `project_ids` count for the role member; the others see every project."""

    user_id: int
    email: str
    name: str
    role: Role
    project_ids: list[int]
    created_at: Time


class MemberPage(Page[Member]):
    """A page of members, the newest users first. `next_cursor` is null on the last one."""


class MemberChangeBody(msgspec.Struct, kw_only=True):
    """What to change; what is left out stays as it is."""

    role: Annotated[Role, msgspec.Meta(description="`owner`: hands over the organization.")] | None = None
    project_ids: (
        Annotated[list[int], msgspec.Meta(max_length=1_000, description="Replaces all assignments.")] | None
    ) = None


@get(
    "/organizations/{organization_id:str}/members",
    **described(Operation("List members", {200: MemberPage}, query=PageQuery, refusals=(404,))),
)
async def list_members(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """The organization's members, the newest users first."""

    async def work(unit: UnitOfWork[Principal]) -> MemberPage:
        organization_id, wanted = call.integer_id("organization_id", _ORGANIZATION), call.query(PageQuery)
        found = await members.list_members(unit, organization_id, before=wanted.before_id(), limit=wanted.one_more)
        return page(MemberPage, found, wanted.limit, _shown, lambda member: member.user_id)

    return answer(HTTPStatus.OK, await call.read(work))


@patch(
    "/organizations/{organization_id:str}/members/{user_id:str}",
    **described(Operation("Change a member", {200: Member}, body=MemberChangeBody, refusals=(404, 409))),
)
async def update_member(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """Changes the role or the assigned projects. The owner makes another member the owner and becomes an admin."""
    said = await call.body(MemberChangeBody)

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> Member:
        changed = await members.update_member(
            unit,
            call.integer_id("organization_id", _ORGANIZATION),
            call.integer_id("user_id", _NOUN),
            role=said.role,
            project_ids=None if said.project_ids is None else tuple(said.project_ids),
        )
        return _shown(changed)

    return answer(HTTPStatus.OK, await call.write(work))


@delete(
    "/organizations/{organization_id:str}/members/{user_id:str}",
    status_code=HTTPStatus.NO_CONTENT,
    **described(Operation("Remove a member, or leave", {204: None}, refusals=(404, 409))),
)
async def remove_member(call: NamedDependency[ApiRequest]) -> None:
    """Takes the member out of the organization, with assignments and tokens. With one's own id: leaving.

    The owner can neither leave nor be removed.
    """

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> None:
        organization_id, user_id = call.integer_id("organization_id", _ORGANIZATION), call.integer_id("user_id", _NOUN)
        await members.remove_member(unit, organization_id, user_id)

    await call.write(work)


def _shown(found: orgs.Member) -> Member:
    return Member(
        found.user_id, found.email, found.name, found.role, list(found.project_ids), rfc3339(found.created_at)
    )


HANDLERS: list[Any] = [list_members, update_member, remove_member]
