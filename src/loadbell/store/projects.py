"""Projects of an organization."""

from loadbell.domain.ids import MAX_ID
from loadbell.domain.orgs import Project
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement

_SELECT = (
    "SELECT p.id, p.organization_id, p.name, p.archived_at, p.created_at, "
    "coalesce(p.id = o.default_project_id, FALSE) AS is_default "
    "FROM projects p JOIN organizations o ON o.id = p.organization_id "
    "WHERE p.organization_id = :organization_id AND p.deleted_at IS NULL "
)
_GET = Statement(_SELECT + "AND p.id = :id")
_PAGE = Statement(_SELECT + "AND p.id < :before ORDER BY p.id DESC LIMIT :limit")
_OPEN = Statement(_SELECT + "AND p.archived_at IS NULL ORDER BY is_default DESC, p.id")
_UPDATE = Statement(
    "UPDATE projects SET name = :name, archived_at = :archived_at WHERE id = :id AND organization_id = :organization_id"
)


async def get_project(tx: Transaction, organization_id: int, project_id: int) -> Project | None:
    """Returns the project, if it is the organization's."""
    row = await tx.first(_GET, organization_id=organization_id, id=project_id)
    return None if row is None else read_row(Project, row)


async def list_projects(tx: Transaction, organization_id: int, *, before: int | None, limit: int) -> list[Project]:
    """Returns up to ``limit`` projects of the organization, archived too, newest first, with ids below ``before``."""
    rows = await tx.all(
        _PAGE, organization_id=organization_id, before=MAX_ID if before is None else before, limit=limit
    )
    return [read_row(Project, row) for row in rows]


async def list_open_projects(tx: Transaction, organization_id: int) -> list[int]:
    """Returns the organization's projects that aren't archived: the default one, then the others, oldest first."""
    return [int(row["id"]) for row in await tx.all(_OPEN, organization_id=organization_id)]


async def update_project(tx: Transaction, project: Project) -> None:
    """Saves the name of ``project`` and since when it is archived."""
    await tx.run(
        _UPDATE,
        organization_id=project.organization_id,
        id=project.id,
        name=project.name,
        archived_at=project.archived_at,
    )
