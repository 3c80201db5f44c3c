"""The response types of REST v1, and how they are built from the domain's values."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from loadbell.channels.settings import masked_settings
from loadbell.domain import channels, deliveries, events, replays, runs
from loadbell.domain.ids import Micros, rfc3339
from loadbell.domain.orgs import Action, Principal
from loadbell.entry.paging import cursor_after, split_page

Item = TypeVar("Item")
PageT = TypeVar("PageT")
Source = TypeVar("Source")

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]


class Page(msgspec.Struct, Generic[Item]):
    """A page of a list, newest first. `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


class Threshold(msgspec.Struct):
    """A pass/fail criterion of the tool, whether it held, and its value if known.

    `unit`: what the value is in, if the tool said so. `measured`: false, if it is certain that nothing was measured.
    """

    expression: str
    ok: bool
    value: float | None
    unit: str | msgspec.UnsetType = msgspec.UNSET
    measured: bool | msgspec.UnsetType = msgspec.UNSET


class Link(msgspec.Struct):
    """A link with more about the run."""

    title: str
    url: str


class Run(msgspec.Struct):
    """One execution of a test."""

    id: int
    organization_id: int
    project_id: int
    test_id: int
    user_id: int
    name: str
    status: runs.RunStatus
    status_text: str
    result: runs.Result | None
    trigger: runs.Trigger
    source: runs.Source
    url: str
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    metrics: dict[str, float]
    thresholds: list[Threshold]
    links: list[Link]
    note: str | None
    tool: str | None


class Heartbeat(msgspec.Struct):
    """Whether the source should stop the load."""

    abort: bool


class Subscription(msgspec.Struct):
    """What a channel notifies on. An empty list means all."""

    events: list[events.EventName]
    statuses: list[runs.RunStatus]
    results: list[runs.Result]
    projects: list[int]
    triggers: list[runs.Trigger]
    only_on_change: bool
    only_failures: bool


class Waiting(msgspec.Struct):
    """Why a channel makes no attempts now: its receiver is rate limiting or asked to wait."""

    since: Time
    until: Time
    reason: str


class Channel(msgspec.Struct):
    """A notification channel. Only scheme and host of its URL are shown. `waiting` is null unless it is waiting now."""

    id: int
    organization_id: int
    kind: channels.ChannelKind
    name: str
    settings: dict[str, Any]
    subscription: Subscription
    enabled: bool
    paused_reason: str | None
    created_at: Time
    waiting: Waiting | None


class CreatedChannel(Channel):
    """A channel that was just added. `signing_secret` is shown only once, for kinds that sign."""

    signing_secret: str | msgspec.UnsetType = msgspec.UNSET


class ChangedChannel(Channel):
    """A channel that was just changed. `signing_secret` is present if a new one was created, and shown only once."""

    signing_secret: str | msgspec.UnsetType = msgspec.UNSET


class RotatedSecret(msgspec.Struct):
    """A new signing secret, shown only once, and until when requests are signed with the previous ones too."""

    signing_secret: str
    previous_expires_at: Time


class Sent(msgspec.Struct):
    """The request, with secrets masked. Without permission, `url` and `body` are null and there are no headers."""

    method: str
    url: str | None
    headers: dict[str, str]
    body: str | None


class Received(msgspec.Struct):
    """The response, cut to the stored size. Without permission, `body` is null and there are no headers."""

    headers: dict[str, str]
    body: str | None
    truncated: bool


class Attempt(msgspec.Struct):
    """One attempt. `request` is null if nothing could be sent, `response` if no complete response arrived."""

    number: int
    cause: deliveries.Cause
    started_at: Time
    duration_ms: float
    reason: deliveries.Reason
    message: str
    status_code: int | None
    request: Sent | None
    response: Received | None


class Delivery(msgspec.Struct):
    """One event on its way to one channel. `reason` and `message` are those of the last attempt.

    `next_attempt_at`: the earliest time of the next attempt; null when there won't be one, one is in progress, the
    channel is paused, or the delivery waits for an earlier one of its channel.
    """

    id: Uuid
    channel_id: int | None
    kind: channels.ChannelKind
    event_id: Uuid
    event: events.EventName
    run_id: int | None
    status: deliveries.DeliveryStatus
    reason: deliveries.Reason | None
    message: str | None
    attempt_count: int
    next_attempt_at: Time | None
    created_at: Time
    finished_at: Time | None


class DeliveryWithAttempts(Delivery):
    """A delivery with every attempt, oldest first."""

    attempts: list[Attempt]


class StartedReplay(msgspec.Struct):
    """A replay that starts now, and how many deliveries it will resend."""

    id: int
    count: int


class CountedReplay(msgspec.Struct):
    """How many deliveries the replay would resend."""

    count: int


class Replay(msgspec.Struct):
    """A replay, and how many of its deliveries are done. `finished_at` is null while it is running."""

    id: int
    channel_id: int
    statuses: list[deliveries.FinalStatus]
    count: int
    done: int
    created_at: Time
    finished_at: Time | None


class RunPage(Page[Run]):
    """A page of runs, newest first, sometimes fewer than `limit`. `next_cursor` is null on the last one."""


class ChannelPage(Page[Channel]):
    """A page of channels, newest first. `next_cursor` is null on the last one."""


class DeliveryPage(Page[Delivery]):
    """A page of deliveries, newest first, sometimes fewer than `limit`. `next_cursor` is null on the last one."""


def page(
    made: Callable[[list[Item], str | None], PageT],
    found: Sequence[Source],
    limit: int,
    shown: Callable[[Source], Item],
    key: Callable[[Source], object],
) -> PageT:
    """The page that ``found``, one more than ``limit`` if there is, gives."""
    items, next_cursor = split_page(found, limit, key)
    return made([shown(item) for item in items], next_cursor)


def _threshold(found: runs.Threshold) -> Threshold:
    unit = found.unit or msgspec.UNSET
    return Threshold(found.expression, found.ok, found.value, unit, measured=False if found.is_empty else msgspec.UNSET)


def run(found: runs.Run, base_url: str) -> Run:
    """A run as it is shown."""
    return Run(
        id=found.id,
        organization_id=found.organization_id,
        project_id=found.project_id,
        test_id=found.test_id,
        user_id=found.user_id,
        name=found.name,
        status=found.status,
        status_text=found.status.text,
        result=found.result,
        trigger=found.trigger,
        source=found.source,
        url=f"{base_url}/runs/{found.id}",
        created_at=rfc3339(found.created_at),
        started_at=_time(found.started_at),
        ended_at=_time(found.ended_at),
        metrics=found.metrics,
        thresholds=[_threshold(threshold) for threshold in found.thresholds],
        links=[Link(link.title, link.url) for link in found.links],
        note=found.note,
        tool=found.tool,
    )


def channel(found: channels.Channel, principal: Principal, now: Micros) -> Channel:
    """A channel as ``principal`` may see it ``now``: its settings masked, or not at all."""
    return Channel(**_channel(found, principal, now))


def created_channel(made: channels.Channel, principal: Principal, secret: str | None, now: Micros) -> CreatedChannel:
    """A channel as it is shown to the one who made it."""
    return CreatedChannel(**_channel(made, principal, now), signing_secret=msgspec.UNSET if secret is None else secret)


def changed_channel(found: channels.Channel, principal: Principal, secret: str | None, now: Micros) -> ChangedChannel:
    """A channel as it is shown to the one who changed it."""
    return ChangedChannel(**_channel(found, principal, now), signing_secret=msgspec.UNSET if secret is None else secret)


def delivery(found: deliveries.Delivery) -> Delivery:
    """A delivery as lists show it."""
    return Delivery(**_delivery(found))


def delivery_page(listed: Sequence[deliveries.Delivery], following: object | None) -> DeliveryPage:
    """The page that holds ``listed``; ``following``: the id that the next one begins after, if there is one."""
    return DeliveryPage([delivery(found) for found in listed], cursor_after(following))


def delivery_with_attempts(
    found: deliveries.Delivery, attempts: Sequence[deliveries.Attempt], principal: Principal
) -> DeliveryWithAttempts:
    """A delivery by itself; whoever may not read the log sees neither what was sent, nor where, nor what came back."""
    whole = principal.may(Action.READ_LOG)
    return DeliveryWithAttempts(
        **_delivery(found), attempts=[_attempt(attempt, with_bodies=whole) for attempt in attempts]
    )


def replay(found: replays.Replay) -> Replay:
    """A replay as it stands."""
    return Replay(
        id=found.id,
        channel_id=found.channel_id,
        statuses=list(found.statuses),
        count=found.count,
        done=found.done,
        created_at=rfc3339(found.created_at),
        finished_at=_time(found.finished_at),
    )


def _channel(found: channels.Channel, principal: Principal, now: Micros) -> dict[str, Any]:
    wants, wait = found.subscription, found.waiting(now)
    return {
        "id": found.id,
        "organization_id": found.organization_id,
        "kind": found.kind,
        "name": found.name,
        "settings": masked_settings(found.kind, found.settings) if principal.may(Action.READ_LOG) else {},
        "subscription": Subscription(
            events=list(wants.events),
            statuses=list(wants.statuses),
            results=list(wants.results),
            projects=list(wants.projects),
            triggers=list(wants.triggers),
            only_on_change=wants.only_on_change,
            only_failures=wants.only_failures,
        ),
        "enabled": found.enabled,
        "paused_reason": found.paused_reason,
        "created_at": rfc3339(found.created_at),
        "waiting": None if wait is None else Waiting(rfc3339(wait.since), rfc3339(wait.until), wait.reason),
    }


def _delivery(found: deliveries.Delivery) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "channel_id": found.channel_id,
        "kind": found.kind,
        "event_id": str(found.event_id),
        "event": found.event,
        "run_id": found.run_id,
        "status": found.status,
        "reason": found.reason,
        "message": found.message,
        "attempt_count": found.attempt_count,
        "next_attempt_at": _time(found.next_attempt_at),
        "created_at": rfc3339(found.created_at),
        "finished_at": _time(found.finished_at),
    }


def _attempt(attempt: deliveries.Attempt, *, with_bodies: bool) -> Attempt:
    exchange = attempt.exchange
    sent = received = None
    if exchange is not None:
        sent = Sent(
            exchange.method,
            exchange.url if with_bodies else None,
            _headers(exchange.request_headers),
            exchange.request_body if with_bodies else None,
        )
        if exchange.status_code is not None:
            body = exchange.response_body if with_bodies else None
            received = Received(_headers(exchange.response_headers), body, exchange.truncated)
    return Attempt(
        number=attempt.number,
        cause=attempt.cause,
        started_at=rfc3339(attempt.started_at),
        duration_ms=attempt.duration / 1000,
        reason=attempt.reason,
        message=attempt.message,
        status_code=None if exchange is None else exchange.status_code,
        request=sent,
        response=received,
    )


def _headers(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Headers by name as it was spelled first; values of a repeated one are joined (RFC 9110 section 5.3)."""
    spelled: dict[str, str] = {}
    values: dict[str, str] = {}
    for name, value in pairs:
        first = spelled.setdefault(name.lower(), name)
        values[first] = f"{values[first]}, {value}" if first in values else value
    return values


def _time(instant: Micros | None) -> str | None:
    return None if instant is None else rfc3339(instant)
