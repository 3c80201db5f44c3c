"""Forgotten passwords: asking for a link by mail, and setting another password with it."""

from typing import Annotated, Any

import msgspec

from loadbell.accounts import password_resets
from loadbell.api.routes import route
from loadbell.domain.emails import MAX_EMAIL_LENGTH
from loadbell.entry.requests import PublicRequest


class ForgottenBody(msgspec.Struct):
    """Whose password is forgotten."""

    email: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_EMAIL_LENGTH)]


class ResetBody(msgspec.Struct):
    """The end of the mailed link, and the password from now on."""

    token: str
    password: str


class Asked(msgspec.Struct):
    """That it was asked for; nothing more."""


class PasswordReset(msgspec.Struct):
    """Whose password was set."""

    user_id: int


@route("POST", "/password-resets", "Ask for a link to set another password", status=202, refusals=(409, 429))
async def ask_password_reset(request: PublicRequest, body: ForgottenBody) -> Asked:
    """Mails a link if the address is a user's, and answers alike if it is not. 409: this server sends no mail."""
    context = request.context
    await password_resets.request_reset(
        context.database, body.email, address=request.address, installation=context.installation
    )
    return Asked()


@route("POST", "/password-resets/accept", "Set another password", refusals=(404, 429))
async def accept_password_reset(request: PublicRequest, body: ResetBody) -> PasswordReset:
    """Sets a password with a mailed link, once within an hour. All sessions of the user end; API tokens stay."""
    context = request.context
    user_id = await password_resets.complete_reset(
        context.database, context.passwords, body.token, body.password, address=request.address
    )
    return PasswordReset(user_id)


HANDLERS: list[Any] = [ask_password_reset, accept_password_reset]
