"""
Lists of deliveries, newest first. One query scans a limited number of them, however many there are.

A delivery's id contains its creation time, so a span of time is a span of ids. As in ``run_lists.py``, filters without
an index are applied to a limited window, and the next query continues where this one ended.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Literal
from uuid import UUID

from loadbell.domain.deliveries import Delivery, DeliveryStatus
from loadbell.domain.events import EventName
from loadbell.domain.ids import Micros, first_uuid
from loadbell.store.deliveries import COLUMNS, STATUS, WITH_WORK, as_deliveries
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement

MAX_SCANNED = 20_000

_FIRST, _LAST = str(UUID(int=0)), str(UUID(int=2**128 - 1))

_Way = Literal["organization", "channel", "run", "ended", "open"]
_FOUND_BY_INDEX: dict[_Way, str] = {
    "organization": "d.organization_id = :organization_id",
    # The plus makes the database use the index on channels.
    "channel": "d.channel_id = :channel_id AND +d.organization_id = :organization_id",
    "run": "d.run_id = :run_id AND +d.organization_id = :organization_id",
    # The partial index leaves out delivered ones, which are most; a query must exclude them, too, to use it.
    "ended": "d.organization_id = :organization_id AND d.status = :status AND d.status <> 'delivered'",
    # A delivery that is pending or sending is in the outbox, whatever its log says.
    "open": "o.organization_id = :organization_id",
}
_FILTERS = {
    "status": f"{STATUS} = :status",
    **{name: f"d.{name} = :{name}" for name in ("channel_id", "run_id", "event")},
}
_OPEN = "outbox o JOIN deliveries d ON d.id = o.delivery_id"
_SPAN = "{id} < :before AND {id} >= :after ORDER BY {id} DESC"

_LAST_OF_CHANNEL = Statement(
    # No window needed: it skips only Test Hooks, which people start one by one.
    f"SELECT {COLUMNS} FROM {WITH_WORK} WHERE d.channel_id = :channel_id AND +d.organization_id = :organization_id "
    "AND d.event <> 'test.notification_channel' ORDER BY d.id DESC LIMIT 1"
)


async def list_deliveries(  # noqa: PLR0913 - one argument for each filter
    tx: Transaction,
    organization_id: int,
    *,
    channel_id: int | None = None,
    run_id: int | None = None,
    status: DeliveryStatus | None = None,
    event: EventName | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
    before: UUID | None = None,
    limit: int,
) -> tuple[list[Delivery], UUID | None]:
    """Returns up to ``limit`` of the organization's matching deliveries, newest first, with ids below ``before``.

    ``since`` is inclusive, ``until`` exclusive. Also returns the ``before`` of the next query; None at the end. One
    query scans at most ``MAX_SCANNED`` deliveries, so it may return fewer than ``limit``, even none, before the end.
    """
    given = {
        "channel_id": channel_id,
        "run_id": run_id,
        "status": None if status is None else status.value,
        "event": None if event is None else event.value,
    }
    asked: dict[str, int | str] = {name: value for name, value in given.items() if value is not None}
    way = _way(asked)
    by_index = {f"{way}_id"} if way in {"channel", "run"} else set()
    filters = frozenset(asked) - by_index
    where: dict[str, Any] = {
        "organization_id": organization_id,
        "after": _FIRST if since is None else str(first_uuid(max(since, 0))),
        "before": min(
            _LAST if before is None else str(before), _LAST if until is None else str(first_uuid(max(until, 0)))
        ),
    }
    more = None
    few = way in {"ended", "open"} and filters == {"status"} and status is not DeliveryStatus.SENDING
    if filters and way != "run" and not few:
        look = {name: asked[name] for name in ("status", *by_index) if f":{name}" in _FOUND_BY_INDEX[way]}
        last = await tx.first(_window_end(way), **where, **look, passed=MAX_SCANNED - 1)
        if last is not None:
            where["after"] = more = last["id"]
    rows = await tx.all(_page(way, filters), **where, **asked, limit=limit + 1)
    deliveries = await as_deliveries(tx, rows)
    if len(deliveries) > limit:
        deliveries, more = deliveries[:limit], str(deliveries[limit - 1].id)
    still = [
        delivery for delivery in deliveries if status is None or delivery.status is status
    ]  # leaves out those that a sweep is about to cancel
    return still, None if more is None else UUID(more)


async def last_deliveries(tx: Transaction, organization_id: int, channel_ids: Collection[int]) -> dict[int, Delivery]:
    """Returns the newest delivery of each channel, Test Hooks aside; a channel may have none."""
    rows = [
        await tx.first(_LAST_OF_CHANNEL, organization_id=organization_id, channel_id=channel_id)
        for channel_id in channel_ids
    ]
    last = await as_deliveries(tx, [row for row in rows if row is not None])
    return {delivery.channel_id: delivery for delivery in last if delivery.channel_id is not None}


def _way(values: Mapping[str, int | str]) -> _Way:
    """Returns the most selective index for the filters in ``values``."""
    if "run_id" in values:
        return "run"
    if "channel_id" in values:
        return "channel"
    status = values.get("status", DeliveryStatus.DELIVERED)
    if status in {DeliveryStatus.PENDING, DeliveryStatus.SENDING}:
        return "open"
    return "organization" if status == DeliveryStatus.DELIVERED else "ended"


@cache
def _page(way: _Way, filters: frozenset[str]) -> Statement:
    conditions = " AND ".join([_FOUND_BY_INDEX[way], *(_FILTERS[name] for name in sorted(filters))])
    if way == "run":
        # A run has only a few deliveries: find them first, then sort.
        of_run = f"SELECT {COLUMNS} FROM {WITH_WORK} WHERE {conditions}"
        return Statement(
            f"WITH of_run AS MATERIALIZED ({of_run}) SELECT * FROM of_run WHERE {_SPAN.format(id='id')} LIMIT :limit"
        )
    tables, id_ = (_OPEN, "o.delivery_id") if way == "open" else (WITH_WORK, "d.id")
    return Statement(f"SELECT {COLUMNS} FROM {tables} WHERE {conditions} AND {_SPAN.format(id=id_)} LIMIT :limit")


@cache
def _window_end(way: _Way) -> Statement:
    """Returns the statement for the last id that one query scans, if there are more; it reads only an index."""
    tables, id_ = ("outbox o", "o.delivery_id") if way == "open" else ("deliveries d", "d.id")
    return Statement(
        f"SELECT {id_} AS id FROM {tables} WHERE {_FOUND_BY_INDEX[way]} AND {_SPAN.format(id=id_)} "
        "LIMIT 1 OFFSET :passed"
    )
