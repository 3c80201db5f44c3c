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
    await tx.run(
        _INSERT,
        organization_id=principal.organization_id,
        user_id=principal.user_id,
        token_id=principal.token_id,
        action=action,
        subject=subject,
        changes=msgspec.json.encode(changes).decode(),
        created_at=now,
    )
