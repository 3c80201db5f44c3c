"""API tokens of the organization."""

from typing import Annotated, Any

import msgspec

from loadbell.accounts import tokens
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Instant, Name, instant
from loadbell.api.routes import route
from loadbell.domain import orgs
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal, Scope
from loadbell.domain.runs import Trigger
from loadbell.entry.paging import PageQuery
from loadbell.store.unit_of_work import UnitOfWork, exclusive


class Token(msgspec.Struct):
    """An API token of one user in one organization. `prefix` is its beginning; the full token isn't shown again."""

    id: int
    user_id: int
    name: str
    scope: Scope
    trigger: Trigger
    project_id: int | None
    prefix: str
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None


class CreatedToken(Token):
    """A new token. Send `token`; it is shown only once."""

    token: str


class TokenPage(Page[Token]):
    """A page of tokens, newest first. `next_cursor` is null on the last one."""


class NewTokenBody(msgspec.Struct, kw_only=True):
    """An API token to create, for the same user and organization."""

    name: Name
    scope: Scope
    trigger: Trigger | None = None
    project_id: (
        Annotated[int, msgspec.Meta(description="Limits the token to this project. Default: all projects.")] | None
    ) = None
    expires_at: Instant | None = None


@route("GET", "/tokens", "List API tokens")
async def list_tokens(unit: UnitOfWork[Principal], query: PageQuery) -> TokenPage:
    """All tokens of the organization and its users, including expired ones, newest first."""
    listed = await tokens.list_tokens(unit, before=query.before_id(), limit=query.one_more)
    return page(TokenPage, listed, query.limit, lambda token: Token(**_to_json(token)), lambda token: token.id)


@route("POST", "/tokens", "Create an API token", status=201)
async def create_token(unit: UnitOfWork[Principal], body: NewTokenBody) -> CreatedToken:
    """Creates a token for the same user and organization. It is only in this response.

    A token that expires makes none that lives longer: without `expires_at` the new one ends with it.
    """
    return await make_token(unit, body)


@route("DELETE", "/tokens/{token_id}", "Revoke an API token", refusals=(404,))
@exclusive
async def revoke_token(unit: UnitOfWork[Principal], token_id: int) -> None:
    """Revokes any token of the organization at once, even the one of this request."""
    await tokens.revoke_token(unit, token_id)


async def make_token(unit: UnitOfWork[Principal], body: NewTokenBody) -> CreatedToken:
    """Makes the token that ``body`` describes, as the one who made it sees it, this once."""
    token, value = await tokens.create_token(
        unit,
        name=body.name,
        scope=body.scope,
        trigger=body.trigger,
        project_id=body.project_id,
        expires_at=instant(body.expires_at),
    )
    return CreatedToken(**_to_json(token), token=value)


def _to_json(token: orgs.Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "user_id": token.user_id,
        "name": token.name,
        "scope": token.scope,
        "trigger": token.trigger,
        "project_id": token.project_id,
        "prefix": token.prefix,
        "created_at": rfc3339(token.created_at),
        "expires_at": None if token.expires_at is None else rfc3339(token.expires_at),
        "last_used_at": None if token.last_used_at is None else rfc3339(token.last_used_at),
    }


HANDLERS: list[Any] = [list_tokens, create_token, revoke_token]
