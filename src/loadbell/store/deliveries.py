"""Events with their deliveries, as people publish, read and act on them; ``leases.py`` has the worker's part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Attempt, Cause, Delivery, DeliveryStatus, Exchange, Reason
from loadbell.domain.events import Event, EventName
from loadbell.domain.ids import Micros
from loadbell.store.calling_off import AS_SWEPT, call_off_in_line
from loadbell.store.db import Row, Transaction
from loadbell.store.schema import attempts, deliveries, events
from loadbell.store.statements import Statement, insert_into

_INSERT_EVENT = Statement(
    insert_into(events, "id", "organization_id", "name", "run_id", "project_id", "occurred_at", "payload", "notice")
)
_GENERATION = "coalesce((SELECT c.generation FROM channels c WHERE c.id = {}), 0)"
OF_CHANNEL_NOW = _GENERATION.format("deliveries.channel_id")
"""The generation of a delivery's channel at present: what is due from now on is not meant by a sweep that goes on."""

_INSERT = Statement(
    insert_into(
        deliveries,
        *("id", "organization_id", "project_id", "channel_id", "kind", "event_id", "event", "run_id", "cause"),
        *("waits_for", "lane", "form", "next_attempt_at", "created_at"),
        status=DeliveryStatus.PENDING.value,
        step=0,
        attempts_begun=0,
        answered=False,
        retrying=0,
        generation=sa.text(_GENERATION.format(":channel_id")),
    )
)
_UNANSWERED = Statement(
    # FOR UPDATE: an answer that is being recorded now is waited for, so that nothing waits for it afterwards.
    sa.select(deliveries.c.id, deliveries.c.channel_id)
    .where(
        deliveries.c.run_id == sa.bindparam("run_id"),
        deliveries.c.status.in_(sa.text("'pending', 'sending'")),
        deliveries.c.answered.is_(False),
        deliveries.c.settled.is_(None),
    )
    .order_by(deliveries.c.id)
    .with_for_update()
)
_BRING_FORWARD = Statement(
    "UPDATE deliveries SET next_attempt_at = :now "
    "WHERE id = :id AND status = 'pending' AND next_attempt_at > :now AND reason <> 'rate_limited'"
)
_AS_IT_READS = sa.select(deliveries, sa.literal_column(AS_SWEPT))
_GET = Statement(
    _AS_IT_READS.where(
        deliveries.c.id == sa.bindparam("id"), deliveries.c.organization_id == sa.bindparam("organization_id")
    )
)
_LOCK = Statement(
    _AS_IT_READS.where(
        deliveries.c.organization_id == sa.bindparam("organization_id"),
        (deliveries.c.id == sa.bindparam("id"))
        | (
            deliveries.c.id
            == sa.select(deliveries.c.waits_for).where(deliveries.c.id == sa.bindparam("id")).scalar_subquery()
        ),
    )
    .order_by(deliveries.c.id)
    .with_for_update()
)
_CHANNELS = "SELECT id, paused_at IS NOT NULL AS paused, throttled_until FROM channels WHERE id {}"
_CHANNELS_OF = Statement(
    _CHANNELS.format("IN (SELECT value FROM json_each(:ids))"), _CHANNELS.format("= ANY(CAST(:ids AS bigint[]))")
)
_ATTEMPTS = Statement(
    sa.select(attempts).where(attempts.c.delivery_id == sa.bindparam("id")).order_by(attempts.c.number)
)
_REDELIVER = Statement(
    # A Test Hook that was not made yet stays one: it is not retried.
    "UPDATE deliveries SET "  # noqa: S608 - a text of this module
    "cause = CASE WHEN status = 'pending' AND cause = 'test' THEN cause ELSE 'manual' END, "
    "status = 'pending', settled = :settled, "
    "resume_at = CASE WHEN status = 'pending' AND attempts_begun > 0 THEN coalesce(resume_at, next_attempt_at) END, "
    "next_attempt_at = :now, "
    "waits_for = NULL, retrying = 0, replay_id = NULL, generation = " + OF_CHANNEL_NOW + " "
    "WHERE id = :id AND status = :expected"
)
_CALL_OFF = Statement(
    "UPDATE deliveries SET status = :status, settled = NULL, next_attempt_at = NULL, waits_for = NULL, form = NULL, "
    "finished_at = coalesce(finished_at, :now) WHERE id = :id AND status = 'pending'"
)
_WAITED_FOR = Statement("SELECT waits_for FROM deliveries WHERE id = :id")
_LET_OTHERS_WAIT_INSTEAD = Statement(
    # With the end of its run the delivery leaves the line, and what waits for that end waits instead, too.
    "UPDATE deliveries SET waits_for = :instead "
    "WHERE coalesce(run_id <> (SELECT run_id FROM deliveries WHERE id = :id), TRUE) "
    "AND (waits_for = :id OR waits_for IN "
    "(SELECT e.id FROM deliveries e JOIN deliveries d ON d.run_id = e.run_id WHERE e.waits_for = :id AND d.id = :id))"
)
_RELEASE = Statement("UPDATE deliveries SET waits_for = NULL WHERE waits_for = :id")


