"""
Deletes a project or an organization; counts what goes with it first, without blocking anybody.

Deleting sets a mark; sweeps do the rest. The caller has locked the organization exclusively. PostgreSQL rows are locked
in the usual order: the project or the channels, runs, then the outbox and the log. See
``docs/decisions/0016-one-organization-one-lock.md`` and ``0024-sweeps.md`` there.
"""

from loadbell.domain.orgs import OrganizationLoss, ProjectLoss
from loadbell.store.cancellation import ORGANIZATION_DELETED, PROJECT_DELETED, count_pending
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.sweeps import sweep_assignments, sweep_channels, sweep_project


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
    **{name: f"{name} WHERE organization_id = :organization_id" for name in ("tests", "runs", "channels")},
    "projects": "projects WHERE organization_id = :organization_id AND deleted_at IS NULL",
    "open_runs": "runs WHERE organization_id = :organization_id AND ended_at IS NULL",
    **{name: f"{name} WHERE organization_id = :organization_id" for name in ("members", "tokens", "invitations")},
}
_COUNT_PROJECT = _counts(_OF_PROJECT)
_COUNT_ORGANIZATION = _counts(_OF_ORGANIZATION)

_LOCK_PROJECT = Statement("SELECT id FROM projects WHERE id = :project_id FOR UPDATE")
_DELETE_TOKENS = Statement(
    "DELETE FROM tokens WHERE organization_id = :organization_id AND project_id = :project_id",
)
_MARK_PROJECT = Statement(
    "UPDATE projects SET deleted_at = :now WHERE id = :project_id AND organization_id = :organization_id"
)

_LOCK_CHANNELS = Statement(
    "SELECT id FROM channels WHERE organization_id = :organization_id ORDER BY id FOR UPDATE",
)
_DELETE_OF_ORGANIZATION = [
    Statement(f"DELETE FROM {table} WHERE organization_id = :organization_id")
    for table in ("channels", "invitations", "tokens", "members")  # each limited by its quota
]
_MARK = Statement("UPDATE organizations SET deleted_at = :now WHERE id = :organization_id")


async def count_project_loss(tx: Transaction, organization_id: int, project_id: int) -> ProjectLoss:
    """Counts what deleting the organization's project would delete."""
    row = await tx.first(_COUNT_PROJECT, organization_id=organization_id, project_id=project_id)
    assert row is not None
    pending = await count_pending(tx, organization_id, project_id)
    return ProjectLoss(pending_deliveries=pending, **{name: int(row[name]) for name in _OF_PROJECT})


async def delete_project(tx: Transaction, organization_id: int, project_id: int) -> None:
    """Deletes the organization's project with its tests, runs, tokens and assignments; cancels pending deliveries."""
    where = {"organization_id": organization_id, "project_id": project_id}
    await tx.all(_LOCK_PROJECT, project_id=project_id)
    await tx.run(_MARK_PROJECT, **where, now=tx.now)
    await tx.run(_DELETE_TOKENS, **where)
    await sweep_project(tx, organization_id, project_id, PROJECT_DELETED)


async def count_organization_loss(tx: Transaction, organization_id: int) -> OrganizationLoss:
    """Counts what deleting the organization would delete."""
    row = await tx.first(_COUNT_ORGANIZATION, organization_id=organization_id)
    assert row is not None
    pending = await count_pending(tx, organization_id)
    return OrganizationLoss(pending_deliveries=pending, **{name: int(row[name]) for name in _OF_ORGANIZATION})


async def delete_organization(tx: Transaction, organization_id: int) -> None:
    """Removes the organization's members and channels, cancels pending deliveries, and marks it as deleted."""
    await tx.all(_LOCK_CHANNELS, organization_id=organization_id)
    await sweep_channels(tx, organization_id, ORGANIZATION_DELETED)
    await tx.run(_MARK, organization_id=organization_id, now=tx.now)
    for statement in _DELETE_OF_ORGANIZATION:
        await tx.run(statement, organization_id=organization_id)
    await sweep_assignments(tx, organization_id)
