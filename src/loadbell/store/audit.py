"""The audit log: who changed what, and when. Append only."""

from typing import Any

import msgspec

from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Principal
from loadbell.store.db import Transaction
from loadbell.store.schema import audit_entries
from loadbell.store.statements import Statement, insert_into

_INSERT = Statement(
    insert_into(audit_entries, "organization_id", "user_id", "token_id", "action", "subject", "changes", "created_at")
)


async def append_entry(  # noqa: PLR0913, PLR0917 - who did what to what, when
    tx: Transaction, principal: Principal, action: str, subject: str, changes: dict[str, Any], now: Micros
) -> None:
    """Notes that ``principal`` did ``action`` to ``subject``; ``changes`` hold no secret."""
    await _append(tx, principal.organization_id, principal.user_id, principal.token_id, action, subject, changes, now)


async def append_system_entry(  # noqa: PLR0913, PLR0917 - as above
    tx: Transaction, organization_id: int, action: str, subject: str, changes: dict[str, Any], now: Micros
) -> None:
    """Notes that loadbell itself did ``action`` to ``subject``: there is no user and no token in the entry."""
    await _append(tx, organization_id, None, None, action, subject, changes, now)


async def _append(  # noqa: PLR0913, PLR0917 - one argument for each column
    tx: Transaction,
    organization_id: int,
    user_id: int | None,
    token_id: int | None,
    action: str,
    subject: str,
    changes: dict[str, Any],
    now: Micros,
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
    )
