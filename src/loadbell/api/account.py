"""Your account: name, password, organizations, and API tokens for these."""

from typing import Annotated, Any

import msgspec

from loadbell.accounts import account
from loadbell.accounts.authentication import Lock, authorize
from loadbell.accounts.passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH
from loadbell.api.answers import Time
from loadbell.api.bodies import Name
from loadbell.api.routes import route
from loadbell.api.sessions import KnownPassword
from loadbell.api.tokens import CreatedToken, NewTokenBody, make_token
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Role, SignedIn
from loadbell.entry.path_ids import check_id
from loadbell.entry.requests import SessionRequest
from loadbell.store.unit_of_work import UnitOfWork

NewPassword = Annotated[str, msgspec.Meta(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH)]


class Membership(msgspec.Struct):
    """An organization you belong to, and your role in it."""

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
    """The fields to change. Omitted fields stay unchanged."""

    name: Name | None = None


class PasswordChangeBody(msgspec.Struct):
    """The current password and the new one."""

    current_password: KnownPassword
    new_password: NewPassword


class AccountTokenBody(NewTokenBody, kw_only=True):
    """An API token to create in one of your organizations."""

    organization_id: int


@route("GET", "/account", "Read your account")
async def get_account(unit: UnitOfWork[SignedIn]) -> Account:
    """Your account and organizations."""
    return _to_json(await account.get_account(unit))


@route("PATCH", "/account", "Change your account")
async def change_account(unit: UnitOfWork[SignedIn], body: AccountChangeBody) -> Account:
    """Changes your name."""
    if body.name is None:
        return _to_json(await account.get_account(unit))
    return _to_json(await account.rename(unit, body.name))


@route("POST", "/account/password", "Change your password", refusals=(409, 429))
async def change_password(request: SessionRequest, body: PasswordChangeBody) -> None:
    """Changes your password and ends all your other sessions. Your API tokens keep working."""
    context, who = request.context, await request.check_credential()
    await account.change_password(context.database, context.passwords, who, body.current_password, body.new_password)


@route("POST", "/account/tokens", "Create an API token for you", status=201, refusals=(404,))
async def create_account_token(unit: UnitOfWork[SignedIn], body: AccountTokenBody) -> CreatedToken:
    """Creates an API token for you in one of your organizations, if your role there allows it."""
    organization_id = check_id(body.organization_id, "organization")
    principal = await authorize(unit, organization_id, lock=Lock.SHARED)
    return await make_token(unit.on_behalf_of(principal), body)


def _to_json(user: account.Account) -> Account:
    return Account(
        user_id=user.user_id,
        email=user.email,
        name=user.name,
        created_at=rfc3339(user.created_at),
        organizations=[Membership(joined.organization_id, joined.name, joined.role) for joined in user.organizations],
    )


HANDLERS: list[Any] = [get_account, change_account, change_password, create_account_token]
