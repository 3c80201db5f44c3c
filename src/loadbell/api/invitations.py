"""Invitations to an organization, and accepting one."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency

from loadbell.accounts import invitations
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Name
from loadbell.api.operations import Credential, Operation, described
from loadbell.domain import orgs
from loadbell.domain.emails import LONGEST_EMAIL
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal, Role
from loadbell.entry.paging import PageQuery
from loadbell.entry.requests import ApiRequest, PublicRequest, answer
from loadbell.store.unit_of_work import UnitOfWork, exclusive


class NewInvitationBody(msgspec.Struct, kw_only=True):
    """Whom to invite, as what. `project_ids` are for the role member: the projects that the person will see."""

    email: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_EMAIL)]
    role: Literal["admin", "member"]
    project_ids: Annotated[list[int], msgspec.Meta(max_length=1_000)] | None = None


class AcceptanceBody(msgspec.Struct, kw_only=True):
    """The end of the link, and the password: the present one of whoever has an account, else a new one."""

    token: str
    name: (
        Annotated[Name, msgspec.Meta(description="Of a new user. Left out: the part of the address before the @.")]
        | None
    ) = None
    password: str


class Invitation(msgspec.Struct):
    """An invitation that was neither accepted nor revoked, and has not expired."""

    id: int
    organization_id: int
    email: str
    role: Role
    project_ids: list[int]
    invited_by: int
    created_at: Time
    expires_at: Time


class CreatedInvitation(Invitation):
    """An invitation with its link, which is shown this once, and whether it was mailed."""

    url: str
    token: str
    mailed: bool


class InvitationPage(Page[Invitation]):
    """Invitations, newest first."""


class Joined(msgspec.Struct):
    """Who has become a member of what, with an API token of scope manage that is shown this once."""

    user_id: int
    organization_id: int
    token: str


def _shown(found: orgs.Invitation) -> dict[str, Any]:
    return {
        "id": found.id,
        "organization_id": found.organization_id,
        "email": found.email,
        "role": found.role,
        "project_ids": list(found.project_ids),
        "invited_by": found.invited_by,
        "created_at": rfc3339(found.created_at),
        "expires_at": rfc3339(found.expires_at),
    }


@post(
    "/organizations/{organization_id:str}/invitations",
    **described(
        Operation("Invite somebody", {201: CreatedInvitation}, body=NewInvitationBody, refusals=(404, 409, 429))
    ),
)
async def create_invitation(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """Makes a link that lets its reader join, once within 7 days, and mails it when this server sends mail.

    A former invitation to the same address is replaced. An organization may invite 30 times at once and then once a
    minute; one address may be invited 5 times at once and then once an hour, by all organizations together.
    """
    said = await call.body(NewInvitationBody)

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> CreatedInvitation:
        made = await invitations.invite(
            unit,
            call.integer_id("organization_id", "organization"),
            email=said.email,
            role=Role(said.role),
            project_ids=tuple(said.project_ids or ()),
        )
        return CreatedInvitation(**_shown(made.invitation), url=made.url, token=made.token, mailed=made.mailed)

    return answer(HTTPStatus.CREATED, await call.write_once(work))


@get(
    "/organizations/{organization_id:str}/invitations",
    **described(Operation("List invitations", {200: InvitationPage}, query=PageQuery, refusals=(404,))),
)
async def list_invitations(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """The invitations that can still be accepted."""

    async def work(unit: UnitOfWork[Principal]) -> InvitationPage:
        organization_id = call.integer_id("organization_id", "organization")
        wanted = call.query(PageQuery)
        found = await invitations.list_invitations(
            unit, organization_id, before=wanted.before_id(), limit=wanted.one_more
        )
        return page(
            InvitationPage, found, wanted.limit, lambda one: Invitation(**_shown(one)), lambda invitation: invitation.id
        )

    return answer(HTTPStatus.OK, await call.read(work))


@delete(
    "/invitations/{invitation_id:str}",
    status_code=HTTPStatus.NO_CONTENT,
    **described(Operation("Revoke an invitation", {204: None}, refusals=(404,))),
)
async def revoke_invitation(call: NamedDependency[ApiRequest]) -> None:
    """Makes the link useless at once."""

    @exclusive
    async def work(unit: UnitOfWork[Principal]) -> None:
        invitation_id = call.integer_id("invitation_id", "invitation")
        await invitations.revoke_invitation(unit, invitation_id)

    await call.write(work)


@post(
    "/invitations/accept",
    **described(
        Operation(
            "Accept an invitation",
            {201: Joined},
            body=AcceptanceBody,
            credential=Credential.NONE,
            refusals=(401, 404, 409, 429),
        )
    ),
)
async def accept_invitation(public: NamedDependency[PublicRequest]) -> Response[bytes]:
    """Makes the bearer of the link a member. Whoever has an account at that address sends its present password.

    Others send a new one, and get an account. The token is in this answer and in no other.
    """
    said = await public.body(AcceptanceBody)
    context = public.context
    joined = await invitations.accept_invitation(
        context.database,
        context.passwords,
        said.token,
        said.name,
        said.password,
        address=public.address,
    )
    return answer(HTTPStatus.CREATED, Joined(joined.user_id, joined.organization_id, joined.token))


HANDLERS: list[Any] = [create_invitation, list_invitations, revoke_invitation, accept_invitation]
