"""Organizations: further ones beside the first."""

from http import HTTPStatus
from typing import Any

from litestar import Response, post
from litestar.di import NamedDependency

from loadbell.accounts import organizations
from loadbell.api import answers, bodies
from loadbell.api.operations import Operation, described
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Principal
from loadbell.entry.door import Call, answer
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


HANDLERS: list[Any] = [create_organization]
