"""
Deleting a project or an organization: what goes with it, counted first.

The caller has locked the organization alone. On PostgreSQL rows are locked as everybody locks them: the project or the
channels, runs, then deliveries. See ``docs/decisions/0016-one-organization-one-lock.md``.
"""

from dataclasses import replace

from loadbell.domain.ids import Micros
from loadbell.domain.orgs import OrganizationLoss, ProjectLoss
from loadbell.store.calling_off import call_off_organization, call_off_project, count_pending
from loadbell.store.db import Transaction
from loadbell.store.statements import Statement


def _counts(tables: dict[str, str]) -> Statement:
    counts = ", ".join(f"(SELECT count(*) FROM {which}) AS {name}" for name, which in tables.items())
    return Statement(f"SELECT {counts}")


_OF_PROJECT = {
    "tests": "tests WHERE project_id = :project_id",
    "runs": "runs WHERE project_id = :project_id",
    "open_runs": "runs WHERE project_id = :project_id AND ended_at IS NULL",
    "tokens": "tokens WHERE organization_id = :organization_id AND project_id = :project_id",
    "assigned_members": "assignments WHERE project_id = :project_id",
}
_OF_ORGANIZATION = {
    **{name: f"{name} WHERE organization_id = :organization_id" for name in ("projects", "tests", "runs", "channels")},
    "open_runs": "runs WHERE organization_id = :organization_id AND ended_at IS NULL",
    **{name: f"{name} WHERE organization_id = :organization_id" for name in ("members", "tokens", "invitations")},
}
_COUNT_PROJECT = _counts(_OF_PROJECT)
_COUNT_ORGANIZATION = _counts(_OF_ORGANIZATION)

_LOCK_PROJECT = Statement("SELECT id FROM projects WHERE id = :project_id FOR UPDATE")
_DELETE_OF_PROJECT = [
    Statement(f"DELETE FROM {table} WHERE organization_id = :organization_id AND project_id = :project_id")
    for table in ("runs", "tests", "tokens")  # a test's runs before it, so that nothing is left to cascade to
]
_DELETE_PROJECT = Statement("DELETE FROM projects WHERE id = :project_id AND organization_id = :organization_id")

_LOCK_CHANNELS = Statement(
    "SELECT id FROM channels WHERE organization_id = :organization_id ORDER BY id FOR UPDATE",
)
_UNASSIGN = Statement(
    "DELETE FROM assignments WHERE project_id IN (SELECT id FROM projects WHERE organization_id = :organization_id)"
)
_DELETE_OF_ORGANIZATION = [
    _UNASSIGN,
    *(
        Statement(f"DELETE FROM {table} WHERE organization_id = :organization_id")
        for table in ("channels", "invitations", "tokens", "members")
    ),
]
_MARK = Statement("UPDATE organizations SET deleted_at = :now WHERE id = :organization_id")


async def count_project_loss(tx: Transaction, organization_id: int, project_id: int) -> ProjectLoss:
    """What would go with the organization's project."""
    row = await tx.first(_COUNT_PROJECT, organization_id=organization_id, project_id=project_id)
    assert row is not None
    pending = await count_pending(tx, organization_id, project_id)
    return ProjectLoss(pending_deliveries=pending, **{name: int(row[name]) for name in _OF_PROJECT})


async def delete_project(tx: Transaction, organization_id: int, project_id: int, now: Micros) -> ProjectLoss:
    """Removes the organization's project with its tests, runs, tokens and assignments; cancels what is pending."""
    where = {"organization_id": organization_id, "project_id": project_id}
    if tx.dialect == "postgresql":
        await tx.all(_LOCK_PROJECT, project_id=project_id)
    loss = await count_project_loss(tx, organization_id, project_id)
    for statement in _DELETE_OF_PROJECT:
        await tx.run(statement, **where)
    cancelled = await call_off_project(tx, organization_id, project_id, now)
    await tx.run(_DELETE_PROJECT, **where)
    return replace(loss, pending_deliveries=cancelled)


async def count_organization_loss(tx: Transaction, organization_id: int) -> OrganizationLoss:
    """What would go with the organization."""
    row = await tx.first(_COUNT_ORGANIZATION, organization_id=organization_id)
    assert row is not None
    pending = await count_pending(tx, organization_id)
    return OrganizationLoss(pending_deliveries=pending, **{name: int(row[name]) for name in _OF_ORGANIZATION})


async def delete_organization(tx: Transaction, organization_id: int, now: Micros) -> OrganizationLoss:
    """Takes everybody and every channel out of the organization, cancels what is pending, and marks it as deleted."""
    if tx.dialect == "postgresql":
        await tx.all(_LOCK_CHANNELS, organization_id=organization_id)
    loss = await count_organization_loss(tx, organization_id)
    cancelled = await call_off_organization(tx, organization_id, now)
    for statement in _DELETE_OF_ORGANIZATION:
        await tx.run(statement, organization_id=organization_id)
    await tx.run(_MARK, organization_id=organization_id, now=now)
    return replace(loss, pending_deliveries=cancelled)
