"""Signing in and out, and the theme that a browser keeps."""

from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.first_start import is_first_start
from loadbell.accounts.sessions import end_session
from loadbell.accounts.sign_in import sign_in
from loadbell.domain.errors import RateLimited, Unauthenticated
from loadbell.domain.orgs import SignedIn
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web.page import PageRequest

_NOTICES = {"password": "Your new password is set. Sign in with it."}


@get("/login")
async def show_login(page: NamedDependency[PageRequest]) -> Response[str]:
    """Where one signs in; whoever has done so goes on, and while there is nobody who could, the first start begins."""
    onward = page.local_path(page.asked("next"))
    if await page.guest() is not None:
        return page.go(onward)
    if await page.context.database.read(is_first_start):
        return page.go("/setup")
    return await page.show("login", email="", next=onward, notice=_NOTICES.get(page.asked("notice")))


@post("/login")
async def log_in(page: NamedDependency[PageRequest]) -> Response[str]:
    """Signs in and goes to where one came from. The session that the browser had ends."""
    form = await page.form()
    email, onward, context = form.get("email", "").strip(), page.local_path(form.get("next", "")), page.context
    try:
        made = await sign_in(
            context.database,
            context.passwords,
            email,
            form.get("password", ""),
            address=page.address,
            agent=page.header("user-agent"),
            former=page.credential(),
        )
    except (Unauthenticated, RateLimited) as refusal:
        return await page.show("login", refusal=refusal, email=email, next=onward, notice=None, back="/login")
    page.keep_session(made.session, made.expires_at)
    return page.go(onward)


@post("/logout")
async def log_out(page: NamedDependency[PageRequest]) -> Response[str]:
    """Ends the session; does nothing for whoever has none. A cookie goes only with the form that proves its session.

    Browsers send no cookie with another site's form, so that the answer to one must not set any either.
    """
    page.refuse_foreign()
    if await page.guest() is not None:
        await page.form()
        await page.write(_end_own_session)
        page.drop_session()
    return page.go("/login")


@post("/theme")
async def choose_theme(page: NamedDependency[PageRequest]) -> Response[str]:
    """Keeps whether pages are light, dark, or as the system is; goes back to the page."""
    form = await page.form()
    page.keep_theme(form.get("theme", ""))
    return page.go(page.local_path(form.get("next", "")))


async def _end_own_session(unit: UnitOfWork[SignedIn]) -> None:
    await end_session(unit, unit.principal.session_id)


HANDLERS: list[Any] = [show_login, log_in, log_out, choose_theme]
