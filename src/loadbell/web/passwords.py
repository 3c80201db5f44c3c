"""A forgotten password: asking for a link, and the link."""

from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.password_resets import complete_reset, find_reset, request_reset
from loadbell.domain.errors import Conflict, Invalid, RateLimited
from loadbell.web.page import PageRequest


@get("/forgot-password")
async def show_forgotten(page: NamedDependency[PageRequest]) -> Response[str]:
    """The form that requests a reset link; without a mail server, the command for the operator."""
    return await page.show("forgot_password", sends_mail=page.context.installation.sends_mail, asked="", email="")


@post("/forgot-password")
async def ask(page: NamedDependency[PageRequest]) -> Response[str]:
    """Mails a link if the address has an account; says the same if it has none."""
    form = await page.form()
    email, context = form.get("email", "").strip(), page.context
    try:
        await request_reset(
            context.database,
            email,
            address=page.address,
            installation=context.installation,
        )
    except (Invalid, RateLimited, Conflict) as refusal:
        return await page.show(
            "forgot_password", refusal=refusal, sends_mail=context.installation.sends_mail, asked="", email=email
        )
    return await page.show("forgot_password", sends_mail=True, asked=email, email=email)


@get("/reset-password/{token:str}")
async def show_reset(page: NamedDependency[PageRequest]) -> Response[str]:
    """The form that sets another password."""
    return await page.show("reset_password", email=await _find_reset(page))


@post("/reset-password/{token:str}")
async def reset(page: NamedDependency[PageRequest]) -> Response[str]:
    """Sets the password and ends all sessions of the user."""
    form = await page.form()
    context = page.context
    try:
        await complete_reset(
            context.database,
            context.passwords,
            page.path_param("token"),
            form.get("password", ""),
            address=page.address,
        )
    except (Invalid, RateLimited) as refusal:
        return await page.show("reset_password", refusal=refusal, email=await _find_reset(page))
    page.clear_session_cookie()
    return page.redirect("/login?notice=password")


async def _find_reset(page: PageRequest) -> str:
    token = page.path_param("token")
    return await page.context.database.read(find_reset, token)


HANDLERS: list[Any] = [show_forgotten, ask, show_reset, reset]
