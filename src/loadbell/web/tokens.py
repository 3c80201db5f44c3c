"""The API tokens of an organization: made, shown once, listed, revoked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import members, tokens
from loadbell.accounts.projects import names_of_projects
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Refused
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Principal, Scope, Token
from loadbell.domain.runs import Trigger
from loadbell.entry.identifiers import integer_id
from loadbell.entry.paging import PageQuery, split
from loadbell.store.db import Transaction
from loadbell.web.form import Form
from loadbell.web.moments import instant_in
from loadbell.web.page import PageCall

PAGE = 50
"""Tokens that one page lists."""

LONGEST_NAME = 200

_MOST_MEMBERS = 1_000  # whose addresses the list knows

SCOPES = {
    Scope.REPORT: "report: announce, report and abort runs",
    Scope.READ: "read: look at everything",
    Scope.MANAGE: "manage: everything that you may do",
}
TRIGGERS = {
    Trigger.UNKNOWN: "not said",
    Trigger.MANUAL: "by hand",
    Trigger.SCHEDULED: "by schedule",
    Trigger.CI: "by CI",
}


@dataclass(frozen=True)
class Listed:
    """What the page shows."""

    tokens: Sequence[Token]
    older: str | None
    people: Mapping[int, str]
    projects: Mapping[int, str]


@get("/organizations/{organization_id:str}/tokens")
async def show(page: NamedDependency[PageCall]) -> Response[str]:
    """The tokens of everybody in the organization, newest first."""
    await page.person()
    return await _show(page, done=page.asked("done"))


@post("/organizations/{organization_id:str}/tokens")
async def make(page: NamedDependency[PageCall]) -> Response[str]:
    """Makes a token of one's own; it is shown this once."""
    await page.person()
    said = await page.form()

    async def work(tx: Transaction, principal: Principal, now: Micros) -> tuple[Token, str]:
        principal.require(Action.MANAGE_TOKENS)  # before what is wrong with the form
        return await tokens.create_token(
            tx,
            principal,
            name=_name(said),
            scope=_one_of(Scope, said.get("scope", ""), "scope"),
            trigger=_one_of(Trigger, said.get("trigger", ""), "trigger"),
            expires_at=instant_in(said.get("expires_at", ""), "expires_at"),
            project_id=_project(said),
            quotas=page.door.quotas,
            now=now,
            entropy=page.door.entropy,
        )

    try:
        made = await page.write_in(_id(page), work)
    except (Conflict, Invalid) as refusal:
        return await _show(page, refusal=refusal, said=said)
    return await _show(page, made=made)


@post("/organizations/{organization_id:str}/tokens/{token_id:str}/revoke")
async def revoke(page: NamedDependency[PageCall]) -> Response[str]:
    """Removes a token; whoever sends it is nobody from now on."""
    await page.person()
    await page.form()

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        try:
            await tokens.revoke_token(tx, principal, page.integer_id("token_id", "token"), now=now)
        except NotFound:
            principal.require(Action.READ_TOKENS)  # whoever may not look is told so, not whether it is there
            raise

    await page.write_in(_id(page), work)
    return page.go(f"/organizations/{_id(page)}/tokens?done=revoked")


async def _show(
    page: PageCall,
    *,
    refusal: Refused | None = None,
    said: Form | None = None,
    made: tuple[Token, str] | None = None,
    done: str = "",
) -> Response[str]:
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> Listed:
        query = PageQuery(cursor=page.asked("cursor") or None, limit=PAGE)
        found = await tokens.list_tokens(tx, principal, before=query.before_id(), limit=query.one_more)
        listed, older = split(found, PAGE, lambda one: one.id)
        people = await members.list_members(tx, principal, organization_id, before=None, limit=_MOST_MEMBERS)
        return Listed(listed, older, {one.user_id: one.email for one in people}, await names_of_projects(tx, principal))

    listed = await page.read_in(organization_id, work)
    address = f"/organizations/{organization_id}/tokens"
    return await page.show(
        "tokens",
        refusal=refusal,
        back=address,
        address=address,
        organization_id=organization_id,
        listed=listed,
        older=None if listed.older is None else f"{address}?cursor={listed.older}",
        said=said or Form([]),
        made=made,
        base_url=page.door.base_url,
        scopes=[(value.value, text) for value, text in SCOPES.items()],
        triggers=[(value.value, text) for value, text in TRIGGERS.items()],
        done=done,
    )


def _name(said: Form) -> str:
    name = said.get("name", "").strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise Invalid(FieldError("name", f"give a name of 1 to {LONGEST_NAME} characters"))
    return name


def _one_of(kind: Any, text: str, field: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise Invalid(FieldError(field, "choose one of the list")) from None


def _project(said: Form) -> int | None:
    text = said.get("project_id", "")
    try:
        return integer_id(text, "project") if text else None
    except NotFound:
        raise Invalid(FieldError("project_id", "choose one of the list")) from None


def _id(page: PageCall) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, make, revoke]
