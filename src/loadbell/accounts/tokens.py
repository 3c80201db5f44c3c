"""
API tokens: who is asking, and new ones.

A token is ``lb_`` and 256 random bits in URL-safe base64. Only its SHA-256 is stored: with so many random bits a slow
hash would protect nothing.
"""

import base64
import hashlib

from loadbell.domain.errors import FieldError, Forbidden, Invalid, Unauthenticated
from loadbell.domain.ids import Entropy, Micros
from loadbell.domain.orgs import Action, Principal, Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.store.audit import append_entry
from loadbell.store.db import Transaction
from loadbell.store.organizations import assigned_projects
from loadbell.store.tokens import find_token, insert_token

PREFIX = "lb_"
_SHOWN = 8  # characters of the token that lists show, so that a person finds it again
_REACH = {Scope.REPORT: {Scope.REPORT}, Scope.READ: {Scope.READ}, Scope.MANAGE: set(Scope)}


async def authenticate(tx: Transaction, bearer: str | None, now: Micros) -> Principal:
    """Who stands behind the token ``bearer`` at this moment, with the role that its user has now.

    Raises:
        Unauthenticated: there is no token, or it is unknown or expired.
    """
    if not bearer:
        raise Unauthenticated("This needs an API token. Send it as: Authorization: Bearer lb_…")
    token = await find_token(tx, _hash(bearer))
    if token is None:
        raise Unauthenticated("This API token is not known here. Check that it is whole and of this server.")
    if token.expires_at is not None and token.expires_at <= now:
        raise Unauthenticated("This API token has expired. Make a new one.")
    projects = None
    if token.role is Role.MEMBER:
        projects = await assigned_projects(tx, token.organization_id, token.user_id)
    return Principal(
        user_id=token.user_id,
        organization_id=token.organization_id,
        role=token.role,
        scope=token.scope,
        token_id=token.id,
        trigger=token.trigger,
        projects=projects,
    )


async def create_token(  # noqa: PLR0913 - one argument for each property
    tx: Transaction,
    principal: Principal,
    *,
    name: str,
    scope: Scope,
    trigger: Trigger | None,
    expires_at: Micros | None,
    now: Micros,
    entropy: Entropy,
) -> str:
    """Makes another token of the same user in the same organization; gives it, this once.

    Raises:
        Forbidden: the asker may not make tokens, or none of that scope.
        Invalid: it would already have expired.
    """
    principal.require(Action.CREATE_TOKEN)
    if scope not in _REACH[principal.scope]:
        raise Forbidden(f"A token of scope {principal.scope} may not make one of scope {scope}.")
    if expires_at is not None and expires_at <= now:
        raise Invalid(FieldError("expires_at", "this moment has passed; give a later one"))
    token = await issue_token(
        tx,
        organization_id=principal.organization_id,
        user_id=principal.user_id,
        name=name,
        scope=scope,
        trigger=trigger or Trigger.UNKNOWN,
        expires_at=expires_at,
        now=now,
        entropy=entropy,
    )
    await append_entry(tx, principal, "token.created", f"token {name}", {"scope": scope.value}, now)
    return token


async def issue_token(  # noqa: PLR0913 - one argument for each property
    tx: Transaction,
    *,
    organization_id: int,
    user_id: int,
    name: str,
    scope: Scope,
    trigger: Trigger,
    expires_at: Micros | None,
    now: Micros,
    entropy: Entropy,
) -> str:
    """Makes a token without asking who wants it; gives it, this once."""
    token = PREFIX + base64.urlsafe_b64encode(entropy(32)).decode("ascii").rstrip("=")
    await insert_token(
        tx,
        organization_id=organization_id,
        user_id=user_id,
        name=name,
        scope=scope,
        trigger=trigger,
        token_hash=_hash(token),
        prefix=token[:_SHOWN],
        expires_at=expires_at,
        now=now,
    )
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
