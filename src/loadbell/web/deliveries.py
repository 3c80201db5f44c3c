"""The delivery log of an organization, and one delivery with each attempt. Both change by themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from loadbell.channels import channel_type
from loadbell.domain.deliveries import ENDED, Attempt, Cause, Delivery, DeliveryStatus
from loadbell.domain.errors import Conflict, FieldError, IllegalMove, Invalid, Refused
from loadbell.domain.events import EventName
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Principal
from loadbell.entry.paging import PageQuery, cursor_after
from loadbell.entry.path_ids import parse_integer_id
from loadbell.notify import channels, deliveries, delivery_stats
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web.advice import ADVICE
from loadbell.web.charts import BarChart, build_bar_chart
from loadbell.web.datetimes import parse_datetime
from loadbell.web.page import PageRequest
from loadbell.web.rendering import render_part

PAGE_SIZE = 50
"""Deliveries that one page lists."""

MAX_CHANNELS = 200
"""Channels to choose from; the others have a link on their own page."""

STATUSES = {
    DeliveryStatus.PENDING: "Pending, retrying or queued",
    DeliveryStatus.SENDING: "Sending",
    DeliveryStatus.DELIVERED: "Delivered",
    DeliveryStatus.FAILED: "Failed",
    DeliveryStatus.CANCELLED: "Cancelled",
}
CAUSES = {
    Cause.SCHEDULED: "scheduled",
    Cause.MANUAL: "redelivered manually",
    Cause.TEST: "Test Hook",
}
PERIODS = {"day": delivery_stats.Period.DAY, "week": delivery_stats.Period.WEEK}


@dataclass(frozen=True)
class DeliveryFilter:
    """Which deliveries the log shows, and over which time the chart goes."""

    channel_id: int | None = None
    status: DeliveryStatus | None = None
    event: EventName | None = None
    since: str = ""
    until: str = ""
    period: str = "day"

    def query(self, **more: str) -> str:
        """The query string that asks for them."""
        values = {
            "channel_id": "" if self.channel_id is None else str(self.channel_id),
            "status": self.status or "",
            "event": self.event or "",
            "since": self.since,
            "until": self.until,
            "period": "" if self.period == "day" else self.period,
            **more,
        }
        return urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class DeliveryListView:
    """A page of the log with its chart and filters."""

    deliveries: Sequence[Delivery]
    names: Mapping[int, str]
    paused: frozenset[int]
    outcomes: delivery_stats.Outcomes
    following: UUID | None

    @property
    def chart(self) -> BarChart:
        """The outcomes as a chart."""
        return build_bar_chart(self.outcomes.buckets)


@dataclass(frozen=True)
class DeliveryView:
    """One delivery with all that its page shows. ``can_read_bodies``: the user may read requests and responses."""

    delivery: Delivery
    attempts: Sequence[Attempt]
    title: str
    channel: str | None
    held: bool
    can_read_bodies: bool

    @property
    def waits(self) -> dict[int, Micros]:
        """How long it was after the attempt before, by the number of the attempt."""
        pairs = zip(self.attempts, self.attempts[1:], strict=False)
        return {after.number: after.started_at - before.started_at - before.duration for before, after in pairs}


@get("/organizations/{organization_id:str}/deliveries")
async def show_log(page: NamedDependency[PageRequest]) -> Response[str]:
    """The log of the organization, newest first."""
    await page.require_account()
    organization_id = _organization(page)
    refusal: Refused | None = None
    try:
        filter_, before = _parse_filter(page), PageQuery(cursor=page.query_param("cursor") or None).before_uuid()
        delivery_list_view = await page.read_in(organization_id, _list_deliveries, filter_, before)
    except Invalid as wrong:
        refusal, filter_, before = wrong, DeliveryFilter(), None
        delivery_list_view = await page.read_in(organization_id, _list_deliveries, filter_, before)
    older = cursor_after(delivery_list_view.following)
    address = f"/organizations/{organization_id}/deliveries"
    return await page.show(
        "deliveries",
        refusal=refusal,
        listed=delivery_list_view,
        wanted=filter_,
        address=address,
        organization_id=organization_id,
        choice=await page.read_in(organization_id, _channels_by_name),
        query=filter_.query(),
        live=before is None and refusal is None,
        older=None if older is None else f"{address}?{filter_.query(cursor=older)}",
        statuses=STATUSES,
        events=tuple(EventName),
    )


@get("/organizations/{organization_id:str}/deliveries/live")
async def stream_log(page: NamedDependency[PageRequest]) -> Stream:
    """The first page of the log whenever it has changed."""
    return await page.stream("log", _organization(page), _render_log, _parse_filter(page))


@get("/deliveries/{delivery_id:str}")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """One delivery."""
    organization_id, delivery_id = await _find(page)
    return await _show(page, organization_id, delivery_id, done=page.query_param("done"))


@get("/deliveries/{delivery_id:str}/live")
async def stream_delivery(page: NamedDependency[PageRequest]) -> Stream:
    """The delivery whenever something has changed about it."""
    organization_id, delivery_id = await _find(page)
    return await page.stream("delivery", organization_id, _render_delivery, delivery_id)


@post("/deliveries/{delivery_id:str}/redeliver")
async def redeliver(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes one attempt more of the same delivery."""
    organization_id, delivery_id = await _find(page)
    await page.form()
    try:
        await page.write_in(organization_id, deliveries.redeliver, delivery_id)
    except Conflict as refusal:
        return await _show(page, organization_id, delivery_id, refusal=refusal)
    return page.redirect(f"/deliveries/{delivery_id}?done=redelivered")


