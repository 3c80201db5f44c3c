"""
Adds work to the outbox: new deliveries, and one more attempt of existing ones.

``outbox.py`` has the worker's part, and the order of locks on PostgreSQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Cause, Delivery, FinalStatus
from loadbell.domain.events import Event
from loadbell.domain.ids import Micros
from loadbell.store.cancellation import cancel_in_line
from loadbell.store.deliveries import as_deliveries, get_delivery, insert_deliveries, lock_log
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement, unnest
from loadbell.store.ordering import leave

_KEY_BITS = 2**62 - 1  # the random bits at the end of a delivery's id
_GENERATION = "coalesce((SELECT c.generation FROM channels c WHERE c.id = {}), 0)"
_COLUMNS = {
    "delivery_id": "text",
    "organization_id": "bigint",
    "channel_id": "bigint",
    "channel_key": "bigint",
    "cause": "text",
    "due_at": "bigint",
    "after": "text",
    "form": "text",
}
_INTO = f"INSERT INTO outbox ({', '.join(_COLUMNS)}, is_retry, retry_index, attempts_started, answered, generation) "
_ENQUEUE = Statement(
    f"{_INTO}VALUES ({', '.join(f':{name}' for name in _COLUMNS)}, 0, 0, 0, FALSE, "
    f"{_GENERATION.format(':channel_id')})",
    f"{_INTO}SELECT u.*, 0, 0, 0, FALSE, {_GENERATION.format('u.channel_id')} FROM {unnest(_COLUMNS)}",
    columns=_COLUMNS,
)
_ENQUEUE_AGAIN = Statement(
    # Attempts that use up no step of the schedule count from here, so that a receiver's limits do
    # (domain/deliveries.py). On a conflict, a concurrent request has added the same attempt.
    "INSERT INTO outbox (delivery_id, organization_id, channel_id, channel_key, cause, is_retry, due_at, retry_index, "
    "attempts_started, answered, replay_id, generation) "
    "SELECT d.id, d.organization_id, d.channel_id, CASE WHEN d.event = 'test.notification_channel' "
    "THEN CAST(:own_key AS bigint) ELSE d.channel_id END, 'manual', CAST(:is_retry AS integer), "
    "CAST(:due_at AS bigint), d.attempt_count, d.attempt_count, FALSE, CAST(:replay_id AS bigint), "
    f"{_GENERATION.format('d.channel_id')} FROM deliveries d WHERE d.id = :id AND d.status = :status "
    "ON CONFLICT (delivery_id) DO NOTHING"
)
_SEND_NOW = Statement(
    # A Test Hook that hasn't been sent yet stays one: it is not retried.
    "UPDATE outbox SET cause = CASE WHEN cause = 'test' THEN cause ELSE 'manual' END, "
    "resume_at = CASE WHEN attempts_started > 0 THEN coalesce(resume_at, due_at) END, "
    "due_at = :now, after = NULL, is_retry = 0, replay_id = NULL, "
    f"generation = {_GENERATION.format('outbox.channel_id')} WHERE delivery_id = :id AND lease_owner IS NULL"
)
_LOCK_WORK = Statement(
    "SELECT delivery_id, after FROM outbox WHERE organization_id = :organization_id AND (delivery_id = :id "
    "OR delivery_id = (SELECT w.after FROM outbox w WHERE w.delivery_id = :id)) ORDER BY delivery_id FOR UPDATE"
)


@dataclass(frozen=True)
class NewDelivery:
    """A delivery to add: due at once, or once the one that it comes ``after`` releases it.

    ``form`` holds the settings of an unsaved Test Hook: stored encrypted, deleted after the attempt.
    """

    id: UUID
    channel_id: int | None
    kind: ChannelKind
    cause: Cause = Cause.SCHEDULED
    after: str | None = None
    form: dict[str, Any] | None = None


async def enqueue(tx: Transaction, event: Event, new: Sequence[NewDelivery]) -> None:
    """Adds deliveries of ``event`` to the log and the outbox.

    A Test Hook gets its own channel key, so that no pause, busy channel or other test delays it.
    """
    await insert_deliveries(tx, event, [(item.id, item.channel_id, item.kind) for item in new])
    rows = [
        {
            "delivery_id": str(item.id),
            "organization_id": event.organization_id,
            "channel_id": item.channel_id,
            "channel_key": own_key(item.id) if item.cause is Cause.TEST or item.channel_id is None else item.channel_id,
            "cause": item.cause.value,
            "due_at": tx.now,
            "after": item.after,
            "form": None if item.form is None else tx.seal(msgspec.json.encode(item.form).decode()),
        }
        for item in new
    ]
    await tx.run_many(_ENQUEUE, rows)


def own_key(delivery_id: UUID) -> int:
    """Returns the channel key of a Test Hook: a negative number that no other delivery has."""
    return -1 - (delivery_id.int & _KEY_BITS)


async def lock_delivery(tx: Transaction, organization_id: int, delivery_id: UUID) -> Delivery | None:
    """Returns the delivery, if it is the organization's, and locks it until this transaction ends.

    Also locks the one that it comes after: recording a response for that one would release this one.
    """
    key, where = str(delivery_id), {"id": str(delivery_id), "organization_id": organization_id}
    comes_after = {row["delivery_id"]: row["after"] for row in await tx.all(_LOCK_WORK, **where)}
    if comes_after.get(key) not in {None, *comes_after}:  # changed since the query began
        await tx.all(_LOCK_WORK, **where)
    row = await lock_log(tx, organization_id, delivery_id)
    if row is not None and row["swept"] is not None:  # a sweep is about to cancel it
        await cancel_in_line(tx, [key], row["swept"], row["swept_at"])
        return await get_delivery(tx, organization_id, delivery_id)
    return None if row is None else (await as_deliveries(tx, [row]))[0]


async def send_now(tx: Transaction, delivery_id: UUID) -> None:
    """Makes a pending delivery, which this transaction has locked, due for one manual attempt."""
    await leave(tx, str(delivery_id))
    await tx.run(_SEND_NOW, id=str(delivery_id), now=tx.now)


async def send_again(
    tx: Transaction, delivery_id: str, final: FinalStatus, *, replay_id: int | None = None, due_at: Micros | None = None
) -> bool:
    """Adds one manual attempt of a delivery that ended as ``final``; False if it didn't, or already has work.

    An attempt of a replay is served like a retry, after first attempts.
    """
    added = await tx.run(
        _ENQUEUE_AGAIN,
        id=delivery_id,
        status=final.value,
        own_key=own_key(UUID(delivery_id)),
        is_retry=int(replay_id is not None),
        replay_id=replay_id,
        due_at=tx.now if due_at is None else due_at,
    )
    return added > 0
