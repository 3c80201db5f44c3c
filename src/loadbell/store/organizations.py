"""Organizations with their members, projects and assignments."""

import sqlalchemy as sa

from loadbell.domain.orgs import Organization, Role
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import assignments, members, organizations, projects, users

_INSERT_ORGANIZATION = Statement(insert_into(organizations, "name", "created_at").returning(organizations.c.id))
_GET_ORGANIZATION = Statement(
    sa.select(
        organizations.c.id, organizations.c.name, organizations.c.default_project_id, organizations.c.created_at
    ).where(organizations.c.id == sa.bindparam("id"))
)
_SET_DEFAULT_PROJECT = Statement(
    "UPDATE organizations SET default_project_id = :project_id WHERE id = :organization_id"
)
_UPDATE = Statement("UPDATE organizations SET name = :name, default_project_id = :default_project_id WHERE id = :id")
_INSERT_MEMBER = Statement(insert_into(members, "organization_id", "user_id", "role", "created_at"))
_ROLE = Statement("SELECT role FROM members WHERE organization_id = :organization_id AND user_id = :user_id")
_MEMBERSHIPS = Statement(
    "SELECT o.id, o.name, m.role FROM members m JOIN organizations o ON o.id = m.organization_id "
    "WHERE m.user_id = :user_id ORDER BY o.name, o.id"
)
_INSERT_PROJECT = Statement(insert_into(projects, "organization_id", "name", "created_at").returning(projects.c.id))
_INSERT_ASSIGNMENT = Statement(insert_into(assignments, "project_id", "user_id"))
_ANY_USER = Statement(sa.select(users.c.id).limit(1))
_PROJECT = Statement(
    sa.select(projects.c.id).where(
        projects.c.id == sa.bindparam("project_id"),
        projects.c.organization_id == sa.bindparam("organization_id"),
        projects.c.deleted_at.is_(None),
    )
)
_PROJECTS = Statement(
    sa.select(projects.c.id)
    .where(projects.c.organization_id == sa.bindparam("organization_id"), projects.c.deleted_at.is_(None))
    .order_by(projects.c.id)
)
_ASSIGNED = Statement(
    sa.select(projects.c.id)
    .join(assignments, assignments.c.project_id == projects.c.id)
    .where(
        assignments.c.user_id == sa.bindparam("user_id"),
        projects.c.organization_id == sa.bindparam("organization_id"),
        projects.c.deleted_at.is_(None),
    )
)
_NAMES = Statement(
    "SELECT (SELECT name FROM projects WHERE id = :project_id) AS project, "
    "(SELECT name FROM users WHERE id = :user_id) AS who"
)
_ORGANIZATION_AND_USER = Statement(
    "SELECT (SELECT name FROM organizations WHERE id = :organization_id) AS organization, "
    "(SELECT name FROM users WHERE id = :user_id) AS who"
)


async def insert_organization(tx: Transaction, name: str) -> int:
    """Adds an organization and returns its id."""
    row = await tx.first(_INSERT_ORGANIZATION, name=name, created_at=tx.now)
    assert row is not None
    return int(row["id"])


async def get_organization(tx: Transaction, organization_id: int) -> Organization | None:
    """Returns the organization with that id."""
    row = await tx.first(_GET_ORGANIZATION, id=organization_id)
    return None if row is None else read_row(Organization, row)


async def update_organization(tx: Transaction, organization: Organization) -> None:
    """Saves the name and default project of ``organization``, which this transaction has locked exclusively."""
    await tx.run(
        _UPDATE,
        id=organization.id,
        name=organization.name,
        default_project_id=organization.default_project_id,
    )


async def insert_member(tx: Transaction, organization_id: int, user_id: int, role: Role) -> None:
    """Adds a user to an organization."""
    await tx.run(_INSERT_MEMBER, organization_id=organization_id, user_id=user_id, role=role.value, created_at=tx.now)


async def get_role(tx: Transaction, organization_id: int, user_id: int) -> Role | None:
    """Returns the user's role in the organization; None if the user isn't a member."""
    row = await tx.first(_ROLE, organization_id=organization_id, user_id=user_id)
    return None if row is None else Role(row["role"])


async def list_memberships(tx: Transaction, user_id: int) -> list[tuple[int, str, Role]]:
    """Returns id, name and role for each of the user's organizations, by name."""
    return [(row["id"], row["name"], Role(row["role"])) for row in await tx.all(_MEMBERSHIPS, user_id=user_id)]


async def insert_project(tx: Transaction, organization_id: int, name: str) -> int:
    """Adds a project and returns its id."""
    row = await tx.first(_INSERT_PROJECT, organization_id=organization_id, name=name, created_at=tx.now)
    assert row is not None
    return int(row["id"])


async def set_default_project(tx: Transaction, organization_id: int, project_id: int) -> None:
    """Sets the project for runs that name none."""
    await tx.run(_SET_DEFAULT_PROJECT, organization_id=organization_id, project_id=project_id)


async def assign_project(tx: Transaction, project_id: int, user_id: int) -> None:
    """Assigns a member to a project."""
    await tx.run(_INSERT_ASSIGNMENT, project_id=project_id, user_id=user_id)


async def has_user(tx: Transaction) -> bool:
    """Returns whether any user exists, so whether this installation is set up."""
    return await tx.first(_ANY_USER) is not None


async def has_project(tx: Transaction, organization_id: int, project_id: int) -> bool:
    """Returns whether the project belongs to the organization."""
    return await tx.first(_PROJECT, organization_id=organization_id, project_id=project_id) is not None


async def project_ids(tx: Transaction, organization_id: int) -> list[int]:
    """Returns the organization's projects, oldest first."""
    return [int(row["id"]) for row in await tx.all(_PROJECTS, organization_id=organization_id)]


async def list_names(tx: Transaction, project_id: int, user_id: int) -> tuple[str, str]:
    """Returns the names of the project and the user; empty if missing."""
    row = await tx.first(_NAMES, project_id=project_id, user_id=user_id)
    assert row is not None
    return row["project"] or "", row["who"] or ""


async def organization_names(tx: Transaction, organization_id: int, user_id: int) -> tuple[str, str]:
    """Returns the names of the organization and the user; empty if missing."""
    row = await tx.first(_ORGANIZATION_AND_USER, organization_id=organization_id, user_id=user_id)
    assert row is not None
    return row["organization"] or "", row["who"] or ""


async def list_assigned_projects(tx: Transaction, organization_id: int, user_id: int) -> frozenset[int]:
    """Returns the projects of the organization that the user is assigned to."""
    rows = await tx.all(_ASSIGNED, organization_id=organization_id, user_id=user_id)
    return frozenset(int(row["id"]) for row in rows)
