"""Channels: add, read, change, delete, and try with a Test Hook."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response

from loadbell.api import answers, bodies
from loadbell.api.deliveries import read_delivery
from loadbell.api.routes import route
from loadbell.domain.channels import Subscription
from loadbell.domain.deliveries import ENDED
from loadbell.domain.ids import rfc3339
from loadbell.domain.orgs import Principal
from loadbell.entry.paging import PageQuery
from loadbell.entry.polling import wait_for_test
from loadbell.entry.rate_limits import RateLimit
from loadbell.entry.requests import ApiRequest, json_response
from loadbell.notify import channels, deliveries
from loadbell.store.unit_of_work import UnitOfWork

_TESTED = {200: answers.DeliveryWithAttempts, 202: answers.DeliveryWithAttempts}


@route("POST", "/organizations/{organization_id}/channels", "Add a channel", status=201, refusals=(404,))
async def create_channel(
    unit: UnitOfWork[Principal], organization_id: int, body: bodies.NewChannelBody
) -> answers.CreatedChannel:
    """Adds a channel. A WebHook's signing secret is only in this response."""
    channel, secret = await channels.create_channel(
        unit,
        organization_id,
        kind=body.kind,
        name=body.name,
        settings=body.settings,
        subscription=Subscription() if body.subscription is None else body.subscription.subscription(),
        enabled=body.enabled is not False,
    )
    return answers.created_channel(channel, unit.principal, secret, unit.now)


@route("GET", "/organizations/{organization_id}/channels", "List channels", refusals=(404,))
async def list_channels(unit: UnitOfWork[Principal], organization_id: int, query: PageQuery) -> answers.ChannelPage:
    """The organization's channels, newest first."""
    listed = await channels.list_channels(unit, organization_id, before=query.before_id(), limit=query.one_more)
    return answers.page(
        answers.ChannelPage,
        listed,
        query.limit,
        lambda channel: answers.channel(channel, unit.principal, unit.now),
        lambda channel: channel.id,
    )


@route("GET", "/channels/{channel_id}", "Read a channel", refusals=(404,))
async def get_channel(unit: UnitOfWork[Principal], channel_id: int) -> answers.Channel:
    """One channel, with its secrets masked."""
    return answers.channel(await channels.get_channel(unit, channel_id), unit.principal, unit.now)


@route("PATCH", "/channels/{channel_id}", "Change a channel", refusals=(404,))
async def update_channel(
    unit: UnitOfWork[Principal], channel_id: int, body: bodies.ChannelChangeBody
) -> answers.ChangedChannel:
    """Changes the given fields. Omitted settings stay unchanged; a masked value sent back is refused.

    When scheme, host or port of the URL change, every other secret setting has to be sent, too, and a WebHook gets a
    new signing secret, which is in this answer and in no other; the former ones end.
    """
    channel, secret = await channels.update_channel(
        unit,
        channel_id,
        name=body.name,
        settings=body.settings,
        subscription=None if body.subscription is None else body.subscription.subscription(),
        enabled=body.enabled,
    )
    return answers.changed_channel(channel, unit.principal, secret, unit.now)


@route("DELETE", "/channels/{channel_id}", "Delete a channel", refusals=(404,))
async def delete_channel(unit: UnitOfWork[Principal], channel_id: int) -> None:
    """Deletes the channel. Pending deliveries are cancelled; its log stays in the organization's."""
    await channels.delete_channel(unit, channel_id)


@route("POST", "/channels/{channel_id}/test", "Test a channel", refusals=(404, 429), answers=_TESTED)
async def test_channel(request: ApiRequest, channel_id: int) -> Response[bytes]:
    """Sends a test.notification_channel through the channel, once, even if it is paused, and waits for the result."""
    return await _wait_for_test(request, await request.write_once(_test_saved, request.context.test_hooks, channel_id))


@route(
    "POST",
    "/organizations/{organization_id}/channels/test",
    "Test unsaved settings",
    refusals=(404, 429),
    answers=_TESTED,
)
async def test_form(request: ApiRequest, organization_id: int, body: bodies.FormBody) -> Response[bytes]:
    """Sends a test.notification_channel with these settings, once, and waits for the result."""
    started = await request.write_once(_test_form, request.context.test_hooks, organization_id, body)
    return await _wait_for_test(request, started)


@route("POST", "/channels/{channel_id}/rotate-secret", "Rotate a signing secret", refusals=(404,))
async def rotate_secret(
    unit: UnitOfWork[Principal], channel_id: int, body: bodies.RotationBody
) -> answers.RotatedSecret:
    """Creates a new signing secret, shown only once. The previous ones keep signing too until the overlap ends."""
    overlap = channels.DEFAULT_OVERLAP if body.overlap is None else body.overlap
    secret, until = await channels.rotate_secret(unit, channel_id, overlap)
    return answers.RotatedSecret(secret, rfc3339(until))


@route("POST", "/channels/{channel_id}/pause", "Pause a channel", refusals=(404,))
async def pause_channel(unit: UnitOfWork[Principal], channel_id: int) -> answers.Channel:
    """Pauses the channel: only Test Hooks are sent, and notifications are queued. No effect on a paused channel."""
    return answers.channel(await channels.pause(unit, channel_id), unit.principal, unit.now)


@route("POST", "/channels/{channel_id}/resume", "Resume a channel", refusals=(404,))
async def resume_channel(unit: UnitOfWork[Principal], channel_id: int, body: bodies.ResumeBody) -> answers.Channel:
    """Resumes the channel, and delivers or drops queued notifications. No effect unless the channel is paused."""
    return answers.channel(await channels.resume(unit, channel_id, body.held), unit.principal, unit.now)


async def _wait_for_test(request: ApiRequest, started: msgspec.Raw) -> Response[bytes]:
    """200 with the delivery once it has ended, whatever the receiver said; 202 with it as it is when that takes longer.

    ``started``: the id of the delivery, as JSON.
    """
    delivery_id = msgspec.json.decode(started, type=UUID)
    delivery = await wait_for_test(lambda: request.read(read_delivery, delivery_id), request.context.send_timeout)
    return json_response(HTTPStatus.OK if delivery.status in ENDED else HTTPStatus.ACCEPTED, delivery)


async def _test_saved(unit: UnitOfWork[Principal], limit: RateLimit, channel_id: int) -> UUID:
    delivery_id = await deliveries.test_saved(unit, channel_id)
    limit.take(unit.principal.organization_id, unit.now)  # here, so that a request repeated with its key counts once
    return delivery_id


async def _test_form(
    unit: UnitOfWork[Principal], limit: RateLimit, organization_id: int, body: bodies.FormBody
) -> UUID:
    delivery_id = await deliveries.test_form(unit, organization_id, kind=body.kind, settings=body.settings)
    limit.take(unit.principal.organization_id, unit.now)
    return delivery_id


HANDLERS: list[Any] = [
    create_channel,
    list_channels,
    get_channel,
    update_channel,
    delete_channel,
    test_channel,
    test_form,
    rotate_secret,
    pause_channel,
    resume_channel,
]
