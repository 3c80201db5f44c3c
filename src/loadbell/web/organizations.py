"""One's organizations, and the settings of one: its name, its default project, who owns it, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import members, organizations, projects
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Refused
from loadbell.domain.orgs import Action, Organization, OrganizationLoss, Principal, Role
from loadbell.entry.path_ids import parse_integer_id
from loadbell.store.unit_of_work import UnitOfWork, exclusive
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

_NOUN = "organization"
_MAX_ITEMS = 1_000  # to choose from; beyond that the API does it


@dataclass(frozen=True)
class OrganizationSettingsView:
    """What the settings of an organization show, as far as the person may see it."""

    organization: Organization
    projects: Sequence[tuple[int | str, str]]  #: that may be the default, by id
    heirs: Sequence[tuple[int | str, str]]  #: who may become the owner, by id
    loss: OrganizationLoss | None  #: what deleting it would take


@get("/")
async def home(page: NamedDependency[PageRequest]) -> Response[str]:
    """Leads to the runs."""
    await page.require_account()
    return page.redirect("/runs")


@get("/organizations")
async def show_organizations(page: NamedDependency[PageRequest]) -> Response[str]:
    """Where one belongs, what one is there, and a form to add another."""
    await page.require_account()
    return await page.show("organizations", name="", done=page.query_param("done"))


@post("/organizations")
async def add(page: NamedDependency[PageRequest]) -> Response[str]:
    """Adds an organization of one's own, and shows its API token this once."""
    await page.require_account()
    form = await page.form()
    try:
        name = _name(form)
        organization = await page.write(organizations.add_organization, name)
    except (Invalid, Conflict) as refusal:
        return await page.show(
            "organizations", refusal=refusal, back="/organizations", name=form.get("name", ""), done=""
        )
    page.select_organization(organization.organization_id)
    return await page.show("organization_added", back="/organizations", made=organization, name=name)


@get("/organizations/{organization_id:str}/settings")
async def show_settings(page: NamedDependency[PageRequest]) -> Response[str]:
    """The settings of one organization."""
    await page.require_account()
    return await _show(page, done=page.query_param("done"))


@post("/organizations/{organization_id:str}/settings")
async def change(page: NamedDependency[PageRequest]) -> Response[str]:
    """Renames the organization and chooses its default project."""
    await page.require_account()
    form, organization_id = await page.form(), _id(page)
    try:
        await page.write_in(organization_id, _update_organization, form)
    except Invalid as refusal:
        return await _show(page, refusal=refusal, part="name", name=form.get("name", ""))
    return page.redirect(f"/organizations/{organization_id}/settings?done=saved")


@post("/organizations/{organization_id:str}/transfer")
async def transfer(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes another member the owner; the old owner becomes an admin."""
    await page.require_account()
    form, organization_id = await page.form(), _id(page)
    try:
        await page.write_in(organization_id, _transfer, form)
    except Invalid as refusal:
        return await _show(page, refusal=refusal, part="owner")
    return page.redirect(f"/organizations/{organization_id}/settings?done=transferred")


@post("/organizations/{organization_id:str}/leave")
async def leave(page: NamedDependency[PageRequest]) -> Response[str]:
    """Removes the signed-in user from the organization."""
    await page.require_account()
    await page.form()
    try:
        await page.write_in(_id(page), _leave)
    except Conflict as refusal:
        return await _show(page, refusal=refusal, part="end")
    return page.redirect("/organizations?done=left")


@post("/organizations/{organization_id:str}/delete")
async def delete(page: NamedDependency[PageRequest]) -> Response[str]:
    """Deletes the organization with all that belongs to it."""
    await page.require_account()
    await page.form()
    organization_id = _id(page)
    loss = await page.read_in(organization_id, organizations.count_loss, organization_id)
    await page.write_in(organization_id, organizations.delete_organization, organization_id, loss)
    return page.redirect("/organizations?done=deleted")


async def _show(
    page: PageRequest, *, refusal: Refused | None = None, part: str = "", name: str | None = None, done: str = ""
) -> Response[str]:
    organization_id = _id(page)
    settings = await page.read_in(organization_id, _settings_view)
    return await page.show(
        "organization_settings",
        refusal=refusal,
        back=f"/organizations/{organization_id}/settings",
        part=part,
        done=done,
        name=settings.organization.name if name is None else name,
        settings=settings,
    )


@exclusive
async def _update_organization(unit: UnitOfWork[Principal], form: Form) -> None:
    unit.principal.require(Action.MANAGE_ORGANIZATION)  # before what is wrong with the form
    organization_id, name = unit.principal.organization_id, _name(form)
    try:
        project_id = parse_integer_id(form["default_project_id"], "project") if form.get("default_project_id") else None
        await organizations.update_organization(unit, organization_id, name=name, default_project_id=project_id)
    except NotFound:  # it was there when the form was made
        wrong = "this project no longer exists; choose another"
        raise Invalid(FieldError("default_project_id", wrong)) from None
    except Conflict:
        wrong = "this project was archived; choose another, or restore it first"
        raise Invalid(FieldError("default_project_id", wrong)) from None


@exclusive
async def _transfer(unit: UnitOfWork[Principal], form: Form) -> None:
    unit.principal.require(Action.TRANSFER_ORGANIZATION)
    try:
        user_id = parse_integer_id(form.get("user_id", ""), "member")
        if user_id == unit.principal.user_id:
            raise Invalid(FieldError("user_id", "you're already the owner; choose someone else"))
        await members.update_member(unit, unit.principal.organization_id, user_id, role=Role.OWNER)
    except NotFound:
        raise Invalid(FieldError("user_id", "choose a current member")) from None


@exclusive
async def _leave(unit: UnitOfWork[Principal]) -> None:
    await members.remove_member(unit, unit.principal.organization_id, unit.principal.user_id)


async def _settings_view(unit: UnitOfWork[Principal]) -> OrganizationSettingsView:
    principal, organization_id = unit.principal, unit.principal.organization_id
    organization = await organizations.get_organization(unit, organization_id)
    choice: list[tuple[int | str, str]] = []
    heirs: list[tuple[int | str, str]] = []
    loss = None
    if principal.may(Action.MANAGE_ORGANIZATION):
        listed = await projects.list_projects(unit, organization_id, before=None, limit=_MAX_ITEMS)
        choice = [("", "Don't change"), *((row.id, row.name) for row in listed if row.archived_at is None)]
    if principal.may(Action.TRANSFER_ORGANIZATION):
        everybody = await members.list_members(unit, organization_id, before=None, limit=_MAX_ITEMS)
        others = (member for member in everybody if member.user_id != principal.user_id)
        heirs = [(member.user_id, f"{member.name} ({member.email})") for member in others]
    if principal.may(Action.DELETE_ORGANIZATION):
        loss = await organizations.count_loss(unit, organization_id)
    return OrganizationSettingsView(organization, choice, heirs, loss)


def _id(page: PageRequest) -> int:
    return page.integer_id("organization_id", _NOUN)


def _name(form: Form) -> str:
    name = form.get("name", "").strip()
    if not 1 <= len(name) <= organizations.MAX_NAME_LENGTH:
        raise Invalid(FieldError("name", f"enter a name of 1 to {organizations.MAX_NAME_LENGTH} characters"))
    return name


HANDLERS: list[Any] = [home, show_organizations, add, show_settings, change, transfer, leave, delete]
