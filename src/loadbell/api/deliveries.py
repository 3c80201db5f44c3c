"""Deliveries: the log, one with its attempts, redeliver, cancel."""

from typing import Any
from uuid import UUID

from loadbell.api import answers, bodies
from loadbell.api.routes import route
from loadbell.domain.orgs import Principal
from loadbell.notify import deliveries
from loadbell.store.unit_of_work import UnitOfWork


@route("GET", "/channels/{channel_id}/deliveries", "List a channel's deliveries", refusals=(404,))
async def list_channel_deliveries(
    unit: UnitOfWork[Principal], channel_id: int, query: bodies.LogQuery
) -> answers.DeliveryPage:
    """The channel's deliveries with their results, newest first.

    One request looks at a limited number of deliveries: a page may hold few, or none, and have a `next_cursor`.
    """
    return await _list_log(unit, query, channel_id=channel_id)


@route("GET", "/organizations/{organization_id}/deliveries", "List an organization's deliveries", refusals=(404,))
async def list_organization_deliveries(
    unit: UnitOfWork[Principal], organization_id: int, query: bodies.LogQuery
) -> answers.DeliveryPage:
    """All deliveries of the organization, including deleted channels, newest first.

    One request looks at a limited number of deliveries: a page may hold few, or none, and have a `next_cursor`.
    """
    return await _list_log(unit, query, organization_id=organization_id)


@route("GET", "/deliveries/{delivery_id}", "Read a delivery", refusals=(404,))
async def get_delivery(unit: UnitOfWork[Principal], delivery_id: UUID) -> answers.DeliveryWithAttempts:
    """One delivery with all attempts. Members see only status and reason of each."""
    return await read_delivery(unit, delivery_id)


@route("POST", "/deliveries/{delivery_id}/redeliver", "Redeliver", status=202, refusals=(404, 409))
async def redeliver(unit: UnitOfWork[Principal], delivery_id: UUID) -> answers.DeliveryWithAttempts:
    """Makes one manual attempt of the same delivery, with the same id. A delivered delivery stays delivered."""
    await deliveries.redeliver(unit, delivery_id)
    return await read_delivery(unit, delivery_id)


@route("POST", "/deliveries/{delivery_id}/cancel", "Cancel a delivery", refusals=(404, 409))
async def cancel(unit: UnitOfWork[Principal], delivery_id: UUID) -> answers.DeliveryWithAttempts:
    """Cancels a pending delivery: no more attempts are made."""
    await deliveries.cancel(unit, delivery_id)
    return await read_delivery(unit, delivery_id)


async def read_delivery(unit: UnitOfWork[Principal], delivery_id: UUID) -> answers.DeliveryWithAttempts:
    """The delivery as the asker may see it."""
    delivery, attempts = await deliveries.get_delivery(unit, delivery_id)
    return answers.delivery_with_attempts(delivery, attempts, unit.principal)


async def _list_log(
    unit: UnitOfWork[Principal],
    query: bodies.LogQuery,
    *,
    organization_id: int | None = None,
    channel_id: int | None = None,
) -> answers.DeliveryPage:
    since, until = query.span()
    listed, following = await deliveries.list_log(
        unit,
        organization_id=organization_id,
        channel_id=channel_id,
        status=query.status,
        event=query.event,
        since=since,
        until=until,
        before=query.before_uuid(),
        limit=query.limit,
    )
    return answers.delivery_page(listed, following)


HANDLERS: list[Any] = [list_channel_deliveries, list_organization_deliveries, get_delivery, redeliver, cancel]
