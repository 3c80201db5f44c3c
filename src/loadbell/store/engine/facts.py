"""Facts about this installation that every process must agree on: the first process sets them."""

from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement

_GET = Statement("SELECT value FROM installation WHERE name = :name")
_CLAIM = Statement("INSERT INTO installation (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")


async def claim_fact(tx: Transaction, name: str, value: str) -> str:
    """Stores ``value`` under ``name`` unless there is a value already; returns the stored one."""
    await tx.run(_CLAIM, name=name, value=value)
    row = await tx.first(_GET, name=name)
    assert row is not None
    return str(row["value"])
