"""The link of an invitation. To look at it uses nothing up: programs that check the links of mails do so, too."""

from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.invitations import Browser, InvitationDetails, accept_invitation, find_invitation
from loadbell.domain.errors import Conflict, Invalid, RateLimited, Unauthenticated
from loadbell.web.page import PageRequest


@get("/invitations/{token:str}")
async def show_invitation(page: NamedDependency[PageRequest]) -> Response[str]:
    """Who invites to what, and the form that accepts it."""
    return await page.show("invitation", invited=await _find_invitation(page), name="")


@post("/invitations/{token:str}")
async def accept(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes the person a member, signs in, and shows the API token this once."""
    form = await page.form()
    invited, context, password = await _find_invitation(page), page.context, form.get("password", "")
    try:
        joined = await accept_invitation(
            context.database,
            context.passwords,
            page.path_param("token"),
            form.get("name") or None,
            password,
            address=page.address,
            browser=Browser(page.header("user-agent"), page.credential()),
        )
    except Unauthenticated:
        wrong = Unauthenticated(f"Wrong password for {invited.email}. Try again, or reset it below.")
        return await page.show("invitation", refusal=wrong, invited=invited, name="")
    except (Invalid, RateLimited, Conflict) as refusal:
        return await page.show("invitation", refusal=refusal, invited=invited, name=form.get("name", ""))
    session = joined.session
    assert session is not None, "it was asked for"
    page.set_session_cookie(session.session, session.expires_at)
    return page.show_once("joined", organization=invited.organization, token=joined.token)


async def _find_invitation(page: PageRequest) -> InvitationDetails:
    token = page.path_param("token")
    return await page.context.database.read(find_invitation, token)


HANDLERS: list[Any] = [show_invitation, accept]
