"""Use cases on projects: where runs belong within an organization."""

from dataclasses import asdict, replace

from loadbell.domain.errors import Conflict, NotFound
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Principal, Project, ProjectLoss
from loadbell.domain.quotas import DEFAULT_QUOTAS, Quotas
from loadbell.notify.channels import check_organization
from loadbell.store import deletions
from loadbell.store import projects as store
from loadbell.store.audit import append_entry
from loadbell.store.db import Transaction
from loadbell.store.organizations import insert_project
from loadbell.store.quotas import require_room

MOST_NAMES = 1_000
"""Projects whose names a page knows; runs of others are shown with the project's number."""


async def list_projects(
    tx: Transaction, principal: Principal, organization_id: int, *, before: int | None, limit: int
) -> list[Project]:
    """Up to ``limit`` projects, newest first, older than ``before``; archived ones too.

    Raises:
        NotFound: the organization is not the asker's.
    """
    check_organization(principal, organization_id)
    principal.require(Action.READ_PROJECTS)
    return await store.list_projects(tx, organization_id, before=before, limit=limit)


async def names_of_projects(tx: Transaction, principal: Principal) -> dict[int, str]:
    """By id, the names of the newest projects whose runs the asker sees; at most ``MOST_NAMES`` are looked at."""
    principal.require(Action.READ_RUNS)
    listed = await store.list_projects(tx, principal.organization_id, before=None, limit=MOST_NAMES)
    return {one.id: one.name for one in listed if principal.sees_project(one.id)}


async def get_project(tx: Transaction, principal: Principal, project_id: int) -> Project:
    """The project.

    Raises:
        NotFound: it is not of the asker's organization.
    """
    return await _allowed(tx, principal, project_id, Action.READ_PROJECTS)


async def add_project(  # noqa: PLR0913 - what is added, and what it may be
    tx: Transaction,
    principal: Principal,
    organization_id: int,
    name: str,
    *,
    quotas: Quotas = DEFAULT_QUOTAS,
    now: Micros,
) -> Project:
    """Adds a project; another one may have the same name.

    Raises:
        NotFound: the organization is not the asker's.
        Conflict: it has as many projects as it may.
    """
    check_organization(principal, organization_id)
    principal.require(Action.MANAGE_PROJECTS)
    await require_room(tx, organization_id, "projects", quotas.projects, now)
    project_id = await insert_project(tx, organization_id, name, now)
    await append_entry(tx, principal, "project.created", f"project {project_id}", {"name": name}, now)
    return Project(project_id, organization_id, name, is_default=False, archived_at=None, created_at=now)


async def update_project(  # noqa: PLR0913 - one argument for each property
    tx: Transaction,
    principal: Principal,
    project_id: int,
    *,
    name: str | None = None,
    archived: bool | None = None,
    now: Micros,
) -> Project:
    """Renames, archives or restores the project. An archived one takes no new runs; those under way may end.

    Raises:
        NotFound: it is not of the asker's organization.
        Conflict: the default project can't be archived.
    """
    before = await _allowed(tx, principal, project_id, Action.MANAGE_PROJECTS)
    after = before if name is None else replace(before, name=name)
    if archived is not None and archived is not (before.archived_at is not None):
        if archived and before.is_default:
            raise Conflict(f"{_DEFAULT.format(before.id)}, then archive this one.")
        after = replace(after, archived_at=now if archived else None)
    changes = {
        field: {"before": was, "after": is_now}
        for field, was, is_now in (
            ("name", before.name, after.name),
            ("archived", before.archived_at is not None, after.archived_at is not None),
        )
        if was != is_now
    }
    if changes:
        await store.update_project(tx, after)
        await append_entry(tx, principal, "project.changed", f"project {project_id}", changes, now)
    return after


async def look_at_loss(tx: Transaction, principal: Principal, project_id: int) -> ProjectLoss:
    """What deleting the project would take with it; raises what deleting it would.

    To count takes long where there is much: it is for a look, never for a transaction that writes.
    """
    await _deletable(tx, principal, project_id)
    return await deletions.count_project_loss(tx, principal.organization_id, project_id)


async def delete_project(
    tx: Transaction, principal: Principal, project_id: int, loss: ProjectLoss, *, now: Micros
) -> None:
    """Removes the project with its tests, runs and tokens. ``loss`` is what :func:`look_at_loss` gave just before.

    Its deliveries stay in the organization's log, those that were pending as cancelled.

    Raises:
        NotFound: it is not of the asker's organization.
        Conflict: the default project can't be deleted.
    """
    project = await _deletable(tx, principal, project_id)
    await deletions.delete_project(tx, principal.organization_id, project_id, now)
    changes = {"name": project.name, "lost": asdict(loss)}
    await append_entry(tx, principal, "project.deleted", f"project {project_id}", changes, now)


_DEFAULT = (
    "Runs that name no project go to project {}. Make another one the default with PATCH /api/v1/organizations/{{id}} "
    '{{"default_project_id": …}}'
)


async def _deletable(tx: Transaction, principal: Principal, project_id: int) -> Project:
    project = await _allowed(tx, principal, project_id, Action.MANAGE_PROJECTS)
    if project.is_default:
        raise Conflict(f"{_DEFAULT.format(project_id)}, then delete this one.")
    return project


async def _allowed(tx: Transaction, principal: Principal, project_id: int, action: Action) -> Project:
    project = await store.get_project(tx, principal.organization_id, project_id)
    if project is None:
        raise NotFound(f"There is no project {project_id}.")
    principal.require(action)
    return project
