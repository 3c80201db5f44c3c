"""The page of one channel: status, settings and actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.projects import list_project_names
from loadbell.channels import channel_type
from loadbell.domain.channels import Channel
from loadbell.domain.deliveries import Delivery, FinalStatus
from loadbell.domain.errors import Conflict, FieldError, Invalid, RateLimited, Refused
from loadbell.domain.orgs import Action, Principal
from loadbell.notify import channel_notices, channels, deliveries, delivery_stats, replay
from loadbell.notify.channels import Held
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web import channel_forms as forms
from loadbell.web.advice import ADVICE
from loadbell.web.datetimes import parse_datetime
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

MAX_DELIVERIES = 10
"""Deliveries that the page shows; the log has them all."""

OVERLAPS = (("24h", "1 day"), ("1h", "1 hour"), ("7d", "1 week"), ("0s", "no time: old secrets expire now"))
"""How long old signing secrets can stay valid."""

ENDS = {FinalStatus.FAILED: "Failed", FinalStatus.DELIVERED: "Delivered", FinalStatus.CANCELLED: "Cancelled"}


@dataclass(frozen=True)
class ChannelView:
    """What the page shows, as far as the person may see it."""

    channel: Channel
    title: str
    signs: bool
    fields: tuple[forms.FormField, ...]
    wants: forms.SubscriptionForm | None
    projects: Mapping[int, str]
    deliveries: Sequence[Delivery]
    held: int
    outcomes: delivery_stats.Bucket | None  #: of the last day, in one sum


@dataclass(frozen=True)
class ReplayPreview:
    """What a replay would do, once it was counted."""

    count: int
    since: str
    until: str
    statuses: tuple[str, ...]


@get("/channels/{channel_id:str}")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """The channel."""
    organization_id, channel_id = await _find(page)
    return await _show(page, organization_id, channel_id, done=page.query_param("done"))


@post("/channels/{channel_id:str}")
async def save(page: NamedDependency[PageRequest]) -> Response[str]:
    """Saves name, settings, subscription, and whether it's on."""
    organization_id, channel_id = await _find(page)
    form = await page.form()
    try:
        channel, secret = await page.write_in(organization_id, _update_channel, channel_id, form)
    except (Invalid, Conflict) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="settings", form=form)
    ticked = forms.parse_subscription(form).preset_ignored
    if secret is not None:
        back = f"/channels/{channel_id}"
        return await page.show("channel_secret", back=back, channel=channel, secret=secret, moved=True, ticked=ticked)
    done = "ticked" if ticked else "saved"
    return page.redirect(f"/channels/{channel_id}?done={done}#settings")


@post("/channels/{channel_id:str}/test")
async def test(page: NamedDependency[PageRequest]) -> Response[str]:
    """Test Hook: tests the settings in the form, saved or not."""
    organization_id, channel_id = await _find(page)
    form = await page.form()
    channel = await page.read_in(organization_id, _managed_channel, channel_id)
    try:
        tested = await forms.test_form(page, organization_id, channel.kind, form, channel_id)
    except (Invalid, Conflict, RateLimited) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="settings", form=form)
    return await _show(page, organization_id, channel_id, part="settings", form=form, tested=tested)


@post("/channels/{channel_id:str}/pause")
async def pause(page: NamedDependency[PageRequest]) -> Response[str]:
    """Sends nothing until it is resumed; goes on collecting."""
    organization_id, channel_id = await _find(page)
    form = await page.form()
    await page.write_in(organization_id, channels.pause, channel_id)
    return page.redirect(page.local_path(form["next"]) if form.get("next") else f"/channels/{channel_id}?done=paused")


@post("/channels/{channel_id:str}/resume")
async def resume(page: NamedDependency[PageRequest]) -> Response[str]:
    """Sends again, and delivers or drops what was held."""
    organization_id, channel_id = await _find(page)
    held = Held.DROP if (await page.form()).get("held") == Held.DROP else Held.DELIVER
    await page.write_in(organization_id, channels.resume, channel_id, held)
    return page.redirect(f"/channels/{channel_id}?done=resumed")


@post("/channels/{channel_id:str}/rotate-secret")
async def rotate(page: NamedDependency[PageRequest]) -> Response[str]:
    """Makes a new signing secret and shows it this once."""
    organization_id, channel_id = await _find(page)
    overlap = (await page.form()).get("overlap", channels.DEFAULT_OVERLAP)
    try:
        channel, secret = await page.write_in(organization_id, _rotate_secret, channel_id, overlap)
    except (Invalid, Conflict) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="secret")
    return await page.show("channel_secret", back=f"/channels/{channel_id}", channel=channel, secret=secret)


@post("/channels/{channel_id:str}/delete")
async def delete(page: NamedDependency[PageRequest]) -> Response[str]:
    """Deletes the channel; what was pending is cancelled."""
    organization_id, channel_id = await _find(page)
    await page.form()
    await page.write_in(organization_id, channels.delete_channel, channel_id)
    return page.redirect(f"/organizations/{organization_id}/notifications?done=deleted")