@post("/deliveries/{delivery_id:str}/cancel")
async def cancel(page: NamedDependency[PageRequest]) -> Response[str]:
    """Cancels a pending delivery."""
    organization_id, delivery_id = await _find(page)
    await page.form()
    try:
        await page.write_in(organization_id, deliveries.cancel, delivery_id)
    except (Conflict, IllegalMove) as refusal:
        return await _show(page, organization_id, delivery_id, refusal=refusal)
    return page.redirect(f"/deliveries/{delivery_id}?done=cancelled")


async def _show(
    page: PageRequest, organization_id: int, delivery_id: UUID, *, refusal: Refused | None = None, done: str = ""
) -> Response[str]:
    delivery_view = await page.read_in(organization_id, _delivery_view, delivery_id)
    back = f"/deliveries/{delivery_id}"
    return await page.show(
        "delivery", refusal=refusal, back=back, whole=delivery_view, done=done, mark="page", **_labels()
    )


async def _render_delivery(unit: UnitOfWork[Principal], delivery_id: UUID) -> str:
    view = await _delivery_view(unit, delivery_id)
    mark = f"{view.delivery.status}-{view.delivery.attempt_count}-{view.delivery.next_attempt_at}"
    return render_part(unit, "delivery", whole=view, mark=mark, **_labels())


async def _delivery_view(unit: UnitOfWork[Principal], delivery_id: UUID) -> DeliveryView:
    delivery, attempts = await deliveries.get_delivery(unit, delivery_id)
    values = await channels.list_channel_names(unit, [delivery.channel_id])
    channel = None if delivery.channel_id is None else values.get(delivery.channel_id)
    return DeliveryView(
        delivery=delivery,
        attempts=attempts,
        title=channel_type(delivery.kind).title,
        channel=None if channel is None else channel.name,
        held=channel is not None and channel.paused and delivery.status is DeliveryStatus.PENDING,
        can_read_bodies=unit.principal.may(Action.READ_LOG),
    )


async def _render_log(unit: UnitOfWork[Principal], filter_: DeliveryFilter) -> str:
    delivery_list_view = await _list_deliveries(unit, filter_, None)
    address = f"/organizations/{unit.principal.organization_id}/deliveries"
    return render_part(unit, "log", listed=delivery_list_view, wanted=filter_, address=address)


async def _list_deliveries(
    unit: UnitOfWork[Principal], filter_: DeliveryFilter, before: UUID | None
) -> DeliveryListView:
    organization_id, channel_id = unit.principal.organization_id, filter_.channel_id
    found, following = await deliveries.list_log(
        unit,
        organization_id=organization_id,
        channel_id=channel_id,
        status=filter_.status,
        event=filter_.event,
        since=parse_datetime(filter_.since, "since"),
        until=parse_datetime(filter_.until, "until"),
        before=before,
        limit=PAGE_SIZE,
    )
    values = await channels.list_channel_names(unit, [*(delivery.channel_id for delivery in found), channel_id])
    return DeliveryListView(
        deliveries=found,
        names={channel.id: channel.name for channel in values.values()},
        paused=frozenset(channel.id for channel in values.values() if channel.paused),
        outcomes=await delivery_stats.outcomes_over_time(
            unit, organization_id=organization_id, channel_id=channel_id, period=PERIODS[filter_.period]
        ),
        following=following,
    )


async def _channels_by_name(unit: UnitOfWork[Principal]) -> list[tuple[int, str]]:
    listed = await channels.list_channels(unit, unit.principal.organization_id, before=None, limit=MAX_CHANNELS)
    return sorted(((channel.id, channel.name) for channel in listed), key=lambda pair: pair[1].lower())


def _parse_filter(page: PageRequest) -> DeliveryFilter:
    """What the query asks for.

    Raises:
        Invalid: a filter names nothing that there is.
        NotFound: nothing can have the channel's id.
    """
    channel, status, event = page.query_param("channel_id"), page.query_param("status"), page.query_param("event")
    try:
        filter_ = DeliveryFilter(
            channel_id=parse_integer_id(channel, "channel") if channel else None,
            status=DeliveryStatus(status) if status else None,
            event=EventName(event) if event else None,
            since=page.query_param("since"),
            until=page.query_param("until"),
            period="week" if page.query_param("period") == "week" else "day",
        )
    except ValueError:
        raise Invalid(FieldError("filter", "choose values from the lists")) from None
    parse_datetime(filter_.since, "since")
    parse_datetime(filter_.until, "until")
    return filter_


def _organization(page: PageRequest) -> int:
    return page.integer_id("organization_id", "organization")


async def _find(page: PageRequest) -> tuple[int, UUID]:
    delivery_id = page.uuid("delivery_id", "delivery")
    return await page.organization_of("delivery", delivery_id), delivery_id


def _labels() -> dict[str, Any]:
    return {
        "advice": ADVICE,
        "causes": CAUSES,
        "ended": ENDED,
        "may_redeliver": Action.MANAGE_DELIVERIES,
    }


HANDLERS: Sequence[Any] = [show_log, stream_log, show, stream_delivery, redeliver, cancel]
