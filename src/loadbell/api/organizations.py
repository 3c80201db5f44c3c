"""Organizations: the token's own, and adding others."""

from dataclasses import asdict
from typing import Annotated, Any

import msgspec

from loadbell.accounts import organizations
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Name
from loadbell.api.routes import route
from loadbell.domain import orgs
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal, SignedIn
from loadbell.entry.paging import PageQuery
from loadbell.entry.path_ids import check_id
from loadbell.entry.requests import ApiRequest
from loadbell.store.unit_of_work import UnitOfWork, exclusive


class Organization(msgspec.Struct):
    """The tenant: everything that is reported, configured and logged belongs to exactly one.

    `user_id` and `role` are those of whoever asks. `default_project_id` is null for whoever does not see that project.
    """

    id: int
    name: str
    default_project_id: int | None
    created_at: Time
    user_id: int
    role: orgs.Role


class OrganizationPage(Page[Organization]):
    """A page of organizations, newest first. `next_cursor` is null on the last one."""


class CreatedOrganization(msgspec.Struct):
    """A new organization, its default project, and a token of scope manage that is shown only once."""

    id: int
    project_id: int
    token: str


class OrganizationLoss(msgspec.Struct):
    """How much is deleted with an organization. `open_runs` haven't ended."""

    projects: int
    tests: int
    runs: int
    open_runs: int
    channels: int
    pending_deliveries: int
    members: int
    tokens: int
    invitations: int


class NewOrganizationBody(msgspec.Struct, kw_only=True):
    """An organization to add. You become its owner."""

    name: Name


class OrganizationChangeBody(msgspec.Struct, kw_only=True):
    """The fields to change. Omitted fields stay unchanged."""

    name: Name | None = None
    default_project_id: Annotated[int, msgspec.Meta(description="The project of runs that don't name one.")] | None = (
        None
    )


class DeletionQuery(msgspec.Struct, kw_only=True):
    """Options of a deletion."""

    dry_run: Annotated[bool, msgspec.Meta(description="Only return what would be deleted.")] = False


@route("POST", "/organizations", "Add an organization", status=201)
async def create_organization(unit: UnitOfWork[Principal], body: NewOrganizationBody) -> CreatedOrganization:
    """Adds an organization that you own, with a default project. Its token is only in this response."""
    return _created(await organizations.create_organization(unit, body.name))


@route("POST", "/account/organizations", "Add an organization with a session", status=201, refusals=(409,))
async def create_own_organization(unit: UnitOfWork[SignedIn], body: NewOrganizationBody) -> CreatedOrganization:
    """Same as `POST /organizations`, with a session instead of a token."""
    return _created(await organizations.add_organization(unit, body.name))


@route("GET", "/organizations", "List organizations")
async def list_organizations(unit: UnitOfWork[Principal], query: PageQuery) -> OrganizationPage:
    """The organizations that the token can see: only its own, whatever its scope."""
    listed = await organizations.list_organizations(unit, before=query.before_id())
    return page(
        OrganizationPage,
        listed,
        query.limit,
        lambda organization: _to_json(organization, unit.principal),
        lambda organization: organization.id,
    )


@route("GET", "/organizations/{organization_id}", "Read an organization", refusals=(404,))
async def get_organization(unit: UnitOfWork[Principal], organization_id: int) -> Organization:
    """The organization."""
    return _to_json(await organizations.get_organization(unit, organization_id), unit.principal)


@route("PATCH", "/organizations/{organization_id}", "Change an organization", refusals=(404, 409))
@exclusive
async def update_organization(
    unit: UnitOfWork[Principal], organization_id: int, body: OrganizationChangeBody
) -> Organization:
    """Renames the organization or changes its default project, which can't be archived."""
    default = body.default_project_id
    changed = await organizations.update_organization(
        unit,
        organization_id,
        name=body.name,
        default_project_id=None if default is None else check_id(default, "project"),
    )
    return _to_json(changed, unit.principal)


@route("DELETE", "/organizations/{organization_id}", "Delete an organization", refusals=(404,))
async def delete_organization(request: ApiRequest, organization_id: int, query: DeletionQuery) -> OrganizationLoss:
    """Deletes the organization, removes its members and cancels pending deliveries. Owner only.

    Returns what was deleted.

    Its channels, tokens and invitations are gone at once; its runs and logs can't be reached any more.
    """
    loss = await request.read(organizations.count_loss, organization_id)
    if not query.dry_run:
        await request.write(organizations.delete_organization, organization_id, loss)
    return OrganizationLoss(**asdict(loss))


def _created(organization: organizations.NewOrganization) -> CreatedOrganization:
    return CreatedOrganization(organization.organization_id, organization.project_id, organization.token)


def _to_json(organization: orgs.Organization, principal: Principal) -> Organization:
    default = organization.default_project_id
    return Organization(
        id=organization.id,
        name=organization.name,
        default_project_id=default if principal.can_see_project(default) else None,
        created_at=rfc3339(organization.created_at),
        user_id=principal.user_id,
        role=principal.role,
    )


HANDLERS: list[Any] = [
    create_organization,
    create_own_organization,
    list_organizations,
    get_organization,
    update_organization,
    delete_organization,
]
