"""The projects of an organization: add, rename, archive, delete."""

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import projects
from loadbell.accounts.organizations import MAX_NAME_LENGTH, update_organization
from loadbell.domain.errors import Conflict, FieldError, Invalid, Refused
from loadbell.domain.orgs import Action, Principal, Project, ProjectLoss
from loadbell.entry.paging import PageQuery, split_page
from loadbell.entry.path_ids import parse_integer_id
from loadbell.store.unit_of_work import UnitOfWork, exclusive
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

PAGE_SIZE = 50
"""Projects that one page lists."""


@get("/organizations/{organization_id:str}/projects")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """The projects, newest first."""
    await page.require_account()
    return await _render_list(page, done=page.query_param("done"))


@post("/organizations/{organization_id:str}/projects")
async def add(page: NamedDependency[PageRequest]) -> Response[str]:
    """Adds a project."""
    await page.require_account()
    form, organization_id = await page.form(), _id(page)
    try:
        await page.write_in(organization_id, _add_project, organization_id, form)
    except (Conflict, Invalid) as refusal:
        return await _render_list(page, refusal=refusal, name=form.get("name", ""))
    return page.redirect(f"/organizations/{organization_id}/projects?done=added")


@get("/organizations/{organization_id:str}/projects/{project_id:str}")
async def show_project(page: NamedDependency[PageRequest]) -> Response[str]:
    """One project: its name, archiving it, deleting it with what is lost."""
    await page.require_account()
    return await _show_project(page)


@post("/organizations/{organization_id:str}/projects/{project_id:str}")
async def rename(page: NamedDependency[PageRequest]) -> Response[str]:
    """Renames the project."""
    await page.require_account()
    form = await page.form()
    try:
        await page.write_in(_id(page), _rename_project, page.path_param("project_id"), form)
    except Invalid as refusal:
        return await _show_project(page, refusal=refusal, name=form.get("name", ""))
    return page.redirect(f"/organizations/{_id(page)}/projects?done=changed")


@post("/organizations/{organization_id:str}/projects/{project_id:str}/archive")
async def archive(page: NamedDependency[PageRequest]) -> Response[str]:
    """Archives the project, or restores it with ``restore`` in the form."""
    await page.require_account()
    archived = "restore" not in await page.form()
    try:
        await page.write_in(_id(page), projects.update_project, _project_id(page), archived=archived)
    except Conflict as refusal:
        return await _show_project(page, refusal=refusal)
    return page.redirect(f"/organizations/{_id(page)}/projects?done={'archived' if archived else 'restored'}")


@post("/organizations/{organization_id:str}/projects/{project_id:str}/default")
async def make_default(page: NamedDependency[PageRequest]) -> Response[str]:
    """Lets runs that name no project go to this one."""
    await page.require_account()
    await page.form()
    organization_id = _id(page)
    try:
        await page.write_in(organization_id, _make_default, organization_id, _project_id(page))
    except (Conflict, Invalid) as refusal:
        return await _show_project(page, refusal=refusal)
    return page.redirect(f"/organizations/{organization_id}/projects?done=default")


@post("/organizations/{organization_id:str}/projects/{project_id:str}/delete")
async def delete(page: NamedDependency[PageRequest]) -> Response[str]:
    """Deletes the project with all that belongs to it."""
    await page.require_account()
    await page.form()
    organization_id, project_id = _id(page), _project_id(page)
    try:
        loss = await page.read_in(organization_id, projects.count_loss, project_id)
        await page.write_in(organization_id, projects.delete_project, project_id, loss)
    except Conflict as refusal:
        return await _show_project(page, refusal=refusal)
    return page.redirect(f"/organizations/{organization_id}/projects?done=deleted")


async def _render_list(
    page: PageRequest, *, refusal: Refused | None = None, name: str = "", done: str = ""
) -> Response[str]:
    organization_id = _id(page)
    query = PageQuery(cursor=page.query_param("cursor") or None, limit=PAGE_SIZE)
    listed, older = await page.read_in(organization_id, _list_projects, organization_id, query)
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


async def _show_project(page: PageRequest, *, refusal: Refused | None = None, name: str | None = None) -> Response[str]:
    organization_id = _id(page)
    project, loss = await page.read_in(organization_id, _project_with_loss, _project_id(page))
    address = f"/organizations/{organization_id}/projects"
    return await page.show(
        "project",
        refusal=refusal,
        back=f"{address}/{project.id}",
        address=address,
        organization_id=organization_id,
        project=project,
        loss=loss,
        name=project.name if name is None else name,
    )


@exclusive
async def _add_project(unit: UnitOfWork[Principal], organization_id: int, form: Form) -> None:
    unit.principal.require(Action.MANAGE_PROJECTS)  # before what is wrong with the form
    await projects.add_project(unit, organization_id, _name(form))


@exclusive
async def _rename_project(unit: UnitOfWork[Principal], project_id: str, form: Form) -> None:
    unit.principal.require(Action.MANAGE_PROJECTS)
    await projects.update_project(unit, parse_integer_id(project_id, "project"), name=_name(form))


@exclusive
async def _make_default(unit: UnitOfWork[Principal], organization_id: int, project_id: int) -> None:
    await projects.get_project(unit, project_id)
    await update_organization(unit, organization_id, default_project_id=project_id)


async def _list_projects(
    unit: UnitOfWork[Principal], organization_id: int, query: PageQuery
) -> tuple[Sequence[Project], str | None]:
    rows = await projects.list_projects(unit, organization_id, before=query.before_id(), limit=query.one_more)
    return split_page(rows, query.limit, lambda project: project.id)


async def _project_with_loss(unit: UnitOfWork[Principal], project_id: int) -> tuple[Project, ProjectLoss | None]:
    """The project, and what deleting it would take; None: it is the default one and can't be deleted."""
    project = await projects.get_project(unit, project_id)
    return project, None if project.is_default else await projects.count_loss(unit, project_id)


def _name(form: Form) -> str:
    name = form.get("name", "").strip()
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise Invalid(FieldError("name", f"enter a name of 1 to {MAX_NAME_LENGTH} characters"))
    return name


def _project_id(page: PageRequest) -> int:
    return page.integer_id("project_id", "project")


def _id(page: PageRequest) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, add, show_project, rename, archive, make_default, delete]
