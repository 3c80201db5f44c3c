"""Finds the organization of a thing when the URL names only the thing."""

from typing import Literal
from uuid import UUID

from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement

Noun = Literal["channel", "run", "delivery"]

_ORGANIZATION_OF = (
    "SELECT t.organization_id FROM {} t JOIN members m ON m.organization_id = t.organization_id "
    "WHERE t.id = :id AND m.user_id = :user_id"
)
_TABLES: dict[Noun, str] = {"channel": "channels", "run": "runs", "delivery": "deliveries"}
_STATEMENTS = {noun: Statement(_ORGANIZATION_OF.format(table)) for noun, table in _TABLES.items()}


async def organization_of(tx: Transaction, user_id: int, noun: Noun, thing_id: int | UUID) -> int | None:
    """Returns the thing's organization if the user is a member of it; doesn't check whether the user may see it."""
    key = str(thing_id) if isinstance(thing_id, UUID) else thing_id
    row = await tx.first(_STATEMENTS[noun], id=key, user_id=user_id)
    return None if row is None else int(row["organization_id"])
