"""Attempts to send a delivery to its channel: appended to the log, never changed by a later one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from loadbell.domain.deliveries import Attempt
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, unnest
from loadbell.store.schema import attempts

_COLUMNS = {
    "delivery_id": "text",
    "number": "integer",
    "cause": "text",
    "started_at": "bigint",
    "duration": "bigint",
    "reason": "text",
    "message": "text",
    "exchange": "text",
}
_INTO = f"INSERT INTO attempts ({', '.join(_COLUMNS)}) "
# The real result replaces an "interrupted" that a reaper may have logged meanwhile.
_REPLACE = " ON CONFLICT (delivery_id, number) DO UPDATE SET "
_REPLACE += ", ".join(f"{name} = excluded.{name}" for name in list(_COLUMNS)[2:])
_APPEND = Statement(
    f"{_INTO}SELECT {', '.join(f':{name}' for name in _COLUMNS)} "
    f"WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = :delivery_id){_REPLACE}",
    f"{_INTO}SELECT u.* FROM {unnest(_COLUMNS)} JOIN deliveries d ON d.id = u.delivery_id{_REPLACE}",
    columns=_COLUMNS,
)
_LIST = Statement(sa.select(attempts).where(attempts.c.delivery_id == sa.bindparam("id")).order_by(attempts.c.number))


async def append_attempts(tx: Transaction, made: Sequence[tuple[str, Attempt]]) -> None:
    """Appends attempts to the logs of their deliveries. Safe to run twice; skips deliveries that are deleted."""
    await tx.run_many(_APPEND, [_row(delivery_id, attempt) for delivery_id, attempt in made])


async def list_attempts(tx: Transaction, delivery_id: UUID) -> list[Attempt]:
    """Returns every attempt of the delivery, oldest first."""
    return [read_row(Attempt, row) for row in await tx.all(_LIST, id=str(delivery_id))]


def _row(delivery_id: str, attempt: Attempt) -> Mapping[str, Any]:
    return {
        "delivery_id": delivery_id,
        "number": attempt.number,
        "cause": attempt.cause.value,
        "started_at": attempt.started_at,
        "duration": attempt.duration,
        "reason": attempt.reason.value,
        "message": attempt.message,
        "exchange": None if attempt.exchange is None else msgspec.json.encode(attempt.exchange).decode(),
    }
