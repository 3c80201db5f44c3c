"""Invitations: a link to join an organization, which works once and expires in seven days."""

from dataclasses import dataclass, replace

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.accounts.mail import check_email, queue_mail
from loadbell.accounts.passwords import Passwords, check_password
from loadbell.accounts.rate_limit import Bucket, take_tokens
from loadbell.accounts.sessions import NewSession, start_session
from loadbell.accounts.sign_in import verify_password
from loadbell.accounts.tokens import issue_token
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound, Unauthenticated
from loadbell.domain.ids import SECOND, Micros, to_datetime
from loadbell.domain.orgs import Action, Invitation, Principal, Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store import invitations as store
from loadbell.store.audit import append_account_entry, append_entry
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.engine.locks import lock_organization
from loadbell.store.organizations import (
    assign_project,
    get_role,
    insert_member,
    organization_names,
)
from loadbell.store.projects import list_open_projects
from loadbell.store.quotas import require_quota
from loadbell.store.unit_of_work import UnitOfWork, exclusive
from loadbell.store.users import UserRow, find_user_by_email, insert_user, lock_user

LIFETIME: Micros = 7 * 86_400 * SECOND
MAX_NAME_LENGTH = 200
PER_ORGANIZATION = TokenBucket(60 * SECOND, 30)
PER_RECIPIENT = TokenBucket(3600 * SECOND, 5)
"""Across all organizations, so that this server can't be used to flood a mailbox."""

_MAX_NAME_LENGTH_IN_SUBJECT = 60


@dataclass(frozen=True)
class NewInvitation:
    """A new invitation with its link, shown only once."""

    invitation: Invitation
    token: str
    url: str
    mailed: bool


@dataclass(frozen=True)
class InvitationDetails:
    """The details that an invitation's link shows before it is accepted."""

    organization: str
    email: str
    role: Role
    invited_by: str  #: a person's name
    has_account: bool  #: then the current password is required, not a new one


@dataclass(frozen=True)
class AcceptedInvitation:
    """A new member, with an API token of scope manage, shown only once."""

    user_id: int
    organization_id: int
    token: str
    session: NewSession | None  #: if one was asked for


@dataclass(frozen=True)
class Browser:
    """The browser to sign in as well."""

    agent: str | None  #: its User-Agent
    former: str | None  #: its current session, which ends


@exclusive
async def invite(
    unit: UnitOfWork[Principal], organization_id: int, *, email: str, role: Role, project_ids: tuple[int, ...]
) -> NewInvitation:
    """Invites ``email``. Replaces an earlier invitation to that address.

    Raises:
        NotFound: the organization isn't the caller's.
        Invalid: ``email`` isn't valid, the role is owner, or a project isn't the organization's or is archived.
        Conflict: the address is a member's, or the quota of invitations or members is reached.
        RateLimited: the organization sent too many invitations, or all together too many to this address.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.MANAGE_MEMBERS)
    email = check_email(email)
    if role is Role.OWNER:
        raise Invalid(FieldError("role", "an organization has only one owner; invite an admin or a member"))
    project_ids = tuple(dict.fromkeys(project_ids))
    if project_ids and role is not Role.MEMBER:
        raise Invalid(FieldError("project_ids", f"every {role.value} can see all projects; leave this out"))
    if not set(project_ids) <= set(await list_open_projects(unit.tx, organization_id)):
        raise Invalid(FieldError("project_ids", "choose projects of this organization that aren't archived"))
    user = await find_user_by_email(unit.tx, email)
    if user is not None and await get_role(unit.tx, organization_id, user.id) is not None:
        raise Conflict(f"{email} is already a member. Change the member's role or projects instead.")
    by_organization = Bucket(PER_ORGANIZATION, ("invitations by", str(organization_id)))
    await take_tokens(unit.tx, [by_organization, Bucket(PER_RECIPIENT, ("invitations to", email))])
    await store.delete_former_invitations(unit.tx, organization_id, email)
    await require_quota(unit.tx, organization_id, "invitations", unit.installation.quotas.invitations)
    await require_quota(unit.tx, organization_id, "members", unit.installation.quotas.members)
    token = make_credential(Prefix.INVITATION, unit.random)
    wanted = Invitation(
        0, organization_id, email, role, project_ids, unit.principal.user_id, unit.now, unit.now + LIFETIME
    )
    invitation = await store.insert_invitation(unit.tx, wanted, hash_credential(token))
    url = f"{unit.installation.base_url}/invitations/{token}"
    if unit.installation.sends_mail:
        await _mail(unit.tx, invitation, url)
    changes = {"email": email, "role": role.value, "project_ids": project_ids}
    await append_entry(unit.tx, unit.principal, "invitation.created", f"invitation {invitation.id}", changes)
    return NewInvitation(invitation, token, url, unit.installation.sends_mail)


async def list_invitations(
    unit: UnitOfWork[Principal], organization_id: int, *, before: int | None, limit: int
) -> list[Invitation]:
    """Returns up to ``limit`` open invitations with an id below ``before``, newest first.

    Raises:
        NotFound: the organization isn't the caller's.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.READ_MEMBERS)
    return await store.list_invitations(unit.tx, organization_id, before=before, limit=limit)


