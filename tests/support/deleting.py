"""Deleting as the doors do it: first what goes with it is counted, then it goes."""

from loadbell.accounts import organizations, projects
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import OrganizationLoss, Principal, ProjectLoss
from loadbell.store.db import Transaction


async def delete_project(tx: Transaction, principal: Principal, project_id: int, *, now: Micros) -> ProjectLoss:
    """Deletes the project; gives what was lost."""
    loss = await projects.look_at_loss(tx, principal, project_id)
    await projects.delete_project(tx, principal, project_id, loss, now=now)
    return loss


async def delete_organization(
    tx: Transaction, principal: Principal, organization_id: int, *, now: Micros
) -> OrganizationLoss:
    """Deletes the organization; gives what was lost."""
    loss = await organizations.look_at_loss(tx, principal, organization_id)
    await organizations.delete_organization(tx, principal, organization_id, loss, now=now)
    return loss
