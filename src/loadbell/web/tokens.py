"""The API tokens of an organization: made, shown once, listed, revoked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import members, tokens
from loadbell.accounts.projects import list_project_names
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Refused
from loadbell.domain.orgs import Action, Principal, Scope, Token
from loadbell.domain.runs import Trigger
from loadbell.entry.paging import PageQuery, split_page
from loadbell.entry.path_ids import parse_integer_id
from loadbell.store.unit_of_work import UnitOfWork, exclusive
from loadbell.web.datetimes import parse_datetime
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

PAGE_SIZE = 50
"""Tokens that one page lists."""

MAX_NAME_LENGTH = 200

_MAX_MEMBERS = 1_000  # whose addresses the list knows

SCOPES = {
    Scope.REPORT: "report: create, report and abort runs",
    Scope.READ: "read: read everything",
    Scope.MANAGE: "manage: everything you can do",
}
TRIGGERS = {
    Trigger.UNKNOWN: "unspecified",
    Trigger.MANUAL: "manual",
    Trigger.SCHEDULED: "scheduled",
    Trigger.CI: "CI",
}


@dataclass(frozen=True)
class TokenListView:
    """What the page shows."""

    tokens: Sequence[Token]
    older: str | None
    people: Mapping[int, str]
    projects: Mapping[int, str]


@get("/organizations/{organization_id:str}/tokens")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """The tokens of everybody in the organization, newest first."""
    await page.require_account()
    return await _show(page, done=page.query_param("done"))


@post("/organizations/{organization_id:str}/tokens")
async def make(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes a token of one's own; it is shown this once."""
    await page.require_account()
    form = await page.form()
    try:
        made = await page.write_in(_id(page), _create_token, form)
    except (Conflict, Invalid) as refusal:
        return await _show(page, refusal=refusal, form=form)
    return await _show(page, made=made)


@post("/organizations/{organization_id:str}/tokens/{token_id:str}/revoke")
async def revoke(page: NamedDependency[PageRequest]) -> Response[str]:
    """Revokes a token; requests with it are rejected from now on."""
    await page.require_account()
    await page.form()
    await page.write_in(_id(page), _revoke_token, page.path_param("token_id"))
    return page.redirect(f"/organizations/{_id(page)}/tokens?done=revoked")


async def _show(
    page: PageRequest,
    *,
    refusal: Refused | None = None,
    form: Form | None = None,
    made: tuple[Token, str] | None = None,
    done: str = "",
) -> Response[str]:
    organization_id = _id(page)
    query = PageQuery(cursor=page.query_param("cursor") or None, limit=PAGE_SIZE)
    token_list_view = await page.read_in(organization_id, _list_tokens, query)
    address = f"/organizations/{organization_id}/tokens"
    return await page.show(
        "tokens",
        refusal=refusal,
        back=address,
        address=address,
        organization_id=organization_id,
        listed=token_list_view,
        older=None if token_list_view.older is None else f"{address}?cursor={token_list_view.older}",
        said=form or Form([]),
        made=made,
        base_url=page.context.installation.base_url,
        scopes=[(value.value, text) for value, text in SCOPES.items()],
        triggers=[(value.value, text) for value, text in TRIGGERS.items()],
        done=done,
    )


async def _create_token(unit: UnitOfWork[Principal], form: Form) -> tuple[Token, str]:
    unit.principal.require(Action.MANAGE_TOKENS)  # before what is wrong with the form
    return await tokens.create_token(
        unit,
        name=_name(form),
        scope=_one_of(Scope, form.get("scope", ""), "scope"),
        trigger=_one_of(Trigger, form.get("trigger", ""), "trigger"),
        expires_at=parse_datetime(form.get("expires_at", ""), "expires_at"),
        project_id=_project(form),
    )


@exclusive
async def _revoke_token(unit: UnitOfWork[Principal], token_id: str) -> None:
    try:
        await tokens.revoke_token(unit, parse_integer_id(token_id, "token"))
    except NotFound:
        unit.principal.require(Action.READ_TOKENS)  # 403 first: who can't see tokens doesn't learn which exist
        raise


async def _list_tokens(unit: UnitOfWork[Principal], query: PageQuery) -> TokenListView:
    rows = await tokens.list_tokens(unit, before=query.before_id(), limit=query.one_more)
    listed, older = split_page(rows, query.limit, lambda token: token.id)
    people = await members.list_members(unit, unit.principal.organization_id, before=None, limit=_MAX_MEMBERS)
    emails = {member.user_id: member.email for member in people}
    return TokenListView(listed, older, emails, await list_project_names(unit))


def _name(form: Form) -> str:
    name = form.get("name", "").strip()
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise Invalid(FieldError("name", f"enter a name of 1 to {MAX_NAME_LENGTH} characters"))
    return name


def _one_of(kind: Any, text: str, field: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise Invalid(FieldError(field, "choose a value from the list")) from None


def _project(form: Form) -> int | None:
    text = form.get("project_id", "")
    try:
        return parse_integer_id(text, "project") if text else None
    except NotFound:
        raise Invalid(FieldError("project_id", "choose a value from the list")) from None


def _id(page: PageRequest) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, make, revoke]