@exclusive
async def revoke_invitation(unit: UnitOfWork[Principal], invitation_id: int) -> None:
    """Revokes an open invitation.

    Raises:
        NotFound: the caller's organization has no such invitation, or it is no longer open.
    """
    invitation = await store.get_invitation(unit.tx, unit.principal.organization_id, invitation_id)
    if invitation is None:
        raise NotFound(f"There is no invitation {invitation_id}.")
    unit.principal.require(Action.MANAGE_MEMBERS)
    await store.delete_invitation(unit.tx, unit.principal.organization_id, invitation_id)
    changes = {"email": invitation.email, "role": invitation.role.value}
    await append_entry(unit.tx, unit.principal, "invitation.revoked", f"invitation {invitation_id}", changes)


async def find_invitation(tx: Transaction, token: str) -> InvitationDetails:
    """Returns the details of the invitation with the link ``token``, without using it.

    Raises:
        NotFound: it is unknown, used, revoked, replaced or expired.
    """
    invitation = await store.find_invitation(tx, hash_credential(token))
    if invitation is None:
        raise _invalid_invitation()
    organization, inviter = await organization_names(tx, invitation.organization_id, invitation.invited_by)
    user = await find_user_by_email(tx, invitation.email)
    return InvitationDetails(organization, invitation.email, invitation.role, inviter, user is not None)


async def accept_invitation(  # noqa: PLR0913 - one argument for each property
    database: Database,
    passwords: Passwords,
    token: str,
    name: str | None,
    password: str,
    *,
    address: str | None,
    browser: Browser | None = None,
) -> AcceptedInvitation:
    """Makes the bearer of the link a member, once; with ``browser``, signs in within the same transaction.

    If the invited address has an account, its password is required and ``name`` is ignored. Otherwise an account with
    this name (None: the part of the address before the @) and password is created.

    Raises:
        NotFound: the link is unknown, used, revoked, replaced or expired.
        Invalid: the new name or password isn't allowed.
        Unauthenticated: the password is wrong.
        RateLimited: passwords were tried too often.
        Conflict: a concurrent change interfered; nothing was changed.
    """
    invited = await database.read(find_invitation, token)
    proven: UserRow | None = None
    new_hash = ""
    if invited.has_account:
        proven = await verify_password(database, passwords, invited.email, password, address=address)
        if proven is None:
            raise _wrong_password(invited.email)
    else:
        name = _check_name(name or invited.email.partition("@")[0])
        check_password(password)
        new_hash = await passwords.hash(password)

    async def join(tx: Transaction) -> AcceptedInvitation:
        invitation = await store.find_invitation(tx, hash_credential(token))
        if invitation is None:
            raise _invalid_invitation()
        await lock_organization(tx, invitation.organization_id, exclusive=True)
        invitation = await store.take_invitation(tx, hash_credential(token))  # the wait for the lock may be long
        if invitation is None:
            raise _invalid_invitation()
        if proven is None:
            user_id = await insert_user(tx, email=invitation.email, name=name or "", password_hash=new_hash)
            await append_account_entry(tx, user_id, address, "account.created", {"email": invitation.email})
        else:
            user = await lock_user(tx, proven.id)
            if user is None or user.password_hash != proven.password_hash:  # it was changed during the comparison
                raise _wrong_password(invitation.email)
            user_id = user.id
            if await get_role(tx, invitation.organization_id, user_id) is not None:
                raise Conflict(f"{invitation.email} is already a member. Sign in instead.")
        joined = await _join(tx, invitation, user_id, address=address)
        if browser is None:
            return joined
        # Within the user's lock: a new password ends all sessions, and this one must not start after that.
        session = await start_session(tx, user_id, address=address, agent=browser.agent, former=browser.former)
        return replace(joined, session=session)

    return await database.write(join)


