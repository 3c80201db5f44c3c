"""API tokens: the organization's, and further ones of the same user."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency

from loadbell.accounts import tokens
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Instant, Name, instant
from loadbell.api.operations import Operation, described
from loadbell.domain import orgs
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal, Scope
from loadbell.domain.runs import Trigger
from loadbell.entry.paging import PageQuery
from loadbell.entry.requests import ApiRequest, answer
from loadbell.store.unit_of_work import UnitOfWork, exclusive


class Token(msgspec.Struct):
    """An API token: one user in one organization. `prefix` is how it begins; the whole of it is not shown again."""

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
    """A token that was just made; `token` is what to send, shown this once."""

    token: str


class TokenPage(Page[Token]):
    """A page of tokens, newest first. `next_cursor` is null on the last one."""


class NewTokenBody(msgspec.Struct, kw_only=True):
    """An API token to make, of the same user in the same organization."""

    name: Name
    scope: Scope
    trigger: Trigger | None = None
    project_id: Annotated[int, msgspec.Meta(description="The only project that it opens. Left out: all.")] | None = None
    expires_at: Instant | None = None


@get("/tokens", **described(Operation("List API tokens", {200: TokenPage}, query=PageQuery)))
async def list_tokens(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """All tokens of the organization, whoseever they are, newest first; expired ones too."""

    async def work(unit: UnitOfWork[Principal]) -> TokenPage:
        wanted = call.query(PageQuery)
        found = await tokens.list_tokens(unit, before=wanted.before_id(), limit=wanted.one_more)
        return page(TokenPage, found, wanted.limit, lambda token: Token(**_shown(token)), lambda token: token.id)

    return answer(HTTPStatus.OK, await call.read(work))


@post("/tokens", **described(Operation("Make an API token", {201: CreatedToken}, body=NewTokenBody)))
async def create_token(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """Makes a token of the same user in the same organization. It is in this answer and in no other.

    A token that expires makes none that lives longer: without `expires_at` the new one ends with it.
    """
    said = await call.body(NewTokenBody)

    async def work(unit: UnitOfWork[Principal]) -> CreatedToken:
        return await make_token(unit, said)

    return answer(HTTPStatus.CREATED, await call.write_once(work))


@delete(
    "/tokens/{token_id:str}",
    status_code=HTTPStatus.NO_CONTENT,
    **described(Operation("Revoke an API token", {204: None}, refusals=(404,))),
)
async def revoke_token(call: NamedDependency[ApiRequest]) -> None:
    """Ends a token of the organization at once, whoseever it is; the one that asks for it, too."""

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> None:
        await tokens.revoke_token(unit, call.integer_id("token_id", "token"))

    await call.write(work)


async def make_token(unit: UnitOfWork[Principal], said: NewTokenBody) -> CreatedToken:
    """Makes the token that ``said`` describes, as the one who made it sees it, this once."""
    token, value = await tokens.create_token(
        unit,
        name=said.name,
        scope=said.scope,
        trigger=said.trigger,
        project_id=said.project_id,
        expires_at=instant(said.expires_at),
    )
    return CreatedToken(**_shown(token), token=value)


def _shown(found: orgs.Token) -> dict[str, Any]:
    return {
        "id": found.id,
        "user_id": found.user_id,
        "name": found.name,
        "scope": found.scope,
        "trigger": found.trigger,
        "project_id": found.project_id,
        "prefix": found.prefix,
        "created_at": rfc3339(found.created_at),
        "expires_at": None if found.expires_at is None else rfc3339(found.expires_at),
        "last_used_at": None if found.last_used_at is None else rfc3339(found.last_used_at),
    }


HANDLERS: list[Any] = [list_tokens, create_token, revoke_token]
