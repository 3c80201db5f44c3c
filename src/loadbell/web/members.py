"""The members of an organization, and the invitations that are open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import invitations, members
from loadbell.accounts.projects import list_project_names
from loadbell.domain.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, RateLimited, Refused
from loadbell.domain.orgs import Action, Invitation, Member, Principal, Role
from loadbell.entry.paging import PageQuery, split_page
from loadbell.entry.path_ids import parse_integer_id
from loadbell.store.unit_of_work import UnitOfWork, exclusive
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

PAGE_SIZE = 50
"""Members that one page lists, and invitations."""


@dataclass(frozen=True)
class MemberListView:
    """What the page shows."""

    members: Sequence[Member]
    older: str | None
    invitations: Sequence[Invitation]
    projects: Mapping[int, str]


@get("/organizations/{organization_id:str}/members")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """Who belongs to the organization, as what, and who is invited."""
    await page.require_account()
    return await _show(page, done=page.query_param("done"))


@post("/organizations/{organization_id:str}/members")
async def invite(page: NamedDependency[PageRequest]) -> Response[str]:
    """Invites someone; the link is shown only once."""
    await page.require_account()
    form, organization_id = await page.form(), _id(page)
    try:
        invitation = await page.write_in(organization_id, _invite, organization_id, form)
    except (Invalid, Conflict, RateLimited) as refusal:
        return await _show(page, refusal=refusal, form=form)
    return await _show(page, invitation=invitation)


@post("/organizations/{organization_id:str}/members/invitations/{invitation_id:str}/revoke")
async def revoke(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes the link of an invitation useless."""
    await page.require_account()
    await page.form()
    organization_id = _id(page)
    await page.write_in(organization_id, _revoke_invitation, page.path_param("invitation_id"))
    return page.redirect(f"/organizations/{organization_id}/members?done=revoked")


@get("/organizations/{organization_id:str}/members/{user_id:str}")
async def show_member(page: NamedDependency[PageRequest]) -> Response[str]:
    """One member: role, projects, and taking the person out."""
    await page.require_account()
    return await _show_member(page)


@post("/organizations/{organization_id:str}/members/{user_id:str}")
async def change(page: NamedDependency[PageRequest]) -> Response[str]:
    """Gives a member another role and other projects."""
    await page.require_account()
    form, organization_id = await page.form(), _id(page)
    try:
        await page.write_in(organization_id, _update_member, organization_id, page.path_param("user_id"), form)
    except (Invalid, Conflict) as refusal:
        return await _show_member(page, refusal=refusal)
    return page.redirect(f"/organizations/{organization_id}/members?done=changed")


@post("/organizations/{organization_id:str}/members/{user_id:str}/remove")
async def remove(page: NamedDependency[PageRequest]) -> Response[str]:
    """Takes a member out of the organization."""
    person = await page.require_account()
    await page.form()
    organization_id = _id(page)
    user_id = page.integer_id("user_id", "member")
    try:
        await page.write_in(organization_id, members.remove_member, organization_id, user_id)
    except (Conflict, Forbidden) as refusal:
        return await _show_member(page, refusal=refusal)
    if user_id == person.user_id:
        return page.redirect("/organizations?done=left")
    return page.redirect(f"/organizations/{organization_id}/members?done=removed")


async def _show(
    page: PageRequest,
    *,
    refusal: Refused | None = None,
    form: Form | None = None,
    invitation: invitations.NewInvitation | None = None,
    done: str = "",
) -> Response[str]:
    organization_id = _id(page)
    query = PageQuery(cursor=page.query_param("cursor") or None, limit=PAGE_SIZE)
    team = await page.read_in(organization_id, _member_list_view, organization_id, query)
    address = f"/organizations/{organization_id}/members"
    return await page.show(
        "members",
        refusal=refusal,
        back=address,
        address=address,
        organization_id=organization_id,
        team=team,
        older=None if team.older is None else f"{address}?cursor={team.older}",
        said=form or Form([]),
        made=invitation,
        done=done,
    )


async def _show_member(page: PageRequest, *, refusal: Refused | None = None) -> Response[str]:
    organization_id, user_id = _id(page), page.integer_id("user_id", "member")
    member, projects = await page.read_in(organization_id, _member_and_projects, organization_id, user_id)
    address = f"/organizations/{organization_id}/members"
    return await page.show(
        "member",
        refusal=refusal,
        back=f"{address}/{user_id}",
        address=address,
        organization_id=organization_id,
        member=member,
        projects=projects,
    )


@exclusive
async def _invite(unit: UnitOfWork[Principal], organization_id: int, form: Form) -> invitations.NewInvitation:
    unit.principal.require(Action.MANAGE_MEMBERS)  # before what is wrong with the form
    email, role = form.get("email", ""), _role(form)
    project_ids = _projects(form) if role is Role.MEMBER else ()
    return await invitations.invite(unit, organization_id, email=email, role=role, project_ids=project_ids)


@exclusive
async def _revoke_invitation(unit: UnitOfWork[Principal], invitation_id: str) -> None:
    unit.principal.require(Action.MANAGE_MEMBERS)
    await invitations.revoke_invitation(unit, parse_integer_id(invitation_id, "invitation"))


@exclusive
async def _update_member(unit: UnitOfWork[Principal], organization_id: int, user: str, form: Form) -> None:
    unit.principal.require(Action.MANAGE_MEMBERS)
    user_id = parse_integer_id(user, "member")
    role = None if user_id == unit.principal.user_id and unit.principal.role is Role.OWNER else _role(form)
    await members.update_member(unit, organization_id, user_id, role=role, project_ids=_projects(form))


async def _member_list_view(unit: UnitOfWork[Principal], organization_id: int, query: PageQuery) -> MemberListView:
    rows = await members.list_members(unit, organization_id, before=query.before_id(), limit=query.one_more)
    listed, older = split_page(rows, query.limit, lambda member: member.user_id)
    open_invitations = await invitations.list_invitations(unit, organization_id, before=None, limit=PAGE_SIZE)
    return MemberListView(listed, older, open_invitations, await list_project_names(unit))


async def _member_and_projects(
    unit: UnitOfWork[Principal], organization_id: int, user_id: int
) -> tuple[Member, Mapping[int, str]]:
    """The member, and the names of the projects to choose from."""
    rows = await members.list_members(unit, organization_id, before=user_id + 1, limit=1)
    if not rows or rows[0].user_id != user_id:
        raise NotFound(f"There is no member {user_id}.")
    return rows[0], await list_project_names(unit)


def _role(form: Form) -> Role:
    role = form.get("role", "")
    if role not in {Role.ADMIN.value, Role.MEMBER.value}:
        raise Invalid(FieldError("role", "choose admin or member"))
    return Role(role)


def _projects(form: Form) -> tuple[int, ...]:
    try:
        return tuple(parse_integer_id(text, "project") for text in form.all("project_ids"))
    except NotFound:
        raise Invalid(FieldError("project_ids", "choose from the boxes")) from None


def _id(page: PageRequest) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, invite, revoke, show_member, change, remove]
