"""Invitations to an organization, and accepting one."""

from typing import Annotated, Any, Literal

import msgspec

from loadbell.accounts import invitations
from loadbell.api.answers import Page, Time, page
from loadbell.api.bodies import Name
from loadbell.api.routes import route
from loadbell.domain import orgs
from loadbell.domain.emails import MAX_EMAIL_LENGTH
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal, Role
from loadbell.entry.paging import PageQuery
from loadbell.entry.requests import PublicRequest
from loadbell.store.unit_of_work import UnitOfWork, exclusive


class NewInvitationBody(msgspec.Struct, kw_only=True):
    """The person to invite, and the role. `project_ids` are for the role member: the projects to assign."""

    email: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_EMAIL_LENGTH)]
    role: Literal["admin", "member"]
    project_ids: Annotated[list[int], msgspec.Meta(max_length=1_000)] | None = None


class AcceptanceBody(msgspec.Struct, kw_only=True):
    """The token from the link, and the password: the current one if you have an account, else a new one."""

    token: str
    name: (
        Annotated[Name, msgspec.Meta(description="For a new user. Default: the part of the address before the @.")]
        | None
    ) = None
    password: str


class Invitation(msgspec.Struct):
    """An open invitation: not accepted, revoked or expired."""

    id: int
    organization_id: int
    email: str
    role: Role
    project_ids: list[int]
    invited_by: int
    created_at: Time
    expires_at: Time


class CreatedInvitation(Invitation):
    """An invitation with its link, shown only once, and whether it was e-mailed."""

    url: str
    token: str
    mailed: bool


class InvitationPage(Page[Invitation]):
    """Invitations, newest first."""


class Joined(msgspec.Struct):
    """The new membership, with an API token of scope manage that is shown only once."""

    user_id: int
    organization_id: int
    token: str


def _to_json(invitation: orgs.Invitation) -> dict[str, Any]:
    return {
        "id": invitation.id,
        "organization_id": invitation.organization_id,
        "email": invitation.email,
        "role": invitation.role,
        "project_ids": list(invitation.project_ids),
        "invited_by": invitation.invited_by,
        "created_at": rfc3339(invitation.created_at),
        "expires_at": rfc3339(invitation.expires_at),
    }


@route("POST", "/organizations/{organization_id}/invitations", "Invite a person", status=201, refusals=(404, 409, 429))
@exclusive
async def create_invitation(
    unit: UnitOfWork[Principal], organization_id: int, body: NewInvitationBody
) -> CreatedInvitation:
    """Creates an invitation link, which works once and expires in 7 days, and e-mails it if this server sends mail.

    A former invitation to the same address is replaced. An organization may invite 30 times at once and then once a
    minute; one address may be invited 5 times at once and then once an hour, by all organizations together.
    """
    invitation = await invitations.invite(
        unit,
        organization_id,
        email=body.email,
        role=Role(body.role),
        project_ids=tuple(body.project_ids or ()),
    )
    return CreatedInvitation(
        **_to_json(invitation.invitation), url=invitation.url, token=invitation.token, mailed=invitation.mailed
    )


@route("GET", "/organizations/{organization_id}/invitations", "List invitations", refusals=(404,))
async def list_invitations(unit: UnitOfWork[Principal], organization_id: int, query: PageQuery) -> InvitationPage:
    """The open invitations."""
    listed = await invitations.list_invitations(unit, organization_id, before=query.before_id(), limit=query.one_more)
    return page(
        InvitationPage,
        listed,
        query.limit,
        lambda invitation: Invitation(**_to_json(invitation)),
        lambda invitation: invitation.id,
    )


@route("DELETE", "/invitations/{invitation_id}", "Revoke an invitation", refusals=(404,))
@exclusive
async def revoke_invitation(unit: UnitOfWork[Principal], invitation_id: int) -> None:
    """Revokes the invitation. Its link stops working at once."""
    await invitations.revoke_invitation(unit, invitation_id)


@route("POST", "/invitations/accept", "Accept an invitation", status=201, refusals=(401, 404, 409, 429))
async def accept_invitation(request: PublicRequest, body: AcceptanceBody) -> Joined:
    """Accepts an invitation. If you have an account with its e-mail address, send your current password.

    Others send a new one, and get an account. The token is in this answer and in no other.
    """
    context = request.context
    joined = await invitations.accept_invitation(
        context.database, context.passwords, body.token, body.name, body.password, address=request.address
    )
    return Joined(joined.user_id, joined.organization_id, joined.token)


HANDLERS: list[Any] = [create_invitation, list_invitations, revoke_invitation, accept_invitation]
