"""The projects of an organization: add, rename, archive, delete."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import projects
from loadbell.accounts.organizations import LONGEST_NAME, update_organization
from loadbell.accounts.tokens import Hold
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Refused
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Principal, Project, ProjectLoss
from loadbell.entry.paging import PageQuery, split
from loadbell.store.db import Transaction
from loadbell.web.form import Form
from loadbell.web.page import PageCall

PAGE = 50
"""Projects that one page lists."""


@dataclass(frozen=True)
class One:
    """A project with what deleting it would take; None: it is the default one and can't be deleted."""

    project: Project
    loss: ProjectLoss | None


@get("/organizations/{organization_id:str}/projects")
async def show(page: NamedDependency[PageCall]) -> Response[str]:
    """The projects, newest first."""
    await page.person()
    return await _show(page, done=page.asked("done"))


@post("/organizations/{organization_id:str}/projects")
async def add(page: NamedDependency[PageCall]) -> Response[str]:
    """Adds a project."""
    await page.person()
    said, organization_id = await page.form(), _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        principal.require(Action.MANAGE_PROJECTS)  # before what is wrong with the form
        await projects.add_project(tx, principal, organization_id, _name(said), quotas=page.door.quotas, now=now)

    try:
        await page.write_in(organization_id, work, hold=Hold.ALONE)
    except (Conflict, Invalid) as refusal:
        return await _show(page, refusal=refusal, name=said.get("name", ""))
    return page.go(f"/organizations/{organization_id}/projects?done=added")


@get("/organizations/{organization_id:str}/projects/{project_id:str}")
async def show_one(page: NamedDependency[PageCall]) -> Response[str]:
    """One project: its name, archiving it, deleting it with what is lost."""
    await page.person()
    return await _show_one(page)


@post("/organizations/{organization_id:str}/projects/{project_id:str}")
async def rename(page: NamedDependency[PageCall]) -> Response[str]:
    """Renames the project."""
    await page.person()
    said = await page.form()

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        principal.require(Action.MANAGE_PROJECTS)
        await projects.update_project(tx, principal, _project(page), name=_name(said), now=now)

    try:
        await page.write_in(_id(page), work, hold=Hold.ALONE)
    except Invalid as refusal:
        return await _show_one(page, refusal=refusal, name=said.get("name", ""))
    return page.go(f"/organizations/{_id(page)}/projects?done=changed")


@post("/organizations/{organization_id:str}/projects/{project_id:str}/archive")
async def archive(page: NamedDependency[PageCall]) -> Response[str]:
    """Archives the project, or restores it with ``restore`` in the form."""
    await page.person()
    archived = "restore" not in await page.form()

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await projects.update_project(tx, principal, _project(page), archived=archived, now=now)

    try:
        await page.write_in(_id(page), work, hold=Hold.ALONE)
    except Conflict as refusal:
        return await _show_one(page, refusal=refusal)
    return page.go(f"/organizations/{_id(page)}/projects?done={'archived' if archived else 'restored'}")


@post("/organizations/{organization_id:str}/projects/{project_id:str}/default")
async def make_default(page: NamedDependency[PageCall]) -> Response[str]:
    """Lets runs that name no project go to this one."""
    await page.person()
    await page.form()
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await projects.get_project(tx, principal, _project(page))
        await update_organization(tx, principal, organization_id, default_project_id=_project(page), now=now)

    try:
        await page.write_in(organization_id, work, hold=Hold.ALONE)
    except (Conflict, Invalid) as refusal:
        return await _show_one(page, refusal=refusal)
    return page.go(f"/organizations/{organization_id}/projects?done=default")


@post("/organizations/{organization_id:str}/projects/{project_id:str}/delete")
async def delete(page: NamedDependency[PageCall]) -> Response[str]:
    """Deletes the project with all that belongs to it."""
    await page.person()
    await page.form()

    async def look(tx: Transaction, principal: Principal, _now: Micros) -> ProjectLoss:
        return await projects.look_at_loss(tx, principal, _project(page))

    try:
        loss = await page.read_in(_id(page), look)

        async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
            await projects.delete_project(tx, principal, _project(page), loss, now=now)

        await page.write_in(_id(page), work, hold=Hold.ALONE)
    except Conflict as refusal:
        return await _show_one(page, refusal=refusal)
    return page.go(f"/organizations/{_id(page)}/projects?done=deleted")


async def _show(page: PageCall, *, refusal: Refused | None = None, name: str = "", done: str = "") -> Response[str]:
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> tuple[Sequence[Project], str | None]:
        query = PageQuery(cursor=page.asked("cursor") or None, limit=PAGE)
        found = await projects.list_projects(
            tx, principal, organization_id, before=query.before_id(), limit=query.one_more
        )
        return split(found, PAGE, lambda one: one.id)

    listed, older = await page.read_in(organization_id, work)
    address = f"/organizations/{organization_id}/projects"
    return await page.show(
        "projects",
        refusal=refusal,
        back=address,
        address=address,
        organization_id=organization_id,
        listed=listed,
        older=None if older is None else f"{address}?cursor={older}",
        name=name,
        done=done,
    )


async def _show_one(page: PageCall, *, refusal: Refused | None = None, name: str | None = None) -> Response[str]:
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> One:
        project = await projects.get_project(tx, principal, _project(page))
        if project.organization_id != organization_id:
            raise NotFound(f"There is no project {project.id}.")
        return One(project, None if project.is_default else await projects.look_at_loss(tx, principal, project.id))

    one = await page.read_in(organization_id, work)
    address = f"/organizations/{organization_id}/projects"
    return await page.show(
        "project",
        refusal=refusal,
        back=f"{address}/{one.project.id}",
        address=address,
        organization_id=organization_id,
        one=one,
        name=one.project.name if name is None else name,
    )


def _name(said: Form) -> str:
    name = said.get("name", "").strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise Invalid(FieldError("name", f"give a name of 1 to {LONGEST_NAME} characters"))
    return name


def _project(page: PageCall) -> int:
    return page.integer_id("project_id", "project")


def _id(page: PageCall) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, add, show_one, rename, archive, make_default, delete]
