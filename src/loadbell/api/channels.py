"""Channels: add, read, change, delete, and try with a Test Hook."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from msgspec import Struct

from loadbell.api import answers, bodies
from loadbell.api.operations import Operation, described
from loadbell.api.waiting import answer_of_test
from loadbell.domain.channels import Subscription
from loadbell.domain.ids import Micros, rfc3339
from loadbell.domain.orgs import Principal
from loadbell.entry.door import Call, answer
from loadbell.entry.paging import PageQuery
from loadbell.notify import actions, channels, resuming, rotation
from loadbell.store.db import Transaction

_NOUN = "channel"
_TESTED: dict[int, type[Struct] | None] = {200: answers.DeliveryWithAttempts, 202: answers.DeliveryWithAttempts}


@post(
    "/organizations/{organization_id:str}/channels",
    **described(Operation("Add a channel", {201: answers.CreatedChannel}, body=bodies.NewChannelBody, refusals=(404,))),
)
async def create_channel(call: NamedDependency[Call]) -> Response[bytes]:
    """Adds a channel. A WebHook's signing secret is in this answer and in no other."""
    said = await call.body(bodies.NewChannelBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.CreatedChannel:
        made, secret = await channels.create_channel(
            tx,
            principal,
            call.integer_id("organization_id", "organization"),
            kind=said.kind,
            name=said.name,
            settings=said.settings,
            subscription=Subscription() if said.subscription is None else said.subscription.subscription(),
            enabled=said.enabled is not False,
            policy=call.door.policy,
            quotas=call.door.quotas,
            now=now,
            entropy=call.door.entropy,
        )
        return answers.created_channel(made, principal, secret, now)

    return answer(HTTPStatus.CREATED, await call.write_once(work))


@get(
    "/organizations/{organization_id:str}/channels",
    **described(Operation("List channels", {200: answers.ChannelPage}, query=PageQuery, refusals=(404,))),
)
async def list_channels(call: NamedDependency[Call]) -> Response[bytes]:
    """The organization's channels, newest first."""

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.ChannelPage:
        organization_id, wanted = call.integer_id("organization_id", "organization"), call.query(PageQuery)
        found = await channels.list_channels(
            tx, principal, organization_id, before=wanted.before_id(), limit=wanted.one_more
        )
        return answers.page(
            answers.ChannelPage,
            found,
            wanted.limit,
            lambda channel: answers.channel(channel, principal, now),
            lambda channel: channel.id,
        )

    return answer(HTTPStatus.OK, await call.read(work))


@get("/channels/{channel_id:str}", **described(Operation("Read a channel", {200: answers.Channel}, refusals=(404,))))
async def get_channel(call: NamedDependency[Call]) -> Response[bytes]:
    """One channel as it stands, its secrets masked."""

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.Channel:
        channel = await channels.get_channel(tx, principal, call.integer_id("channel_id", _NOUN))
        return answers.channel(channel, principal, now)

    return answer(HTTPStatus.OK, await call.read(work))


@patch(
    "/channels/{channel_id:str}",
    **described(
        Operation("Change a channel", {200: answers.ChangedChannel}, body=bodies.ChannelChangeBody, refusals=(404,))
    ),
)
async def update_channel(call: NamedDependency[Call]) -> Response[bytes]:
    """Changes what is given. A setting that is left out stays; a masked value that is sent back is refused.

    When scheme, host or port of the URL change, every other secret setting has to be sent, too, and a WebHook gets a
    new signing secret, which is in this answer and in no other; the former ones end.
    """
    said = await call.body(bodies.ChannelChangeBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.ChangedChannel:
        channel, secret = await channels.update_channel(
            tx,
            principal,
            call.integer_id("channel_id", _NOUN),
            name=said.name,
            settings=said.settings,
            subscription=None if said.subscription is None else said.subscription.subscription(),
            enabled=said.enabled,
            policy=call.door.policy,
            now=now,
            entropy=call.door.entropy,
        )
        return answers.changed_channel(channel, principal, secret, now)

    return answer(HTTPStatus.OK, await call.write(work))


@delete(
    "/channels/{channel_id:str}",
    status_code=HTTPStatus.NO_CONTENT,
    **described(Operation("Delete a channel", {204: None}, refusals=(404,))),
)
async def delete_channel(call: NamedDependency[Call]) -> None:
    """Removes the channel. What was pending is cancelled; its log stays in the organization's."""

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await channels.delete_channel(tx, principal, call.integer_id("channel_id", _NOUN), now=now)

    await call.write(work)


@post(
    "/channels/{channel_id:str}/test",
    **described(Operation("Test a channel", _TESTED, body=bodies.Nothing, refusals=(404, 429))),
)
async def test_channel(call: NamedDependency[Call]) -> Response[bytes]:
    """Sends a test.notification_channel through the channel, once, paused or not, and waits for what came of it."""
    await call.body(bodies.Nothing)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> UUID:
        channel_id = call.integer_id("channel_id", _NOUN)
        delivery_id = await actions.test_saved(tx, principal, channel_id, now=now, entropy=call.door.entropy)
        call.door.test_hooks.take(principal.organization_id, now)
        return delivery_id

    return await answer_of_test(call, await call.write_once(work))


@post(
    "/organizations/{organization_id:str}/channels/test",
    **described(Operation("Test settings that are not saved", _TESTED, body=bodies.FormBody, refusals=(404, 429))),
)
async def test_form(call: NamedDependency[Call]) -> Response[bytes]:
    """Sends a test.notification_channel with these settings, once, and waits for what came of it."""
    said = await call.body(bodies.FormBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> UUID:
        delivery_id = await actions.test_form(
            tx,
            principal,
            call.integer_id("organization_id", "organization"),
            kind=said.kind,
            settings=said.settings,
            policy=call.door.policy,
            now=now,
            entropy=call.door.entropy,
        )
        call.door.test_hooks.take(principal.organization_id, now)
        return delivery_id

    return await answer_of_test(call, await call.write_once(work))


@post(
    "/channels/{channel_id:str}/rotate-secret",
    **described(
        Operation("Rotate a signing secret", {200: answers.RotatedSecret}, body=bodies.RotationBody, refusals=(404,))
    ),
)
async def rotate_secret(call: NamedDependency[Call]) -> Response[bytes]:
    """Makes a new signing secret, shown this once. The former ones sign beside it until the overlap is over."""
    said = await call.body(bodies.RotationBody)
    overlap = rotation.DEFAULT_OVERLAP if said.overlap is None else said.overlap

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.RotatedSecret:
        channel_id = call.integer_id("channel_id", _NOUN)
        secret, until = await rotation.rotate_secret(
            tx, principal, channel_id, overlap, now=now, entropy=call.door.entropy
        )
        return answers.RotatedSecret(secret, rfc3339(until))

    return answer(HTTPStatus.OK, await call.write_once(work))


@post(
    "/channels/{channel_id:str}/pause",
    **described(Operation("Pause a channel", {200: answers.Channel}, body=bodies.Nothing, refusals=(404,))),
)
async def pause_channel(call: NamedDependency[Call]) -> Response[bytes]:
    """Sends nothing but Test Hooks from now on, and goes on collecting. A paused channel stays as it is."""
    await call.body(bodies.Nothing)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.Channel:
        channel = await resuming.pause(tx, principal, call.integer_id("channel_id", _NOUN), now=now)
        return answers.channel(channel, principal, now)

    return answer(HTTPStatus.OK, await call.write_once(work))


@post(
    "/channels/{channel_id:str}/resume",
    **described(Operation("Resume a channel", {200: answers.Channel}, body=bodies.ResumeBody, refusals=(404,))),
)
async def resume_channel(call: NamedDependency[Call]) -> Response[bytes]:
    """Sends again, and delivers or drops what was held. A channel that is not paused stays as it is."""
    said = await call.body(bodies.ResumeBody)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> answers.Channel:
        channel = await resuming.resume(tx, principal, call.integer_id("channel_id", _NOUN), said.held, now=now)
        return answers.channel(channel, principal, now)

    return answer(HTTPStatus.OK, await call.write_once(work))


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
