"""One's own account: name, password, sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts import account
from loadbell.accounts.sessions import end_session, list_sessions
from loadbell.domain.errors import Conflict, FieldError, Invalid, RateLimited, Refused
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import SignedIn
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web.page import PageRequest

_MAX_NAME_LENGTH = 200
_MAX_SESSIONS = 50


@dataclass(frozen=True)
class SessionView:
    """A session as its user sees it."""

    id: int
    current: bool
    address: str | None
    agent: str | None
    created_at: Micros
    last_used_at: Micros
    expires_at: Micros


@get("/account")
async def show_account(page: NamedDependency[PageRequest]) -> Response[str]:
    """Name, password and sessions."""
    return await _show(page, done=page.query_param("done"))


@post("/account")
async def rename(page: NamedDependency[PageRequest]) -> Response[str]:
    """Changes one's name."""
    await page.require_account()
    name = (await page.form()).get("name", "").strip()
    if not 1 <= len(name) <= _MAX_NAME_LENGTH:
        wrong = Invalid(FieldError("name", f"enter a name of 1 to {_MAX_NAME_LENGTH} characters"))
        return await _show(page, refusal=wrong, part="name", name=name)
    await page.write(account.rename, name)
    return page.redirect("/account?done=name")


@post("/account/password")
async def set_password(page: NamedDependency[PageRequest]) -> Response[str]:
    """Changes one's password; all other sessions end."""
    await page.require_account()
    form, context = await page.form(), page.context
    current, new = form.get("current_password", ""), form.get("new_password", "")
    try:
        who = await page.read(_get_principal)
        await account.change_password(context.database, context.passwords, who, current, new)
    except (Invalid, RateLimited, Conflict) as refusal:
        return await _show(page, refusal=refusal, part="password")
    return page.redirect("/account?done=password")


@post("/account/sessions/{session_id:str}/end")
async def end(page: NamedDependency[PageRequest]) -> Response[str]:
    """Ends one of one's sessions; the present one: signs out."""
    await page.require_account()
    await page.form()
    if await page.write(_end_session, page.integer_id("session_id", "session")):
        page.clear_session_cookie()
        return page.redirect("/login")
    return page.redirect("/account?done=session")


async def _show(
    page: PageRequest, *, refusal: Refused | None = None, part: str = "", name: str | None = None, done: str = ""
) -> Response[str]:
    person = await page.require_account()
    return await page.show(
        "account",
        refusal=refusal,
        back="/account",
        part=part,
        done=done,
        name=person.name if name is None else name,
        sessions=await page.read(_sessions),
    )


async def _sessions(unit: UnitOfWork[SignedIn]) -> Sequence[SessionView]:
    return [
        SessionView(
            session.id,
            session.id == unit.principal.session_id,
            session.address,
            session.agent,
            session.created_at,
            session.last_used_at,
            session.expires_at,
        )
        for session in await list_sessions(unit, before=None, limit=_MAX_SESSIONS)
    ]


async def _end_session(unit: UnitOfWork[SignedIn], session_id: int) -> bool:
    """Ends the session; whether it was the present one."""
    await end_session(unit, session_id)
    return session_id == unit.principal.session_id


async def _get_principal(unit: UnitOfWork[SignedIn]) -> SignedIn:
    return unit.principal


HANDLERS: list[Any] = [show_account, rename, set_password, end]
