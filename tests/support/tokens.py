"""Tokens that are there already: nobody made them, so the log has nothing of them."""

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.accounts.tokens import PREFIX_LENGTH
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.tokens import insert_token


async def given_token(  # noqa: PLR0913 - one argument for each property
    tx: Transaction,
    *,
    organization_id: int,
    user_id: int,
    name: str,
    scope: Scope,
    trigger: Trigger,
    expires_at: Micros | None,
    project_id: int | None = None,
) -> str:
    """What proves the token."""
    value = make_credential(Prefix.TOKEN, tx.random)
    await insert_token(
        tx,
        organization_id=organization_id,
        user_id=user_id,
        name=name,
        scope=scope,
        trigger=trigger,
        token_hash=hash_credential(value),
        prefix=value[:PREFIX_LENGTH],
        expires_at=expires_at,
        project_id=project_id,
    )
    return value
