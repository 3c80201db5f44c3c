"""The audit log: who changed what, when and from where. Append only.

An entry belongs to an organization, or to the account of a user alone. Its changes hold no secret.
"""

from typing import Any

import msgspec

from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Principal
from loadbell.store.db import Transaction
from loadbell.store.schema import audit_entries
from loadbell.store.statements import Statement, insert_into

_INSERT = Statement(
    insert_into(
        audit_entries, "organization_id", "user_id", "token_id", "action", "subject", "changes", "created_at", "address"
    )
)


async def append_entry(  # noqa: PLR0913, PLR0917 - who did what to what, when
    tx: Transaction, principal: Principal, action: str, subject: str, changes: dict[str, Any], now: Micros
) -> None:
    """Notes that ``principal`` did ``action`` to ``subject``; ``changes`` hold no secret."""
    await _append(
        tx,
        action,
        subject,
        changes,
        now,
        organization_id=principal.organization_id,
        user_id=principal.user_id,
        token_id=principal.token_id,
        address=principal.address,
    )


async def append_system_entry(  # noqa: PLR0913, PLR0917 - as above
    tx: Transaction, organization_id: int, action: str, subject: str, changes: dict[str, Any], now: Micros
) -> None:
    """Notes that loadbell itself did ``action`` to ``subject``: there is no user and no token in the entry."""
    await _append(tx, action, subject, changes, now, organization_id=organization_id)


async def append_account_entry(  # noqa: PLR0913, PLR0917 - as above
    tx: Transaction, user_id: int, address: str | None, action: str, changes: dict[str, Any], now: Micros
) -> None:
    """Notes that a user, from ``address`` (None: the operator, on the server), did ``action`` to the own account."""
    await _append(tx, action, f"user {user_id}", changes, now, user_id=user_id, address=address)


async def _append(  # noqa: PLR0913 - one argument for each column
    tx: Transaction,
    action: str,
    subject: str,
    changes: dict[str, Any],
    now: Micros,
    *,
    organization_id: int | None = None,
    user_id: int | None = None,
    token_id: int | None = None,
    address: str | None = None,
) -> None:
    await tx.run(
        _INSERT,
        organization_id=organization_id,
        user_id=user_id,
        token_id=token_id,
        action=action,
        subject=subject,
        changes=msgspec.json.encode(changes).decode(),
        created_at=now,
        address=address,
    )
