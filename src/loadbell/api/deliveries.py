"""Deliveries: the log, one with its attempts, redeliver, cancel."""

from http import HTTPStatus
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from msgspec import Struct

from loadbell.api import answers, bodies
from loadbell.api.operations import Operation, described
from loadbell.domain.orgs import Principal
from loadbell.entry.paging import cursor_after
from loadbell.entry.requests import ApiRequest, answer
from loadbell.notify import actions
from loadbell.store.unit_of_work import UnitOfWork

_NOUN = "delivery"
_LOG: dict[int, type[Struct] | None] = {200: answers.DeliveryPage}


@get(
    "/channels/{channel_id:str}/deliveries",
    **described(Operation("List a channel's deliveries", _LOG, query=bodies.LogQuery, refusals=(404,))),
)
async def list_channel_deliveries(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """What the channel was told, and what came of it, newest first.

    One request looks at a limited number of deliveries: a page may hold few, or none, and have a `next_cursor`.
    """
    return await _log(call, channel=True)


@get(
    "/organizations/{organization_id:str}/deliveries",
    **described(Operation("List an organization's deliveries", _LOG, query=bodies.LogQuery, refusals=(404,))),
)
async def list_organization_deliveries(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """The whole log of the organization, that of deleted channels too, newest first.

    One request looks at a limited number of deliveries: a page may hold few, or none, and have a `next_cursor`.
    """
    return await _log(call, channel=False)


@get(
    "/deliveries/{delivery_id:str}",
    **described(Operation("Read a delivery", {200: answers.DeliveryWithAttempts}, refusals=(404,))),
)
async def get_delivery(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """One delivery with every attempt. Who is not an owner or admin sees status and reason of each, and no more."""

    async def work(unit: UnitOfWork[Principal]) -> answers.DeliveryWithAttempts:
        return await _whole(unit, call)

    return answer(HTTPStatus.OK, await call.read(work))


@post(
    "/deliveries/{delivery_id:str}/redeliver",
    **described(Operation("Redeliver", {202: answers.DeliveryWithAttempts}, body=bodies.Nothing, refusals=(404, 409))),
)
async def redeliver(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """Makes one manual attempt of the same delivery, with the same id. A delivered one stays delivered."""
    await call.body(bodies.Nothing)

    async def work(unit: UnitOfWork[Principal]) -> answers.DeliveryWithAttempts:
        await actions.redeliver(unit, call.uuid("delivery_id", _NOUN))
        return await _whole(unit, call)

    return answer(HTTPStatus.ACCEPTED, await call.write_once(work))


@post(
    "/deliveries/{delivery_id:str}/cancel",
    **described(
        Operation("Cancel a delivery", {200: answers.DeliveryWithAttempts}, body=bodies.Nothing, refusals=(404, 409))
    ),
)
async def cancel(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """Calls off what is pending: no further attempt is made."""
    await call.body(bodies.Nothing)

    async def work(unit: UnitOfWork[Principal]) -> answers.DeliveryWithAttempts:
        await actions.cancel(unit, call.uuid("delivery_id", _NOUN))
        return await _whole(unit, call)

    return answer(HTTPStatus.OK, await call.write_once(work))


async def _log(call: ApiRequest, *, channel: bool) -> Response[bytes]:
    async def work(unit: UnitOfWork[Principal]) -> answers.DeliveryPage:
        wanted = call.query(bodies.LogQuery)
        since, until = wanted.span()
        found, following = await actions.list_log(
            unit,
            organization_id=None if channel else call.integer_id("organization_id", "organization"),
            channel_id=call.integer_id("channel_id", "channel") if channel else None,
            status=wanted.status,
            event=wanted.event,
            since=since,
            until=until,
            before=wanted.before_uuid(),
            limit=wanted.limit,
        )
        return answers.DeliveryPage([answers.delivery(one) for one in found], cursor_after(following))

    return answer(HTTPStatus.OK, await call.read(work))


async def _whole(unit: UnitOfWork[Principal], call: ApiRequest) -> answers.DeliveryWithAttempts:
    delivery, attempts = await actions.get_delivery(unit, call.uuid("delivery_id", _NOUN))
    return answers.delivery_with_attempts(delivery, attempts, unit.principal)


HANDLERS: list[Any] = [list_channel_deliveries, list_organization_deliveries, get_delivery, redeliver, cancel]
