"""Authentication and authorization: who sends a token or a session, and what they may do in an organization."""

from enum import Enum

from loadbell.accounts.credentials import Prefix, hash_credential
from loadbell.domain.errors import Forbidden, NotFound, Unauthenticated
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Principal, Role, Scope, SignedIn
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.locks import lock_organization, lock_organization_of_token
from loadbell.store.organizations import get_role, list_assigned_projects
from loadbell.store.sessions import find_session
from loadbell.store.tokens import find_token
from loadbell.store.unit_of_work import UnitOfWork

_USE_INTERVAL: Micros = 60 * SECOND
"""How often the last use of a credential is recorded, at most."""


class Lock(Enum):
    """The lock of a unit of work on its organization, until the commit."""

    NONE = "none"  #: it only reads, on a snapshot of its own
    SHARED = "shared"  #: members, projects and other parts of the organization don't change
    EXCLUSIVE = "exclusive"  #: nobody else writes: this unit changes those


async def authenticate(
    tx: Transaction, bearer: str | None, *, lock: Lock = Lock.NONE, address: str | None = None
) -> Principal:
    """Returns the principal of the token ``bearer``, with the current role of its user.

    ``address`` is the request's. See ``docs/decisions/0016-one-organization-one-lock.md`` for ``lock``.

    Raises:
        Unauthenticated: there is no token, or it is unknown or expired.
    """
    if not bearer:
        raise Unauthenticated("This requires an API token. Send it as: Authorization: Bearer lb_…")
    hashed = hash_credential(bearer)
    if lock is not Lock.NONE:
        await lock_organization_of_token(tx, hashed, exclusive=lock is Lock.EXCLUSIVE)
    token = await find_token(tx, hashed)
    if token is None:
        if bearer.startswith(Prefix.SESSION):
            raise Unauthenticated(
                "This requires an API token, but a session was sent. Create a token with POST /api/v1/account/tokens."
            )
        raise Unauthenticated("Unknown API token. Check that it is complete and belongs to this server.")
    if token.expires_at is not None and token.expires_at <= tx.now:
        raise Unauthenticated("This API token has expired. Create a new one.")
    role, projects = token.role, None
    if token.role is Role.MEMBER:
        projects = await list_assigned_projects(tx, token.organization_id, token.user_id)
    if token.project_id is not None:
        mine = frozenset({token.project_id})
        role, projects = Role.MEMBER, mine if projects is None else projects & mine
    return Principal(
        user_id=token.user_id,
        organization_id=token.organization_id,
        role=role,
        scope=token.scope,
        token_id=token.id,
        trigger=token.trigger,
        projects=projects,
        address=address,
        project_token=token.project_id is not None,
        expires_at=token.expires_at,
        use_is_due=token.last_used_at is None or tx.now - token.last_used_at >= _USE_INTERVAL,
    )


async def authenticate_session(tx: Transaction, session: str | None, *, address: str | None = None) -> SignedIn:
    """Returns the user of ``session``; ``address`` is the request's.

    Raises:
        Unauthenticated: there is no session, or it is unknown or has ended.
        Forbidden: an API token was sent instead; it can't access its user's account.
    """
    if not session:
        raise Unauthenticated("This requires a session. Sign in with POST /api/v1/sessions.")
    hashed = hash_credential(session)
    if session.startswith(Prefix.TOKEN):
        token = await find_token(tx, hashed)
        if token is not None and (token.expires_at is None or token.expires_at > tx.now):
            raise Forbidden("API tokens can't access the user's account. Sign in with POST /api/v1/sessions.")
    found = await find_session(tx, hashed)
    if found is None:
        raise Unauthenticated("Unknown session. Sign in with POST /api/v1/sessions.")
    if found.expires_at <= tx.now:
        raise Unauthenticated("This session has ended. Sign in again with POST /api/v1/sessions.")
    return SignedIn(found.user_id, found.id, address, use_is_due=tx.now - found.last_used_at >= _USE_INTERVAL)


async def authorize(unit: UnitOfWork[SignedIn], organization_id: int, *, lock: Lock = Lock.NONE) -> Principal:
    """Returns the user's current rights in the organization. ``lock`` is as in ``authenticate``.

    Raises:
        NotFound: the user isn't a member of it.
    """
    if lock is not Lock.NONE:
        await lock_organization(unit.tx, organization_id, exclusive=lock is Lock.EXCLUSIVE)
    role = await get_role(unit.tx, organization_id, unit.principal.user_id)
    if role is None:
        raise NotFound(f"There is no organization {organization_id}.")
    projects = None
    if role is Role.MEMBER:
        projects = await list_assigned_projects(unit.tx, organization_id, unit.principal.user_id)
    return Principal(
        unit.principal.user_id,
        organization_id,
        role,
        Scope.MANAGE,
        None,
        Trigger.UNKNOWN,
        projects,
        address=unit.principal.address,
    )
