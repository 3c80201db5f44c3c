"""Use cases on projects."""

from dataclasses import asdict, replace

from loadbell.domain.errors import Conflict, NotFound
from loadbell.domain.orgs import Action, Principal, Project, ProjectLoss
from loadbell.store import deletions
from loadbell.store import projects as store
from loadbell.store.audit import append_entry
from loadbell.store.organizations import insert_project
from loadbell.store.quotas import require_quota
from loadbell.store.unit_of_work import UnitOfWork, exclusive

MAX_NAMES = 1_000
"""How many project names a page loads; runs of other projects show the project's number."""


async def list_projects(
    unit: UnitOfWork[Principal], organization_id: int, *, before: int | None, limit: int
) -> list[Project]:
    """Returns up to ``limit`` projects older than ``before``, newest first, including archived ones.

    Raises:
        NotFound: the organization isn't the caller's.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.READ_PROJECTS)
    return await store.list_projects(unit.tx, organization_id, before=before, limit=limit)


async def list_project_names(unit: UnitOfWork[Principal]) -> dict[int, str]:
    """Returns names by id of the newest projects whose runs the user can see; reads up to ``MAX_NAMES``."""
    unit.principal.require(Action.READ_RUNS)
    listed = await store.list_projects(unit.tx, unit.principal.organization_id, before=None, limit=MAX_NAMES)
    return {project.id: project.name for project in listed if unit.principal.can_see_project(project.id)}


async def get_project(unit: UnitOfWork[Principal], project_id: int) -> Project:
    """The project.

    Raises:
        NotFound: it isn't in the caller's organization.
    """
    return await _require_project(unit, project_id, Action.READ_PROJECTS)


@exclusive
async def add_project(unit: UnitOfWork[Principal], organization_id: int, name: str) -> Project:
    """Adds a project; another one may have the same name.

    Raises:
        NotFound: the organization isn't the caller's.
        Conflict: it has reached its quota of projects.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.MANAGE_PROJECTS)
    await require_quota(unit.tx, organization_id, "projects", unit.installation.quotas.projects)
    project_id = await insert_project(unit.tx, organization_id, name)
    await append_entry(unit.tx, unit.principal, "project.created", f"project {project_id}", {"name": name})
    return Project(project_id, organization_id, name, is_default=False, archived_at=None, created_at=unit.now)


@exclusive
async def update_project(
    unit: UnitOfWork[Principal], project_id: int, *, name: str | None = None, archived: bool | None = None
) -> Project:
    """Renames, archives or restores the project. An archived one accepts no new runs; open ones may end.

    Raises:
        NotFound: it isn't in the caller's organization.
        Conflict: the default project can't be archived.
    """
    before = await _require_project(unit, project_id, Action.MANAGE_PROJECTS)
    after = before if name is None else replace(before, name=name)
    if archived is not None and archived is not (before.archived_at is not None):
        if archived and before.is_default:
            raise Conflict(f"{_DEFAULT.format(before.id)}, then archive this one.")
        after = replace(after, archived_at=unit.now if archived else None)
    changes = {
        field: {"before": was, "after": is_now}
        for field, was, is_now in (
            ("name", before.name, after.name),
            ("archived", before.archived_at is not None, after.archived_at is not None),
        )
        if was != is_now
    }
    if changes:
        await store.update_project(unit.tx, after)
        await append_entry(unit.tx, unit.principal, "project.changed", f"project {project_id}", changes)
    return after


async def count_loss(unit: UnitOfWork[Principal], project_id: int) -> ProjectLoss:
    """Counts what would be deleted with the project; raises as :func:`delete_project`.

    This is slow for large projects: use it in a read transaction, never in one that writes.
    """
    await _require_deletable(unit, project_id)
    return await deletions.count_project_loss(unit.tx, unit.principal.organization_id, project_id)


@exclusive
async def delete_project(unit: UnitOfWork[Principal], project_id: int, loss: ProjectLoss) -> None:
    """Deletes the project with its tests, runs and tokens. ``loss`` is the recent result of :func:`count_loss`.

    Its deliveries stay in the organization's log; pending ones are cancelled.

    Raises:
        NotFound: it isn't in the caller's organization.
        Conflict: the default project can't be deleted.
    """
    project = await _require_deletable(unit, project_id)
    await deletions.delete_project(unit.tx, unit.principal.organization_id, project_id)
    changes = {"name": project.name, "lost": asdict(loss)}
    await append_entry(unit.tx, unit.principal, "project.deleted", f"project {project_id}", changes)


_DEFAULT = "Project {} is the default project. Make another project the default"


async def _require_deletable(unit: UnitOfWork[Principal], project_id: int) -> Project:
    project = await _require_project(unit, project_id, Action.MANAGE_PROJECTS)
    if project.is_default:
        raise Conflict(f"{_DEFAULT.format(project_id)}, then delete this one.")
    return project


async def _require_project(unit: UnitOfWork[Principal], project_id: int, action: Action) -> Project:
    project = await store.get_project(unit.tx, unit.principal.organization_id, project_id)
    if project is None:
        raise NotFound(f"There is no project {project_id}.")
    unit.principal.require(action)
    return project
