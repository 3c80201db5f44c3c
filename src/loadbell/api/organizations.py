"""Organizations: the one that a token is for, and further ones."""

from http import HTTPStatus
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import organizations
from loadbell.api import answers, bodies
from loadbell.api.operations import Operation, described
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Principal
from loadbell.entry.door import Call, answer
from loadbell.entry.paging import PageQuery
from loadbell.store.db import Transaction


@post(
    "/organizations",
    **described(Operation("Add an organization", {201: answers.CreatedOrganization}, body=bodies.NewOrganizationBody)),
)
async def create_organization(call: NamedDependency[Call]) -> Response[bytes]:
    """Adds an organization that the asker owns, with a default project. Its token is in this answer and in no other."""
    said = await call.body(bodies.NewOrganizationBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.CreatedOrganization:
        made = await organizations.create_organization(tx, principal, said.name, now=now, entropy=call.door.entropy)
        return answers.CreatedOrganization(made.organization_id, made.project_id, made.token)

    return answer(HTTPStatus.CREATED, await call.write_once(work))


@get(
    "/organizations",
    **described(Operation("List organizations", {200: answers.OrganizationPage}, query=PageQuery)),
)
async def list_organizations(call: NamedDependency[Call]) -> Response[bytes]:
    """The organizations that the token sees: the one that it is for, whatever its scope."""

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> answers.OrganizationPage:
        wanted = call.query(PageQuery)
        found = await organizations.list_organizations(tx, principal, before=wanted.before_id())
        return answers.page(
            answers.OrganizationPage, found, wanted.limit, answers.organization, lambda organization: organization.id
        )

    return answer(HTTPStatus.OK, await call.read(work))


HANDLERS: list[Any] = [create_organization, list_organizations]
