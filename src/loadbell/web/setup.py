"""The first start: while there is no account, these pages create the first owner and organization."""

from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.first_start import FirstOwner, is_first_start, set_up_and_sign_in
from loadbell.accounts.invitations import Browser
from loadbell.domain.errors import Conflict, Invalid, RateLimited, Refused
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

_DONE = "loadbell is already set up. Nothing was changed."


@get("/setup")
async def show_setup(page: NamedDependency[PageRequest]) -> Response[str]:
    """Asks who the first owner is; afterwards it leads to where one signs in."""
    if not await page.context.database.read(is_first_start):
        return page.redirect("/login")
    return await _show(page, Form(()))


@post("/setup")
async def set_up(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes the first owner and organization, and signs in."""
    form, context = await page.form(), page.context
    first_owner = FirstOwner(
        organization=form.get("organization", ""),
        name=form.get("name", ""),
        email=form.get("email", "").strip(),
        password=form.get("password", ""),
        code=None if page.is_local else form.get("code", ""),
    )
    try:
        session = await set_up_and_sign_in(
            context.database,
            context.passwords,
            first_owner,
            address=page.address,
            browser=Browser(page.header("user-agent"), page.credential()),
        )
    except Conflict:  # someone was quicker
        return await page.show("set_up_already", refusal=Conflict(_DONE), back="/login")
    except (Invalid, RateLimited) as refusal:
        return await _show(page, form, refusal)
    page.set_session_cookie(session.session, session.expires_at)
    return page.redirect("/welcome")


async def _show(page: PageRequest, form: Form, refusal: Refused | None = None) -> Response[str]:
    return await page.show(
        "setup",
        refusal=refusal,
        back="/setup",
        organization_name=form.get("organization", ""),
        name=form.get("name", ""),
        email=form.get("email", ""),
        asks_for_code=not page.is_local,
    )


HANDLERS: list[Any] = [show_setup, set_up]