_LANE_BITS = 2**62 - 1  # the random bits at the end of a delivery's id


async def insert_event(tx: Transaction, event: Event) -> None:
    """Keeps a fact with its frozen payload and notice."""
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


@dataclass(frozen=True)
class NewDelivery:
    """A delivery to add: due at once, or as soon as the one it waits for lets it.

    ``form`` holds the settings of an unsaved Test Hook; they are sealed, and forgotten when it is done.
    """

    id: UUID
    channel_id: int | None
    kind: ChannelKind
    cause: Cause = Cause.SCHEDULED
    waits_for: str | None = None
    form: dict[str, Any] | None = None


async def insert_deliveries(tx: Transaction, event: Event, new: Sequence[NewDelivery]) -> None:
    """Adds deliveries of ``event``.

    A Test Hook runs in a lane of its own, so that neither a pause nor a busy channel nor another test holds it up.
    """
    of_event = {
        "organization_id": event.organization_id,
        "project_id": event.project_id,
        "event_id": str(event.id),
        "event": event.name.value,
        "run_id": event.run_id,
        "next_attempt_at": tx.now,
        "created_at": tx.now,
    }
    await tx.run_many(
        _INSERT,
        [
            {
                **of_event,
                "id": str(item.id),
                "channel_id": item.channel_id,
                "kind": item.kind.value,
                "cause": item.cause.value,
                "waits_for": item.waits_for,
                "lane": _own_lane(item.id) if item.cause is Cause.TEST or item.channel_id is None else item.channel_id,
                "form": None if item.form is None else tx.seal(msgspec.json.encode(item.form).decode()),
            }
            for item in new
        ],
    )


def _own_lane(delivery_id: UUID) -> int:
    return -1 - (delivery_id.int & _LANE_BITS)


async def lock_unanswered(tx: Transaction, run_id: int) -> dict[int, str]:
    """For each channel, its latest delivery of this run that has not been answered yet."""
    return {row["channel_id"]: row["id"] for row in await tx.all(_UNANSWERED, run_id=run_id)}


async def bring_forward(tx: Transaction, delivery_ids: Sequence[str]) -> None:
    """Lets those of the deliveries that wait for a retry try at once, unless the receiver asked for the wait."""
    await tx.run_many(_BRING_FORWARD, [{"id": delivery_id, "now": tx.now} for delivery_id in delivery_ids])


async def get_delivery(tx: Transaction, organization_id: int, delivery_id: UUID) -> Delivery | None:
    """The delivery, if it is the organization's."""
    row = await tx.first(_GET, id=str(delivery_id), organization_id=organization_id)
    return None if row is None else (await as_deliveries(tx, [row]))[0]


async def lock_delivery(tx: Transaction, organization_id: int, delivery_id: UUID) -> Delivery | None:
    """The delivery, if it is the organization's; nobody else moves it until this transaction ends.

    Nor the one that it waits for: an answer that is being recorded for that one releases those who wait for it then.
    """
    where = {"id": str(delivery_id), "organization_id": organization_id}
    rows = {row["id"]: row for row in await tx.all(_LOCK, **where)}
    row = rows.get(str(delivery_id))
    if row is not None and row["waits_for"] not in {None, *rows}:  # it waits for another one since the look began
        await tx.all(_LOCK, **where)
    if row is not None and row["swept"] is not None:  # the sweep has not come to it yet
        await call_off_in_line(tx, [row["id"]], row["swept"], row["swept_at"])
        return await get_delivery(tx, organization_id, delivery_id)
    return None if row is None else (await as_deliveries(tx, [row]))[0]


