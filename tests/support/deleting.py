"""Deleting as the front ends do it: first what goes with it is counted, then it goes."""

from loadbell.accounts import organizations, projects
from loadbell.domain.orgs import OrganizationLoss, Principal, ProjectLoss
from loadbell.store.unit_of_work import UnitOfWork


async def delete_project(unit: UnitOfWork[Principal], project_id: int) -> ProjectLoss:
    """Deletes the project; gives what was lost."""
    loss = await projects.count_loss(unit, project_id)
    await projects.delete_project(unit, project_id, loss)
    return loss


async def delete_organization(unit: UnitOfWork[Principal], organization_id: int) -> OrganizationLoss:
    """Deletes the organization; gives what was lost."""
    loss = await organizations.count_loss(unit, organization_id)
    await organizations.delete_organization(unit, organization_id, loss)
    return loss
