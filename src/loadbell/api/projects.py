"""Projects: where runs belong within an organization."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency

from loadbell.accounts import projects
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Name
from loadbell.api.operations import Operation, described
from loadbell.api.organizations import DeletionQuery
from loadbell.domain import orgs
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal
from loadbell.entry.door import Call, answer
from loadbell.entry.paging import PageQuery
from loadbell.store.unit_of_work import UnitOfWork, exclusive

_NOUN = "project"


class Project(msgspec.Struct):
    """Where runs belong within an organization. An archived one takes no new runs."""

    id: int
    organization_id: int
    name: str
    default: bool
    archived_at: Time | None
    created_at: Time


class ProjectPage(Page[Project]):
    """A page of projects, newest first. `next_cursor` is null on the last one."""


class ProjectLoss(msgspec.Struct):
    """What goes with a project, by number. `open_runs` haven't ended; `tokens` open this project only."""

    tests: int
    runs: int
    open_runs: int
    pending_deliveries: int
    tokens: int
    assigned_members: int


class NewProjectBody(msgspec.Struct, kw_only=True):
    """A project to add. Another one may have the same name."""

    name: Name


class ProjectChangeBody(msgspec.Struct, kw_only=True):
    """What to change; what is left out stays as it is."""

    name: Name | None = None
    archived: Annotated[bool, msgspec.Meta(description="Whether it takes no new runs.")] | None = None


@get(
    "/organizations/{organization_id:str}/projects",
    **described(Operation("List projects", {200: ProjectPage}, query=PageQuery, refusals=(404,))),
)
async def list_projects(call: NamedDependency[Call]) -> Response[bytes]:
    """The organization's projects, newest first, archived ones too."""

    async def work(unit: UnitOfWork[Principal]) -> ProjectPage:
        organization_id, wanted = call.integer_id("organization_id", "organization"), call.query(PageQuery)
        found = await projects.list_projects(unit, organization_id, before=wanted.before_id(), limit=wanted.one_more)
        return page(ProjectPage, found, wanted.limit, _shown, lambda project: project.id)

    return answer(HTTPStatus.OK, await call.read(work))


@post(
    "/organizations/{organization_id:str}/projects",
    **described(Operation("Add a project", {201: Project}, body=NewProjectBody, refusals=(404,))),
)
async def create_project(call: NamedDependency[Call]) -> Response[bytes]:
    """Adds a project, to which nobody is assigned yet."""
    said = await call.body(NewProjectBody)

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> Project:
        organization_id = call.integer_id("organization_id", "organization")
        return _shown(await projects.add_project(unit, organization_id, said.name))

    return answer(HTTPStatus.CREATED, await call.write_once(work))


@get("/projects/{project_id:str}", **described(Operation("Read a project", {200: Project}, refusals=(404,))))
async def get_project(call: NamedDependency[Call]) -> Response[bytes]:
    """One project as it stands."""

    async def work(unit: UnitOfWork[Principal]) -> Project:
        return _shown(await projects.get_project(unit, call.integer_id("project_id", _NOUN)))

    return answer(HTTPStatus.OK, await call.read(work))


@patch(
    "/projects/{project_id:str}",
    **described(Operation("Change a project", {200: Project}, body=ProjectChangeBody, refusals=(404, 409))),
)
async def update_project(call: NamedDependency[Call]) -> Response[bytes]:
    """Renames, archives or restores the project. The default one can't be archived."""
    said = await call.body(ProjectChangeBody)

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> Project:
        project_id = call.integer_id("project_id", _NOUN)
        return _shown(await projects.update_project(unit, project_id, name=said.name, archived=said.archived))

    return answer(HTTPStatus.OK, await call.write(work))


@delete(
    "/projects/{project_id:str}",
    status_code=HTTPStatus.OK,
    **described(Operation("Delete a project", {200: ProjectLoss}, query=DeletionQuery, refusals=(404, 409))),
)
async def delete_project(call: NamedDependency[Call]) -> Response[bytes]:
    """Removes the project with its tests, runs and tokens, and cancels what is pending; tells what was lost.

    Its deliveries stay in the organization's log. The default project can't be deleted.
    """

    async def look(unit: UnitOfWork[Principal]) -> tuple[bool, orgs.ProjectLoss]:
        only_counted = call.query(DeletionQuery).dry_run
        return only_counted, await projects.look_at_loss(unit, call.integer_id("project_id", _NOUN))

    only_counted, loss = await call.read(look)

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> None:
        await projects.delete_project(unit, call.integer_id("project_id", _NOUN), loss)

    if not only_counted:
        await call.write(work)
    return answer(HTTPStatus.OK, ProjectLoss(**asdict(loss)))


def _shown(found: orgs.Project) -> Project:
    return Project(
        id=found.id,
        organization_id=found.organization_id,
        name=found.name,
        default=found.is_default,
        archived_at=None if found.archived_at is None else rfc3339(found.archived_at),
        created_at=rfc3339(found.created_at),
    )


HANDLERS: list[Any] = [list_projects, create_project, get_project, update_project, delete_project]