async def list_attempts(tx: Transaction, delivery_id: UUID) -> list[Attempt]:
    """Every attempt of the delivery, oldest first."""
    return [
        Attempt(
            number=row["number"],
            cause=Cause(row["cause"]),
            started_at=row["started_at"],
            duration=row["duration"],
            reason=Reason(row["reason"]),
            message=row["message"],
            exchange=None if row["exchange"] is None else msgspec.json.decode(row["exchange"], type=Exchange),
        )
        for row in await tx.all(_ATTEMPTS, id=str(delivery_id))
    ]


async def redeliver(tx: Transaction, delivery: Delivery) -> None:
    """Makes ``delivery``, which this transaction has locked and which is not being sent, due for one manual attempt."""
    settled = delivery.settled if delivery.status is DeliveryStatus.PENDING else delivery.status
    await _leave_line(tx, delivery.id, release=False)
    await tx.run(
        _REDELIVER,
        id=str(delivery.id),
        settled=None if settled is None else settled.value,
        now=tx.now,
        expected=delivery.status.value,
    )


async def call_off(tx: Transaction, delivery: Delivery) -> None:
    """Cancels ``delivery``, which this transaction has locked and which is pending; a Redeliver returns to its end."""
    status = delivery.settled or DeliveryStatus.CANCELLED
    await _leave_line(tx, delivery.id, release=True)
    await tx.run(_CALL_OFF, id=str(delivery.id), status=status.value, now=tx.now)


async def _leave_line(tx: Transaction, delivery_id: UUID, *, release: bool) -> None:
    """Lets those who wait for this locked delivery wait for the one that it waits for itself.

    If it waits for none they go on waiting for it, unless it is to ``release`` them. The end of its own run never waits
    for another run's delivery instead: it goes on waiting, or is free.
    """
    row = await tx.first(_WAITED_FOR, id=str(delivery_id))
    if row is not None and row["waits_for"] is not None:
        await tx.run(_LET_OTHERS_WAIT_INSTEAD, id=str(delivery_id), instead=row["waits_for"])
    if release:
        await tx.run(_RELEASE, id=str(delivery_id))


async def as_deliveries(tx: Transaction, rows: Sequence[Row]) -> list[Delivery]:
    """The deliveries that rows of all columns and ``AS_SWEPT`` hold; what a sweep is about to cancel is cancelled."""
    lanes = sorted({row["lane"] for row in rows if _has_due_time(row) and row["lane"] > 0})
    channels: dict[int, Row] = {}
    if lanes:
        ids = lanes if tx.dialect == "postgresql" else msgspec.json.encode(lanes).decode()
        channels = {row["id"]: row for row in await tx.all(_CHANNELS_OF, ids=ids)}
    return [_delivery(row, channels.get(row["lane"])) for row in rows]


def _has_due_time(row: Row) -> bool:
    return row["status"] == DeliveryStatus.PENDING.value and row["waits_for"] is None and row["swept"] is None


def _delivery(row: Row, channel: Row | None) -> Delivery:
    due: Micros | None = None
    if _has_due_time(row) and not (channel is not None and channel["paused"]):
        due = max(row["next_attempt_at"], 0 if channel is None else channel["throttled_until"])
    settled = None if row["settled"] is None else DeliveryStatus(row["settled"])
    swept = row["swept"] is not None
    return Delivery(
        id=UUID(row["id"]),
        organization_id=row["organization_id"],
        project_id=row["project_id"],
        channel_id=row["channel_id"],
        kind=ChannelKind(row["kind"]),
        event_id=UUID(row["event_id"]),
        event=EventName(row["event"]),
        run_id=row["run_id"],
        status=(settled or DeliveryStatus.CANCELLED) if swept else DeliveryStatus(row["status"]),
        cause=Cause(row["cause"]),
        settled=None if swept else settled,
        step=row["step"],
        attempts_begun=row["attempts_begun"],
        reason=None if row["reason"] is None else Reason(row["reason"]),
        message=row["swept"] if swept and settled is None else row["message"],
        next_attempt_at=due,
        created_at=row["created_at"],
        finished_at=row["swept_at"] if swept and row["finished_at"] is None else row["finished_at"],
    )
