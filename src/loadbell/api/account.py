"""One's own account: name, password, organizations, and API tokens to work in those."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, get, patch, post
from litestar.di import NamedDependency

from loadbell.accounts import account
from loadbell.accounts.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD
from loadbell.accounts.sessions import act_in
from loadbell.accounts.tokens import Hold
from loadbell.api.answers import Time
from loadbell.api.bodies import Name
from loadbell.api.operations import Credential, Operation, described
from loadbell.api.sessions import KnownPassword
from loadbell.api.tokens import CreatedToken, NewTokenBody, make_token
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Role, SignedIn
from loadbell.entry.identifiers import check_id
from loadbell.entry.requests import SessionRequest, answer
from loadbell.store.unit_of_work import UnitOfWork

NewPassword = Annotated[str, msgspec.Meta(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)]


class Membership(msgspec.Struct):
    """An organization that you belong to, and what you are in it."""

    id: int
    name: str
    role: Role


class Account(msgspec.Struct):
    """Your own account."""

    user_id: int
    email: str
    name: str
    created_at: Time
    organizations: list[Membership]


class AccountChangeBody(msgspec.Struct):
    """What to change; what is left out stays as it is."""

    name: Name | None = None


class PasswordChangeBody(msgspec.Struct):
    """The present password, and the one to take its place."""

    current_password: KnownPassword
    new_password: NewPassword


class AccountTokenBody(NewTokenBody, kw_only=True):
    """An API token of yours to make, in one of your organizations."""

    organization_id: int


@get("/account", **described(Operation("Read your account", {200: Account}, credential=Credential.SESSION)))
async def get_account(personal: NamedDependency[SessionRequest]) -> Response[bytes]:
    """Who you are, and in which organizations."""

    async def work(unit: UnitOfWork[SignedIn]) -> Account:
        return _shown(await account.get_account(unit))

    return answer(HTTPStatus.OK, await personal.read(work))


@patch(
    "/account",
    **described(
        Operation("Change your account", {200: Account}, body=AccountChangeBody, credential=Credential.SESSION)
    ),
)
async def change_account(personal: NamedDependency[SessionRequest]) -> Response[bytes]:
    """Changes your name."""
    said = await personal.body(AccountChangeBody)

    async def work(unit: UnitOfWork[SignedIn]) -> Account:
        if said.name is None:
            return _shown(await account.get_account(unit))
        return _shown(await account.rename(unit, said.name))

    return answer(HTTPStatus.OK, await personal.write(work))


@post(
    "/account/password",
    status_code=HTTPStatus.NO_CONTENT,
    **described(
        Operation(
            "Change your password",
            {204: None},
            body=PasswordChangeBody,
            credential=Credential.SESSION,
            refusals=(409, 429),
        )
    ),
)
async def change_password(personal: NamedDependency[SessionRequest]) -> None:
    """Replaces your password and ends all your other sessions. Your API tokens stay."""
    said = await personal.body(PasswordChangeBody)

    async def asker(unit: UnitOfWork[SignedIn]) -> SignedIn:
        return unit.principal

    context, who = personal.context, await personal.read(asker)
    await account.change_password(context.database, context.passwords, who, said.current_password, said.new_password)


@post(
    "/account/tokens",
    **described(
        Operation(
            "Make an API token of yours",
            {201: CreatedToken},
            body=AccountTokenBody,
            credential=Credential.SESSION,
            refusals=(404,),
        )
    ),
)
async def create_account_token(personal: NamedDependency[SessionRequest]) -> Response[bytes]:
    """Makes an API token of yours in one of your organizations, if your role there allows it."""
    said = await personal.body(AccountTokenBody)

    async def work(unit: UnitOfWork[SignedIn]) -> CreatedToken:
        organization_id = check_id(said.organization_id, "organization")
        principal = await act_in(unit, organization_id, hold=Hold.SHARED)
        return await make_token(unit.on_behalf_of(principal), said)

    return answer(HTTPStatus.CREATED, await personal.write(work))


def _shown(found: account.Account) -> Account:
    return Account(
        user_id=found.user_id,
        email=found.email,
        name=found.name,
        created_at=rfc3339(found.created_at),
        organizations=[Membership(one.organization_id, one.name, one.role) for one in found.organizations],
    )


HANDLERS: list[Any] = [get_account, change_account, change_password, create_account_token]
