"""One's organizations, and the settings of one: its name, its default project, who owns it, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import members, organizations, projects
from loadbell.accounts.tokens import Hold
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Refused
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Organization, OrganizationLoss, Principal, Role, SignedIn
from loadbell.entry.identifiers import integer_id
from loadbell.store.db import Transaction
from loadbell.web.form import Form
from loadbell.web.page import PageCall

_NOUN = "organization"
_MOST = 1_000  # to choose from; beyond that the API does it


@dataclass(frozen=True)
class Settings:
    """What the settings of an organization show, as far as the person may see it."""

    organization: Organization
    projects: Sequence[tuple[int | str, str]]  #: that may be the default, by id
    heirs: Sequence[tuple[int | str, str]]  #: who may become the owner, by id
    loss: OrganizationLoss | None  #: what deleting it would take


@get("/")
async def home(page: NamedDependency[PageCall]) -> Response[str]:
    """Leads to the runs."""
    await page.person()
    return page.go("/runs")


@get("/organizations")
async def show_organizations(page: NamedDependency[PageCall]) -> Response[str]:
    """Where one belongs, what one is there, and a form to add another."""
    await page.person()
    return await page.show("organizations", name="", done=page.asked("done"))


@post("/organizations")
async def add(page: NamedDependency[PageCall]) -> Response[str]:
    """Adds an organization of one's own, and shows its API token this once."""
    await page.person()
    form = await page.form()

    async def work(tx: Transaction, who: SignedIn, now: Micros) -> organizations.NewOrganization:
        given: dict[str, Any] = {"quotas": page.door.quotas, "now": now, "entropy": page.door.entropy}
        return await organizations.add_organization(tx, who, name, **given)

    try:
        name = _name(form)
        made = await page.write(work)
    except (Invalid, Conflict) as refusal:
        return await page.show(
            "organizations", refusal=refusal, back="/organizations", name=form.get("name", ""), done=""
        )
    page.turn_to(made.organization_id)
    return await page.show("organization_added", back="/organizations", made=made, name=name)


@get("/organizations/{organization_id:str}/settings")
async def show_settings(page: NamedDependency[PageCall]) -> Response[str]:
    """The settings of one organization."""
    await page.person()
    return await _show(page, done=page.asked("done"))


@post("/organizations/{organization_id:str}/settings")
async def change(page: NamedDependency[PageCall]) -> Response[str]:
    """Renames the organization and chooses its default project."""
    await page.person()
    form, organization_id = await page.form(), _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        principal.require(Action.MANAGE_ORGANIZATION)  # before what is wrong with the form
        name, chosen = _name(form), form.get("default_project_id", "")
        try:
            project_id = integer_id(chosen, "project") if chosen else None
            await organizations.update_organization(
                tx, principal, organization_id, name=name, default_project_id=project_id, now=now
            )
        except NotFound:  # it was there when the form was made
            wrong = "this project is not there any more; choose another"
            raise Invalid(FieldError("default_project_id", wrong)) from None
        except Conflict:
            wrong = "this project was archived; choose another, or restore it first"
            raise Invalid(FieldError("default_project_id", wrong)) from None

    try:
        await page.write_in(organization_id, work, hold=Hold.ALONE)
    except Invalid as refusal:
        return await _show(page, refusal=refusal, part="name", name=form.get("name", ""))
    return page.go(f"/organizations/{organization_id}/settings?done=saved")


@post("/organizations/{organization_id:str}/transfer")
async def transfer(page: NamedDependency[PageCall]) -> Response[str]:
    """Makes another member the owner; whoever was becomes an admin."""
    await page.person()
    form, organization_id = await page.form(), _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        principal.require(Action.TRANSFER_ORGANIZATION)
        try:
            user_id = integer_id(form.get("user_id", ""), "member")
            if user_id == principal.user_id:
                raise Invalid(FieldError("user_id", "you are the owner already; choose somebody else"))
            await members.update_member(tx, principal, organization_id, user_id, role=Role.OWNER, now=now)
        except NotFound:
            raise Invalid(FieldError("user_id", "choose somebody who is a member now")) from None

    try:
        await page.write_in(organization_id, work, hold=Hold.ALONE)
    except Invalid as refusal:
        return await _show(page, refusal=refusal, part="owner")
    return page.go(f"/organizations/{organization_id}/settings?done=transferred")


@post("/organizations/{organization_id:str}/leave")
async def leave(page: NamedDependency[PageCall]) -> Response[str]:
    """Takes whoever asks out of the organization."""
    await page.person()
    await page.form()
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await members.remove_member(tx, principal, organization_id, principal.user_id, now=now)

    try:
        await page.write_in(organization_id, work, hold=Hold.ALONE)
    except Conflict as refusal:
        return await _show(page, refusal=refusal, part="end")
    return page.go("/organizations?done=left")


@post("/organizations/{organization_id:str}/delete")
async def delete(page: NamedDependency[PageCall]) -> Response[str]:
    """Deletes the organization with all that belongs to it."""
    await page.person()
    await page.form()
    organization_id = _id(page)

    async def look(tx: Transaction, principal: Principal, _now: Micros) -> OrganizationLoss:
        return await organizations.look_at_loss(tx, principal, organization_id)

    loss = await page.read_in(organization_id, look)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await organizations.delete_organization(tx, principal, organization_id, loss, now=now)

    await page.write_in(organization_id, work, hold=Hold.ALONE)
    return page.go("/organizations?done=deleted")


async def _show(
    page: PageCall, *, refusal: Refused | None = None, part: str = "", name: str | None = None, done: str = ""
) -> Response[str]:
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> Settings:
        found = await organizations.get_organization(tx, principal, organization_id)
        choice: list[tuple[int | str, str]] = []
        heirs: list[tuple[int | str, str]] = []
        loss = None
        if principal.may(Action.MANAGE_ORGANIZATION):
            listed = await projects.list_projects(tx, principal, organization_id, before=None, limit=_MOST)
            choice = [("", "Leave as it is"), *((one.id, one.name) for one in listed if one.archived_at is None)]
        if principal.may(Action.TRANSFER_ORGANIZATION):
            listed_members = await members.list_members(tx, principal, organization_id, before=None, limit=_MOST)
            heirs = [
                (one.user_id, f"{one.name} ({one.email})") for one in listed_members if one.user_id != principal.user_id
            ]
        if principal.may(Action.DELETE_ORGANIZATION):
            loss = await organizations.look_at_loss(tx, principal, organization_id)
        return Settings(found, choice, heirs, loss)

    settings = await page.read_in(organization_id, work)
    return await page.show(
        "organization_settings",
        refusal=refusal,
        back=f"/organizations/{organization_id}/settings",
        part=part,
        done=done,
        name=settings.organization.name if name is None else name,
        settings=settings,
    )


def _id(page: PageCall) -> int:
    return page.integer_id("organization_id", _NOUN)


def _name(form: Form) -> str:
    name = form.get("name", "").strip()
    if not 1 <= len(name) <= organizations.LONGEST_NAME:
        raise Invalid(FieldError("name", f"give a name of 1 to {organizations.LONGEST_NAME} characters"))
    return name


HANDLERS: list[Any] = [home, show_organizations, add, show_settings, change, transfer, leave, delete]
