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

_NOTICES = {"password": "Password changed. Sign in with your new password."}


@get("/login")
async def show_login(page: NamedDependency[PageRequest]) -> Response[str]:
    """The sign-in page; redirects onward if already signed in, and to the setup while there is no account."""
    onward = page.local_path(page.query_param("next"))
    if await page.find_account() is not None:
        return page.redirect(onward)
    if await page.context.database.read(is_first_start):
        return page.redirect("/setup")
    return await page.show("login", email="", next=onward, notice=_NOTICES.get(page.query_param("notice")))


@post("/login")
async def log_in(page: NamedDependency[PageRequest]) -> Response[str]:
    """Signs in and goes to where one came from. The session that the browser had ends."""
    form = await page.form()
    email, onward, context = form.get("email", "").strip(), page.local_path(form.get("next", "")), page.context
    try:
        session = await sign_in(
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
    page.set_session_cookie(session.session, session.expires_at)
    return page.redirect(onward)


@post("/logout")
async def log_out(page: NamedDependency[PageRequest]) -> Response[str]:
    """Ends the session; does nothing without one. A cookie goes only with the form that proves its session.

    Browsers send no cookie with another site's form, so that the answer to one must not set any either.
    """
    page.refuse_foreign()
    if await page.find_account() is not None:
        await page.form()
        await page.write(_end_own_session)
        page.clear_session_cookie()
    return page.redirect("/login")


@post("/theme")
async def choose_theme(page: NamedDependency[PageRequest]) -> Response[str]:
    """Keeps whether pages are light, dark, or as the system is; goes back to the page."""
    form = await page.form()
    page.set_theme_cookie(form.get("theme", ""))
    return page.redirect(page.local_path(form.get("next", "")))


async def _end_own_session(unit: UnitOfWork[SignedIn]) -> None:
    await end_session(unit, unit.principal.session_id)


HANDLERS: list[Any] = [show_login, log_in, log_out, choose_theme]
