"""Projects, which group runs within an organization."""

from dataclasses import asdict
from typing import Annotated, Any

import msgspec

from loadbell.accounts import projects
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Name
from loadbell.api.organizations import DeletionQuery
from loadbell.api.routes import route
from loadbell.domain import orgs
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal
from loadbell.entry.paging import PageQuery
from loadbell.entry.requests import ApiRequest
from loadbell.store.unit_of_work import UnitOfWork, exclusive


class Project(msgspec.Struct):
    """A project, which groups runs. An archived project accepts no new runs."""

    id: int
    organization_id: int
    name: str
    default: bool
    archived_at: Time | None
    created_at: Time


class ProjectPage(Page[Project]):
    """A page of projects, newest first. `next_cursor` is null on the last one."""


class ProjectLoss(msgspec.Struct):
    """How much is deleted with a project. `open_runs` haven't ended; `tokens` are limited to this project."""

    tests: int
    runs: int
    open_runs: int
    pending_deliveries: int
    tokens: int
    assigned_members: int


class NewProjectBody(msgspec.Struct, kw_only=True):
    """A project to add. Names don't have to be unique."""

    name: Name


class ProjectChangeBody(msgspec.Struct, kw_only=True):
    """The fields to change. Omitted fields stay unchanged."""

    name: Name | None = None
    archived: (
        Annotated[bool, msgspec.Meta(description="Whether the project is archived and accepts no new runs.")] | None
    ) = None


@route("GET", "/organizations/{organization_id}/projects", "List projects", refusals=(404,))
async def list_projects(unit: UnitOfWork[Principal], organization_id: int, query: PageQuery) -> ProjectPage:
    """The organization's projects, including archived ones, newest first."""
    listed = await projects.list_projects(unit, organization_id, before=query.before_id(), limit=query.one_more)
    return page(ProjectPage, listed, query.limit, _to_json, lambda project: project.id)


@route("POST", "/organizations/{organization_id}/projects", "Add a project", status=201, refusals=(404,))
@exclusive
async def create_project(unit: UnitOfWork[Principal], organization_id: int, body: NewProjectBody) -> Project:
    """Adds a project. Nobody is assigned to it yet."""
    return _to_json(await projects.add_project(unit, organization_id, body.name))


@route("GET", "/projects/{project_id}", "Read a project", refusals=(404,))
async def get_project(unit: UnitOfWork[Principal], project_id: int) -> Project:
    """One project."""
    return _to_json(await projects.get_project(unit, project_id))


@route("PATCH", "/projects/{project_id}", "Change a project", refusals=(404, 409))
@exclusive
async def update_project(unit: UnitOfWork[Principal], project_id: int, body: ProjectChangeBody) -> Project:
    """Renames, archives or restores the project. The default one can't be archived."""
    return _to_json(await projects.update_project(unit, project_id, name=body.name, archived=body.archived))


@route("DELETE", "/projects/{project_id}", "Delete a project", refusals=(404, 409))
async def delete_project(request: ApiRequest, project_id: int, query: DeletionQuery) -> ProjectLoss:
    """Deletes the project with its tests, runs and tokens, and cancels pending deliveries. Returns what was deleted.

    Its deliveries stay in the organization's log. The default project can't be deleted.
    """
    loss = await request.read(projects.count_loss, project_id)
    if not query.dry_run:
        await request.write(projects.delete_project, project_id, loss)
    return ProjectLoss(**asdict(loss))


def _to_json(project: orgs.Project) -> Project:
    return Project(
        id=project.id,
        organization_id=project.organization_id,
        name=project.name,
        default=project.is_default,
        archived_at=None if project.archived_at is None else rfc3339(project.archived_at),
        created_at=rfc3339(project.created_at),
    )


HANDLERS: list[Any] = [list_projects, create_project, get_project, update_project, delete_project]
