"""Forgotten passwords: asking for a link by mail, and setting another password with it."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency

from loadbell.accounts import resets
from loadbell.api.operations import Credential, Operation, described
from loadbell.domain.emails import LONGEST_EMAIL
from loadbell.entry.requests import PublicRequest, answer


class ForgottenBody(msgspec.Struct):
    """Whose password is forgotten."""

    email: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_EMAIL)]


class ResetBody(msgspec.Struct):
    """The end of the mailed link, and the password from now on."""

    token: str
    password: str


class Asked(msgspec.Struct):
    """That it was asked for; nothing more."""


class PasswordReset(msgspec.Struct):
    """Whose password was set."""

    user_id: int


@post(
    "/password-resets",
    **described(
        Operation(
            "Ask for a link to set another password",
            {202: Asked},
            body=ForgottenBody,
            credential=Credential.NONE,
            refusals=(409, 429),
        )
    ),
)
async def ask_password_reset(public: NamedDependency[PublicRequest]) -> Response[bytes]:
    """Mails a link if the address is a user's, and answers alike if it is not. 409: this server sends no mail."""
    said = await public.body(ForgottenBody)
    context = public.context
    await resets.ask_reset(
        context.database,
        said.email,
        address=public.address,
        installation=context.installation,
    )
    return answer(HTTPStatus.ACCEPTED, Asked())


@post(
    "/password-resets/accept",
    **described(
        Operation(
            "Set another password",
            {200: PasswordReset},
            body=ResetBody,
            credential=Credential.NONE,
            refusals=(404, 429),
        )
    ),
)
async def accept_password_reset(public: NamedDependency[PublicRequest]) -> Response[bytes]:
    """Sets a password with a mailed link, once within an hour. All sessions of the user end; API tokens stay."""
    said = await public.body(ResetBody)
    context = public.context
    user_id = await resets.accept_reset(
        context.database, context.passwords, said.token, said.password, address=public.address
    )
    return answer(HTTPStatus.OK, PasswordReset(user_id))


HANDLERS: list[Any] = [ask_password_reset, accept_password_reset]
