"""API tokens: create, list and revoke."""

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.domain.errors import FieldError, Forbidden, Invalid, NotFound
from loadbell.domain.ids import Micros, rfc3339
from loadbell.domain.orgs import Action, Principal, Scope, Token
from loadbell.domain.runs import Trigger
from loadbell.store import tokens as store
from loadbell.store.audit import append_entry
from loadbell.store.engine.db import Transaction
from loadbell.store.projects import list_open_projects
from loadbell.store.quotas import require_quota
from loadbell.store.tokens import find_token, insert_token, note_token_use
from loadbell.store.unit_of_work import UnitOfWork, exclusive

PREFIX_LENGTH = 8  # characters of the token that lists show, to recognize it
_REACH = {Scope.REPORT: {Scope.REPORT}, Scope.READ: {Scope.READ}, Scope.MANAGE: set(Scope)}


async def note_use(tx: Transaction, principal: Principal) -> None:
    """Records the use of the principal's token. Worth a transaction of its own only if ``use_is_due``."""
    if principal.token_id is not None:
        await note_token_use(tx, principal.token_id)


async def create_token(  # noqa: PLR0913 - one argument for each property
    unit: UnitOfWork[Principal],
    *,
    name: str,
    scope: Scope,
    trigger: Trigger | None,
    expires_at: Micros | None,
    project_id: int | None = None,
) -> tuple[Token, str]:
    """Creates another token of the same user in the same organization. Returns it and its secret, only this once.

    It expires no later than the caller's own token, and with it if ``expires_at`` is None. With ``project_id`` it is
    limited to that project, as a member assigned to it.

    Raises:
        Forbidden: the caller may not create tokens, or none of that scope.
        Invalid: it would have expired already or outlive the caller's own token, or no such project accepts runs.
        Conflict: the organization has reached its quota of tokens.
    """
    unit.principal.require(Action.MANAGE_TOKENS)
    if scope not in _REACH[unit.principal.scope]:
        raise Forbidden(f"A token of scope {unit.principal.scope} can't create one of scope {scope}.")
    if expires_at is not None and expires_at <= unit.now:
        raise Invalid(FieldError("expires_at", "must be in the future"))
    if unit.principal.expires_at is not None:
        if expires_at is not None and expires_at > unit.principal.expires_at:
            own = rfc3339(unit.principal.expires_at)
            raise Invalid(FieldError("expires_at", f"can't be later than your own token's expiry, {own}"))
        expires_at = expires_at or unit.principal.expires_at
    if project_id is not None and not (
        unit.principal.can_see_project(project_id)
        and project_id in await list_open_projects(unit.tx, unit.principal.organization_id)
    ):
        raise Invalid(FieldError("project_id", "choose a project of this organization that isn't archived"))
    await require_quota(unit.tx, unit.principal.organization_id, "tokens", unit.installation.quotas.tokens)
    value = await issue_token(
        unit.tx,
        unit.principal,
        name=name,
        scope=scope,
        trigger=trigger or Trigger.UNKNOWN,
        expires_at=expires_at,
        project_id=project_id,
    )
    token = await find_token(unit.tx, hash_credential(value))
    assert token is not None, "it was added by this transaction"
    return token, value


async def list_tokens(unit: UnitOfWork[Principal], *, before: int | None, limit: int) -> list[Token]:
    """Returns up to ``limit`` of the organization's tokens older than ``before``, newest first, including expired ones.

    Raises:
        Forbidden: the caller may not read them.
    """
    unit.principal.require(Action.READ_TOKENS)
    return await store.list_tokens(unit.tx, unit.principal.organization_id, before=before, limit=limit)


@exclusive
async def revoke_token(unit: UnitOfWork[Principal], token_id: int) -> None:
    """Revokes a token of the organization, also the request's own. Requests with it are rejected from now on.

    Raises:
        NotFound: the organization has no such token.
        Forbidden: the caller may not revoke tokens.
    """
    token = await store.get_token(unit.tx, unit.principal.organization_id, token_id)
    if token is None:
        raise NotFound(f"There is no token {token_id}.")
    unit.principal.require(Action.MANAGE_TOKENS)
    await store.delete_token(unit.tx, unit.principal.organization_id, token_id)
    changes = {"name": token.name, "prefix": token.prefix, "scope": token.scope, "user_id": token.user_id}
    await append_entry(unit.tx, unit.principal, "token.revoked", f"token {token_id}", changes)


async def issue_token(  # noqa: PLR0913 - one argument for each property
    tx: Transaction,
    owner: Principal,
    *,
    name: str,
    scope: Scope,
    trigger: Trigger,
    expires_at: Micros | None,
    project_id: int | None = None,
) -> str:
    """Creates a token of ``owner`` without checking rights. Returns its secret, only this once."""
    value = make_credential(Prefix.TOKEN, tx.random)
    token_id = await insert_token(
        tx,
        organization_id=owner.organization_id,
        user_id=owner.user_id,
        name=name,
        scope=scope,
        trigger=trigger,
        token_hash=hash_credential(value),
        prefix=value[:PREFIX_LENGTH],
        expires_at=expires_at,
        project_id=project_id,
    )
    changes = {
        "name": name,
        "prefix": value[:PREFIX_LENGTH],
        "scope": scope,
        "trigger": trigger,
        "project_id": project_id,
        "expires_at": None if expires_at is None else rfc3339(expires_at),
    }
    await append_entry(tx, owner, "token.created", f"token {token_id}", changes)
    return value
