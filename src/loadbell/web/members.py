"""The members of an organization, and the invitations that are open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import invitations, members
from loadbell.accounts.projects import names_of_projects
from loadbell.accounts.tokens import Hold
from loadbell.domain.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, RateLimited, Refused
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Invitation, Member, Principal, Role
from loadbell.entry.identifiers import integer_id
from loadbell.entry.paging import PageQuery, split
from loadbell.store.db import Transaction
from loadbell.web.form import Form
from loadbell.web.page import PageCall

PAGE = 50
"""Members that one page lists, and invitations."""


@dataclass(frozen=True)
class Team:
    """What the page shows."""

    members: Sequence[Member]
    older: str | None
    invitations: Sequence[Invitation]
    projects: Mapping[int, str]


@get("/organizations/{organization_id:str}/members")
async def show(page: NamedDependency[PageCall]) -> Response[str]:
    """Who belongs to the organization, as what, and who is invited."""
    await page.person()
    return await _show(page, done=page.asked("done"))


@post("/organizations/{organization_id:str}/members")
async def invite(page: NamedDependency[PageCall]) -> Response[str]:
    """Invites somebody; the link is shown this once."""
    await page.person()
    said, organization_id = await page.form(), _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> invitations.NewInvitation:
        principal.require(Action.MANAGE_MEMBERS)  # before what is wrong with the form
        role = _role(said)
        return await invitations.invite(
            tx,
            principal,
            organization_id,
            email=said.get("email", ""),
            role=role,
            project_ids=_projects(said) if role is Role.MEMBER else (),
            base_url=page.door.base_url,
            sends_mail=page.door.sends_mail,
            quotas=page.door.quotas,
            now=now,
            entropy=page.door.entropy,
        )

    try:
        made = await page.write_in(organization_id, work, hold=Hold.ALONE)
    except (Invalid, Conflict, RateLimited) as refusal:
        return await _show(page, refusal=refusal, said=said)
    return await _show(page, made=made)


@post("/organizations/{organization_id:str}/members/invitations/{invitation_id:str}/revoke")
async def revoke(page: NamedDependency[PageCall]) -> Response[str]:
    """Makes the link of an invitation useless."""
    await page.person()
    await page.form()
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        principal.require(Action.MANAGE_MEMBERS)
        invitation_id = page.integer_id("invitation_id", "invitation")
        await invitations.revoke_invitation(tx, principal, invitation_id, now=now)

    await page.write_in(organization_id, work, hold=Hold.ALONE)
    return page.go(f"/organizations/{organization_id}/members?done=revoked")


@get("/organizations/{organization_id:str}/members/{user_id:str}")
async def show_one(page: NamedDependency[PageCall]) -> Response[str]:
    """One member: role, projects, and taking the person out."""
    await page.person()
    return await _show_one(page)


@post("/organizations/{organization_id:str}/members/{user_id:str}")
async def change(page: NamedDependency[PageCall]) -> Response[str]:
    """Gives a member another role and other projects."""
    await page.person()
    said, organization_id = await page.form(), _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        principal.require(Action.MANAGE_MEMBERS)
        user_id = page.integer_id("user_id", "member")
        role = None if user_id == principal.user_id and principal.role is Role.OWNER else _role(said)
        await members.update_member(
            tx, principal, organization_id, user_id, role=role, project_ids=_projects(said), now=now
        )

    try:
        await page.write_in(organization_id, work, hold=Hold.ALONE)
    except (Invalid, Conflict) as refusal:
        return await _show_one(page, refusal=refusal)
    return page.go(f"/organizations/{organization_id}/members?done=changed")


@post("/organizations/{organization_id:str}/members/{user_id:str}/remove")
async def remove(page: NamedDependency[PageCall]) -> Response[str]:
    """Takes a member out of the organization."""
    person = await page.person()
    await page.form()
    organization_id = _id(page)
    user_id = page.integer_id("user_id", "member")

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await members.remove_member(tx, principal, organization_id, user_id, now=now)

    try:
        await page.write_in(organization_id, work, hold=Hold.ALONE)
    except (Conflict, Forbidden) as refusal:
        return await _show_one(page, refusal=refusal)
    if user_id == person.user_id:
        return page.go("/organizations?done=left")
    return page.go(f"/organizations/{organization_id}/members?done=removed")


async def _show(
    page: PageCall,
    *,
    refusal: Refused | None = None,
    said: Form | None = None,
    made: invitations.NewInvitation | None = None,
    done: str = "",
) -> Response[str]:
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> Team:
        query = PageQuery(cursor=page.asked("cursor") or None, limit=PAGE)
        found = await members.list_members(
            tx, principal, organization_id, before=query.before_id(), limit=query.one_more
        )
        listed, older = split(found, PAGE, lambda one: one.user_id)
        open_ones = await invitations.list_invitations(tx, principal, organization_id, before=None, limit=PAGE, now=now)
        return Team(listed, older, open_ones, await names_of_projects(tx, principal))

    team = await page.read_in(organization_id, work)
    address = f"/organizations/{organization_id}/members"
    return await page.show(
        "members",
        refusal=refusal,
        back=address,
        address=address,
        organization_id=organization_id,
        team=team,
        older=None if team.older is None else f"{address}?cursor={team.older}",
        said=said or Form([]),
        made=made,
        done=done,
    )


async def _show_one(page: PageCall, *, refusal: Refused | None = None) -> Response[str]:
    organization_id, user_id = _id(page), page.integer_id("user_id", "member")

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> tuple[Member, Mapping[int, str]]:
        found = await members.list_members(tx, principal, organization_id, before=user_id + 1, limit=1)
        if not found or found[0].user_id != user_id:
            raise NotFound(f"There is no member {user_id}.")
        return found[0], await names_of_projects(tx, principal)

    member, projects = await page.read_in(organization_id, work)
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


def _role(said: Form) -> Role:
    role = said.get("role", "")
    if role not in {Role.ADMIN.value, Role.MEMBER.value}:
        raise Invalid(FieldError("role", "choose admin or member"))
    return Role(role)


def _projects(said: Form) -> tuple[int, ...]:
    try:
        return tuple(integer_id(text, "project") for text in said.all("project_ids"))
    except NotFound:
        raise Invalid(FieldError("project_ids", "choose among the boxes of the form")) from None


def _id(page: PageCall) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, invite, revoke, show_one, change, remove]