async def _join(tx: Transaction, invitation: Invitation, user_id: int, *, address: str | None) -> AcceptedInvitation:
    organization_id = invitation.organization_id
    await insert_member(tx, organization_id, user_id, invitation.role)
    projects = sorted(set(invitation.project_ids) & set(await list_open_projects(tx, organization_id)))
    for project_id in projects:  # skips projects that were archived or deleted since
        await assign_project(tx, project_id, user_id)
    assigned = frozenset(projects) if invitation.role is Role.MEMBER else None
    joined = Principal(
        user_id, organization_id, invitation.role, Scope.MANAGE, None, Trigger.UNKNOWN, assigned, address
    )
    changes = {
        "user_id": user_id,
        "role": {"before": None, "after": invitation.role.value},
        "project_ids": {"before": [], "after": projects},
    }
    await append_entry(tx, joined, "invitation.accepted", f"invitation {invitation.id}", changes)
    token = await issue_token(
        tx, joined, name="The member's first token", scope=Scope.MANAGE, trigger=Trigger.UNKNOWN, expires_at=None
    )
    return AcceptedInvitation(user_id, organization_id, token, None)


async def _mail(tx: Transaction, invitation: Invitation, url: str) -> None:
    names = await organization_names(tx, invitation.organization_id, invitation.invited_by)
    organization, inviter = (" ".join(name.split()) for name in names)  # so that no name adds a line to the text
    until = to_datetime(invitation.expires_at)
    short = organization
    if len(short) > _MAX_NAME_LENGTH_IN_SUBJECT:
        short = organization[: _MAX_NAME_LENGTH_IN_SUBJECT - 1] + "…"
    await queue_mail(
        tx,
        recipient=invitation.email,
        subject=f"Invitation to {short} on loadbell",
        body=(
            f"{inviter} invited you to the organization {organization} on loadbell, as {invitation.role.value}.\n\n"
            f"Accept the invitation here:\n\n{url}\n\n"
            f"This link works once and expires on {until:%Y-%m-%d %H:%M} UTC. To decline, ignore this e-mail.\n"
        ),
        expires_at=invitation.expires_at,
    )


def _check_name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME_LENGTH or "\x00" in name:
        raise Invalid(FieldError("name", f"enter a name of 1 to {MAX_NAME_LENGTH} characters, without U+0000"))
    return name


def _wrong_password(email: str) -> Unauthenticated:
    return Unauthenticated(
        f"{email} already has an account, but the password is wrong. Enter the account's current password."
    )


def _invalid_invitation() -> NotFound:
    return NotFound(
        "This invitation is no longer valid: it was used, revoked, replaced or has expired. Ask for a new one."
    )
