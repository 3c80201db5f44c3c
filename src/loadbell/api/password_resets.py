"""Forgotten passwords: requesting a reset link by e-mail, and setting a new password with it."""

from typing import Annotated, Any

import msgspec

from loadbell.accounts import password_resets
from loadbell.api.routes import route
from loadbell.domain.emails import MAX_EMAIL_LENGTH
from loadbell.entry.requests import PublicRequest


class ForgottenBody(msgspec.Struct):
    """The user who forgot the password."""

    email: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_EMAIL_LENGTH)]


class ResetBody(msgspec.Struct):
    """The token from the e-mailed link, and the new password."""

    token: str
    password: str


class Asked(msgspec.Struct):
    """Confirms the request; nothing more."""


class PasswordReset(msgspec.Struct):
    """The user whose password was set."""

    user_id: int


@route("POST", "/password-resets", "Request a password reset link", status=202, refusals=(409, 429))
async def ask_password_reset(request: PublicRequest, body: ForgottenBody) -> Asked:
    """E-mails a reset link if the address is a user's. The response is always the same. 409: no mail is set up."""
    context = request.context
    await password_resets.request_reset(
        context.database, body.email, address=request.address, installation=context.installation
    )
    return Asked()


@route("POST", "/password-resets/accept", "Reset a password", refusals=(404, 429))
async def accept_password_reset(request: PublicRequest, body: ResetBody) -> PasswordReset:
    """Sets a password with an e-mailed link, once within an hour. Ends the user's sessions; API tokens stay valid."""
    context = request.context
    user_id = await password_resets.complete_reset(
        context.database, context.passwords, body.token, body.password, address=request.address
    )
    return PasswordReset(user_id)


HANDLERS: list[Any] = [ask_password_reset, accept_password_reset]
