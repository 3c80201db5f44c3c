"""Organizations: the one that a token is for, and further ones."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency

from loadbell.accounts import organizations
from loadbell.accounts.tokens import Hold
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Name
from loadbell.api.operations import Credential, Operation, described
from loadbell.domain import orgs
from loadbell.domain.ids import Micros, rfc3339
from loadbell.domain.orgs import Principal, SignedIn
from loadbell.entry.door import Call, PersonalCall, answer
from loadbell.entry.identifiers import check_id
from loadbell.entry.paging import PageQuery
from loadbell.store.db import Transaction

_NOUN = "organization"


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
    """A new organization, its default project, and a token of scope manage that is shown this once."""

    id: int
    project_id: int
    token: str


class OrganizationLoss(msgspec.Struct):
    """What goes with an organization, by number. `open_runs` are those that haven't ended."""

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
    """An organization to add; whoever adds it owns it."""

    name: Name


class OrganizationChangeBody(msgspec.Struct, kw_only=True):
    """What to change; what is left out stays as it is."""

    name: Name | None = None
    default_project_id: Annotated[int, msgspec.Meta(description="Where runs go that name no project.")] | None = None


class DeletionQuery(msgspec.Struct, kw_only=True):
    """Whether it is only asked what would be lost."""

    dry_run: Annotated[bool, msgspec.Meta(description="Only tell what would be lost.")] = False


@post(
    "/organizations",
    **described(Operation("Add an organization", {201: CreatedOrganization}, body=NewOrganizationBody)),
)
async def create_organization(call: NamedDependency[Call]) -> Response[bytes]:
    """Adds an organization that the asker owns, with a default project. Its token is in this answer and in no other."""
    said = await call.body(NewOrganizationBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> CreatedOrganization:
        made = await organizations.create_organization(
            tx, principal, said.name, quotas=call.door.quotas, now=now, entropy=call.door.entropy
        )
        return CreatedOrganization(made.organization_id, made.project_id, made.token)

    return answer(HTTPStatus.CREATED, await call.write_once(work))


@post(
    "/account/organizations",
    **described(
        Operation(
            "Add an organization of yours",
            {201: CreatedOrganization},
            body=NewOrganizationBody,
            refusals=(409,),
            credential=Credential.SESSION,
        )
    ),
)
async def create_own_organization(personal: NamedDependency[PersonalCall]) -> Response[bytes]:
    """As `POST /organizations`, for whoever has no token, or belongs to no organization any more."""
    said = await personal.body(NewOrganizationBody)

    async def work(tx: Transaction, who: SignedIn, now: Micros) -> CreatedOrganization:
        made = await organizations.add_organization(
            tx, who, said.name, quotas=personal.door.quotas, now=now, entropy=personal.door.entropy
        )
        return CreatedOrganization(made.organization_id, made.project_id, made.token)

    return answer(HTTPStatus.CREATED, await personal.write(work))


@get("/organizations", **described(Operation("List organizations", {200: OrganizationPage}, query=PageQuery)))
async def list_organizations(call: NamedDependency[Call]) -> Response[bytes]:
    """The organizations that the token sees: the one that it is for, whatever its scope."""

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> OrganizationPage:
        wanted = call.query(PageQuery)
        found = await organizations.list_organizations(tx, principal, before=wanted.before_id())
        return page(
            OrganizationPage,
            found,
            wanted.limit,
            lambda one: _shown(one, principal),
            lambda organization: organization.id,
        )

    return answer(HTTPStatus.OK, await call.read(work))


@get(
    "/organizations/{organization_id:str}",
    **described(Operation("Read an organization", {200: Organization}, refusals=(404,))),
)
async def get_organization(call: NamedDependency[Call]) -> Response[bytes]:
    """The organization as it stands."""

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> Organization:
        organization_id = call.integer_id("organization_id", _NOUN)
        return _shown(await organizations.get_organization(tx, principal, organization_id), principal)

    return answer(HTTPStatus.OK, await call.read(work))


@patch(
    "/organizations/{organization_id:str}",
    **described(
        Operation("Change an organization", {200: Organization}, body=OrganizationChangeBody, refusals=(404, 409))
    ),
)
async def update_organization(call: NamedDependency[Call]) -> Response[bytes]:
    """Renames the organization, or makes another project its default, which must not be archived."""
    said = await call.body(OrganizationChangeBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> Organization:
        default = said.default_project_id
        changed = await organizations.update_organization(
            tx,
            principal,
            call.integer_id("organization_id", _NOUN),
            name=said.name,
            default_project_id=None if default is None else check_id(default, "project"),
            now=now,
        )
        return _shown(changed, principal)

    return answer(HTTPStatus.OK, await call.write(work, hold=Hold.ALONE))


@delete(
    "/organizations/{organization_id:str}",
    status_code=HTTPStatus.OK,
    **described(Operation("Delete an organization", {200: OrganizationLoss}, query=DeletionQuery, refusals=(404,))),
)
async def delete_organization(call: NamedDependency[Call]) -> Response[bytes]:
    """Takes everybody out of the organization and cancels what is pending; tells what was lost. The owner's alone.

    Its channels, tokens and invitations are gone at once; its runs and logs can't be reached any more.
    """

    async def look(tx: Transaction, principal: Principal, _now: Micros) -> tuple[bool, orgs.OrganizationLoss]:
        only_counted = call.query(DeletionQuery).dry_run
        return only_counted, await organizations.look_at_loss(tx, principal, call.integer_id("organization_id", _NOUN))

    only_counted, loss = await call.read(look)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await organizations.delete_organization(tx, principal, call.integer_id("organization_id", _NOUN), loss, now=now)

    if not only_counted:
        await call.write(work, hold=Hold.ALONE)
    return answer(HTTPStatus.OK, OrganizationLoss(**asdict(loss)))


def _shown(found: orgs.Organization, principal: Principal) -> Organization:
    return Organization(
        id=found.id,
        name=found.name,
        default_project_id=found.default_project_id if principal.sees_project(found.default_project_id) else None,
        created_at=rfc3339(found.created_at),
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
