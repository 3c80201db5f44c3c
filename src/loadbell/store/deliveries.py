"""
The log of deliveries: which event goes to which channel, and how that ended. It never moves backwards.

The remaining work is in the outbox (``outbox.py``). While there is some, a delivery is shown as pending, or as sending
during an attempt. See ``docs/decisions/0030-outbox.md``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import MOVES, Attempt, Delivery, DeliveryStatus, FinalStatus, Reason
from loadbell.domain.events import Event
from loadbell.domain.ids import MAX_ID, Micros
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into, unnest
from loadbell.store.schema import events

EVERY_GENERATION = MAX_ID
"""For a sweep: everything pending for its channel, Test Hooks too, because the channel is deleted."""

STATUS = "CASE WHEN o.delivery_id IS NULL THEN d.status WHEN o.lease_owner IS NULL THEN 'pending' ELSE 'sending' END"
"""SQL on a delivery ``d`` and its work ``o``, which may be missing: the status that people see."""

_OF_SWEEP = (
    "CASE WHEN o.delivery_id IS NOT NULL AND o.lease_owner IS NULL THEN (SELECT s.{} FROM sweeps s "
    "WHERE s.project_id = d.project_id OR s.kind = 'cancel' AND s.channel_id = d.channel_id "
    "AND o.generation < s.generation "
    f"AND (o.channel_key = d.channel_id OR s.generation = {EVERY_GENERATION}) ORDER BY s.id LIMIT 1) END"
)
COLUMNS = (
    f"d.*, {STATUS} AS shown, o.channel_key, o.due_at, o.after, "
    f"{_OF_SWEEP.format('message')} AS swept, {_OF_SWEEP.format('created_at')} AS swept_at"
)
"""SQL columns of :data:`WITH_WORK`. ``swept``, ``swept_at``: of a sweep that is about to cancel it; otherwise null."""

WITH_WORK = "deliveries d LEFT JOIN outbox o ON o.delivery_id = d.id"

_INSERT_EVENT = Statement(
    insert_into(events, "id", "organization_id", "name", "run_id", "project_id", "occurred_at", "payload", "notice")
)
_INSERT_COLUMNS = {
    "id": "text",
    "organization_id": "bigint",
    "project_id": "bigint",
    "channel_id": "bigint",
    "kind": "text",
    "event_id": "text",
    "event": "text",
    "run_id": "bigint",
    "created_at": "bigint",
}
_INTO = f"INSERT INTO deliveries ({', '.join(_INSERT_COLUMNS)}, status, attempt_count) "
_INSERT = Statement(
    f"{_INTO}VALUES ({', '.join(f':{name}' for name in _INSERT_COLUMNS)}, 'pending', 0)",
    f"{_INTO}SELECT u.*, 'pending', 0 FROM {unnest(_INSERT_COLUMNS)}",
    columns=_INSERT_COLUMNS,
)
_LOCK = Statement(
    f"SELECT {COLUMNS} FROM {WITH_WORK} WHERE d.id = :id AND d.organization_id = :organization_id FOR UPDATE OF d",
)
_READ = Statement(f"SELECT {COLUMNS} FROM {WITH_WORK} WHERE d.id = :id AND d.organization_id = :organization_id")
_CHANNELS_OF = Statement(
    "SELECT id, paused_at IS NOT NULL AS paused, throttled_until FROM channels WHERE id IN LIST(:ids, bigint)"
)

_MOVE_COLUMNS = {
    "id": "text",
    "before": "text",
    "status": "text",
    "attempt_count": "integer",
    "reason": "text",
    "message": "text",
    "finished_at": "bigint",
}
_MOVED = ", ".join(f"{name} = {{u}}{name}" for name in ("status", "attempt_count", "reason", "message"))
_MOVED += ", finished_at = coalesce({u}finished_at, {d}finished_at)"
_MOVE = Statement(
    "UPDATE deliveries SET " + _MOVED.format(u=":", d="") + " WHERE id = :id AND status = :before",
    "UPDATE deliveries d SET " + _MOVED.format(u="u.", d="d.") + f" FROM {unnest(_MOVE_COLUMNS)} "
    "WHERE d.id = u.id AND d.status = u.before",
    columns=_MOVE_COLUMNS,
)
_END = Statement(
    "UPDATE deliveries SET status = :status, reason = coalesce(CAST(:reason AS text), reason), "
    "message = coalesce(CAST(:message AS text), message), finished_at = :now "
    "WHERE id IN LIST(:ids, text) AND status = 'pending'"
)


async def insert_event(tx: Transaction, event: Event) -> None:
    """Stores an event with its frozen payload and notice."""
    await tx.run(
        _INSERT_EVENT,
        id=str(event.id),
        organization_id=event.organization_id,
        name=event.name.value,
        run_id=event.run_id,
        project_id=event.project_id,
        occurred_at=event.occurred_at,
        payload=event.payload.decode(),
        notice=event.notice,
    )


async def insert_deliveries(tx: Transaction, event: Event, new: Sequence[tuple[UUID, int | None, ChannelKind]]) -> None:
    """Adds deliveries of ``event`` to the log, each as its id, channel (None: an unsaved form) and kind."""
    of_event = {
        "organization_id": event.organization_id,
        "project_id": event.project_id,
        "event_id": str(event.id),
        "event": event.name.value,
        "run_id": event.run_id,
        "created_at": tx.now,
    }
    rows = [{**of_event, "id": str(id_), "channel_id": channel, "kind": kind} for id_, channel, kind in new]
    await tx.run_many(_INSERT, rows)


@dataclass(frozen=True)
class LogEntry:
    """The result of an attempt; its delivery had ended as ``before`` (None: it hadn't)."""

    delivery_id: str
    before: FinalStatus | None
    final: FinalStatus | None
    attempt: Attempt
    finished_at: Micros | None


async def move_deliveries(tx: Transaction, entries: Sequence[LogEntry]) -> None:
    """Updates the log by the results of attempts; skips deliveries whose status is no longer ``before``."""
    for entry in entries:
        assert entry.final is entry.before or entry.final in MOVES[entry.before], "an illegal move of a delivery"
    await tx.run_many(_MOVE, [_move_row(entry) for entry in entries])


@dataclass(frozen=True)
class Ending:
    """An end without an attempt. Without ``reason`` or ``message``, the log keeps its own."""

    status: FinalStatus
    at: Micros
    message: str | None = None
    reason: Reason | None = None


async def end_deliveries(tx: Transaction, ids: Collection[str], ending: Ending) -> None:
    """Ends those deliveries that haven't ended yet."""
    reason = None if ending.reason is None else ending.reason.value
    await tx.run(_END, ids=ids, status=ending.status.value, reason=reason, message=ending.message, now=ending.at)


async def get_delivery(tx: Transaction, organization_id: int, delivery_id: UUID) -> Delivery | None:
    """Returns the delivery, if it is the organization's."""
    row = await tx.first(_READ, id=str(delivery_id), organization_id=organization_id)
    return None if row is None else (await as_deliveries(tx, [row]))[0]


async def lock_log(tx: Transaction, organization_id: int, delivery_id: UUID) -> Row | None:
    """Locks the delivery's log, if it is the organization's; returns its row for :func:`as_deliveries`."""
    return await tx.first(_LOCK, id=str(delivery_id), organization_id=organization_id)


async def as_deliveries(tx: Transaction, rows: Sequence[Row]) -> list[Delivery]:
    """Reads rows of :data:`COLUMNS`; deliveries that a sweep is about to cancel read as cancelled."""
    keys = sorted({row["channel_key"] for row in rows if _has_due_time(row) and row["channel_key"] > 0})
    channels: dict[int, Row] = {}
    if keys:
        channels = {row["id"]: row for row in await tx.all(_CHANNELS_OF, ids=keys)}
    return [_delivery(row, channels.get(row["channel_key"])) for row in rows]


def _has_due_time(row: Row) -> bool:
    return row["shown"] == DeliveryStatus.PENDING.value and row["after"] is None and row["swept"] is None


def _delivery(row: Row, channel: Row | None) -> Delivery:
    due: Micros | None = None
    if _has_due_time(row) and not (channel is not None and channel["paused"]):
        due = max(row["due_at"], 0 if channel is None else channel["throttled_until"])
    shown, message, finished_at = row["shown"], row["message"], row["finished_at"]
    if row["swept"] is not None and row["status"] == DeliveryStatus.PENDING.value:
        shown, message, finished_at = DeliveryStatus.CANCELLED.value, row["swept"], row["swept_at"]
    elif row["swept"] is not None:
        shown = row["status"]
    return read_row(
        Delivery, row, status=DeliveryStatus(shown), message=message, next_attempt_at=due, finished_at=finished_at
    )


def _move_row(entry: LogEntry) -> Mapping[str, Any]:
    return {
        "id": entry.delivery_id,
        "before": (entry.before or DeliveryStatus.PENDING).value,
        "status": (entry.final or DeliveryStatus.PENDING).value,
        "attempt_count": entry.attempt.number,
        "reason": entry.attempt.reason.value,
        "message": entry.attempt.message,
        "finished_at": entry.finished_at,
    }


def read_final(status: str) -> FinalStatus | None:
    """Reads ``deliveries.status``; None if the delivery hasn't ended."""
    return None if status == DeliveryStatus.PENDING.value else FinalStatus(status)