@post("/channels/{channel_id:str}/replay")
async def send_again(page: NamedDependency[PageRequest]) -> Response[str]:
    """Counts what would be sent again; sends it once the person has seen the number and said so."""
    organization_id, channel_id = await _find(page)
    form = await page.form()
    is_sure = "sure" in form
    try:
        count = await page.read_in(organization_id, _replay, channel_id, form, None)
        if is_sure:
            await page.write_in(organization_id, _replay, channel_id, form, count)
    except (Invalid, Conflict) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="replay", form=form)
    if not is_sure:
        preview = ReplayPreview(count, form.get("since", ""), form.get("until", ""), tuple(form.all("statuses")))
        return await _show(page, organization_id, channel_id, part="replay", form=form, preview=preview)
    return page.redirect(f"/channels/{channel_id}?done=replayed#replay")


async def _show(  # noqa: PLR0913 - which part of the page is answered, and how
    page: PageRequest,
    organization_id: int,
    channel_id: int,
    *,
    refusal: Refused | None = None,
    part: str = "",
    form: Form | None = None,
    tested: forms.HookResult | None = None,
    preview: ReplayPreview | None = None,
    done: str = "",
) -> Response[str]:
    standing = await page.read_in(organization_id, _channel_view, channel_id, form if part == "settings" else None)
    return await page.show(
        "channel",
        refusal=refusal,
        back=f"/channels/{channel_id}",
        organization_id=organization_id,
        standing=standing,
        part=part,
        said=form or Form([]),
        tested=tested,
        meant=preview,
        advice=ADVICE,
        choices=forms,
        overlaps=OVERLAPS,
        ends=ENDS,
        done=done,
    )


async def _find(page: PageRequest) -> tuple[int, int]:
    channel_id = page.integer_id("channel_id", "channel")
    return await page.organization_of("channel", channel_id), channel_id


async def _channel_view(unit: UnitOfWork[Principal], channel_id: int, form: Form | None) -> ChannelView:
    """What the page shows; ``form``: of the settings, as they were sent and not saved."""
    channel = await channels.get_channel(unit, channel_id)
    kind = channel_type(channel.kind)
    if not unit.principal.may(Action.MANAGE_CHANNELS):
        return ChannelView(channel, kind.title, kind.signs, (), None, {}, (), 0, None)
    projects = await list_project_names(unit)
    found, _ = await deliveries.list_log(unit, channel_id=channel_id, limit=MAX_DELIVERIES)
    outcomes = await delivery_stats.outcomes_over_time(unit, channel_id=channel_id, period=delivery_stats.Period.DAY)
    paused = next((notice for notice in await channel_notices.paused_channels(unit) if notice.id == channel_id), None)
    return ChannelView(
        channel=channel,
        title=kind.title,
        signs=kind.signs,
        fields=forms.build_fields(channel.kind, channel.settings, form),
        wants=forms.current_subscription_form(form, channel.subscription),
        projects=projects,
        deliveries=found,
        held=0 if paused is None else paused.held,
        outcomes=_sum(outcomes),
    )


async def _managed_channel(unit: UnitOfWork[Principal], channel_id: int) -> Channel:
    """The channel, if the user may change it."""
    channel = await channels.get_channel(unit, channel_id)
    unit.principal.require(Action.MANAGE_CHANNELS)
    return channel


async def _update_channel(unit: UnitOfWork[Principal], channel_id: int, form: Form) -> tuple[Channel, str | None]:
    channel = await channels.lock_channel(unit, channel_id)  # before what is wrong with the form
    return await channels.update_channel(
        unit,
        channel_id,
        name=forms.parse_name(form),
        settings=forms.parse_settings(channel.kind, form, channel.settings),
        subscription=forms.parse_subscription(form).subscription,
        enabled="enabled" in form,
    )


async def _rotate_secret(unit: UnitOfWork[Principal], channel_id: int, overlap: str) -> tuple[Channel, str]:
    secret, _ = await channels.rotate_secret(unit, channel_id, overlap)
    return await channels.get_channel(unit, channel_id), secret


async def _replay(unit: UnitOfWork[Principal], channel_id: int, form: Form, counted: int | None) -> int:
    """How many deliveries the form asks for; sends them once they have been ``counted``."""
    await channels.get_channel(unit, channel_id)
    unit.principal.require(Action.MANAGE_DELIVERIES)  # before what is wrong with the form
    since = parse_datetime(form.get("since", ""), "since")
    if since is None:
        raise Invalid(FieldError("since", "enter a start time"))
    try:
        statuses = [FinalStatus(text) for text in form.all("statuses")]
    except ValueError:
        raise Invalid(FieldError("statuses", "choose from the boxes")) from None
    _, count = await replay.start_replay(
        unit,
        channel_id,
        since=since,
        until=parse_datetime(form.get("until", ""), "until"),
        statuses=statuses,
        dry_run=counted is None,
        counted=counted,
    )
    return count


def _sum(outcomes: delivery_stats.Outcomes) -> delivery_stats.Bucket:
    buckets = outcomes.buckets
    return delivery_stats.Bucket(
        at=buckets[0].at,
        delivered=sum(bucket.delivered for bucket in buckets),
        failed=sum(bucket.failed for bucket in buckets),
        cancelled=sum(bucket.cancelled for bucket in buckets),
        pending=sum(bucket.pending for bucket in buckets),
    )


HANDLERS: Sequence[Any] = [show, save, test, pause, resume, rotate, delete, send_again]
