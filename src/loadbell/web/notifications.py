"""The notifications of an organization: Slack, HipChat and WebHook first, then all further channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.projects import list_project_names
from loadbell.channels import channel_type
from loadbell.channels.settings import masked_settings
from loadbell.domain.channels import Channel, ChannelKind, Subscription
from loadbell.domain.deliveries import Delivery
from loadbell.domain.errors import Conflict, Invalid, RateLimited, Refused
from loadbell.domain.events import EventName, run_payload
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.notices import Notice, run_notice
from loadbell.domain.orgs import Action, Principal
from loadbell.domain.runs import EndedBy, Result, Run, RunStatus, Source, Threshold, Trigger
from loadbell.notify import channels, delivery_stats
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web import channel_forms as forms
from loadbell.web.advice import ADVICE
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

MAX_CHANNELS = 200
"""Channels that the page lists; beyond that the API does it."""


@dataclass(frozen=True)
class Section:
    """One kind of channel with a section of its own."""

    kind: ChannelKind
    title: str
    steps: tuple[str, ...]
    channel: Channel | None
    fields: tuple[forms.FormField, ...]
    wants: forms.SubscriptionForm
    last: Delivery | None
    body: str | None  #: the sample as a receiver of JSON gets it


@dataclass(frozen=True)
class ChannelRow:
    """A further channel, as far as the person may see it."""

    channel: Channel
    title: str
    where: str | None
    summary: str | None
    last: Delivery | None


@dataclass(frozen=True)
class NotificationsView:
    """What the page shows."""

    sections: tuple[Section, ...]
    further: tuple[ChannelRow, ...]
    more: bool  #: there are more channels than are listed
    projects: Mapping[int, str]
    sample: Notice


@get("/organizations/{organization_id:str}/notifications")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """The channels of the organization."""
    await page.require_account()
    return await _show(page, done=page.query_param("done"))


@post("/organizations/{organization_id:str}/notifications")
async def add(page: NamedDependency[PageRequest]) -> Response[str]:
    """Adds a further channel of any kind; a WebHook's signing secret is shown this once."""
    await page.require_account()
    form, organization_id = await page.form(), _id(page)
    try:
        channel, secret = await page.write_in(organization_id, _add_channel, form)
    except (Invalid, Conflict) as refusal:
        return await _show(page, refusal=refusal, part="add", form=form)
    if secret is not None:
        return await page.show("channel_secret", back=f"/channels/{channel.id}", channel=channel, secret=secret)
    return page.redirect(f"/channels/{channel.id}?done=added")


@post("/organizations/{organization_id:str}/notifications/{kind:str}")
async def save(page: NamedDependency[PageRequest]) -> Response[str]:
    """Saves the channel of a section: the oldest of its kind, or a first one."""
    await page.require_account()
    form, organization_id, kind = await page.form(), _id(page), forms.parse_kind(page.path_param("kind"))
    try:
        channel, secret, moved = await page.write_in(organization_id, _save_section, kind, form)
    except (Invalid, Conflict) as refusal:
        return await _show(page, refusal=refusal, part=kind, form=form)
    ticked = forms.parse_subscription(form).preset_ignored
    if secret is not None:
        back = f"/organizations/{organization_id}/notifications"
        return await page.show("channel_secret", back=back, channel=channel, secret=secret, moved=moved, ticked=ticked)
    done = f"{kind}-ticked" if ticked else kind
    return page.redirect(f"/organizations/{organization_id}/notifications?done={done}#{kind}")


@post("/organizations/{organization_id:str}/notifications/{kind:str}/test")
async def test(page: NamedDependency[PageRequest]) -> Response[str]:
    """Test Hook: tests the settings in a section's form, and shows the provider's response there."""
    await page.require_account()
    form, organization_id, kind = await page.form(), _id(page), forms.parse_kind(page.path_param("kind"))
    channel = await page.read_in(organization_id, _section_channel, kind)
    try:
        tested = await forms.test_form(page, organization_id, kind, form, None if channel is None else channel.id)
    except (Invalid, Conflict, RateLimited) as refusal:
        return await _show(page, refusal=refusal, part=kind, form=form)
    return await _show(page, part=kind, form=form, tested=tested)


async def _section_channel(unit: UnitOfWork[Principal], kind: ChannelKind) -> Channel | None:
    """The channel of a section, if there is one and the user may change it."""
    unit.principal.require(Action.MANAGE_CHANNELS)
    return (await channels.list_first_channels(unit, unit.principal.organization_id)).get(kind)


async def _add_channel(unit: UnitOfWork[Principal], form: Form) -> tuple[Channel, str | None]:
    unit.principal.require(Action.MANAGE_CHANNELS)  # before what is wrong with the form
    return await _create(
        unit, form, kind=form.get("kind", ""), name=forms.parse_name(form), subscription=Subscription()
    )


async def _save_section(unit: UnitOfWork[Principal], kind: ChannelKind, form: Form) -> tuple[Channel, str | None, bool]:
    """The channel, a new signing secret if there is one, and whether the channel was there before."""
    channel = await _section_channel(unit, kind)
    subscription = forms.parse_subscription(form).subscription
    if channel is None:
        return *await _create(unit, form, kind=kind, name=channel_type(kind).title, subscription=subscription), False
    channel = await channels.lock_channel(unit, channel.id)
    settings = forms.parse_settings(kind, form, channel.settings)
    return *await channels.update_channel(unit, channel.id, settings=settings, subscription=subscription), True


async def _create(
    unit: UnitOfWork[Principal], form: Form, *, kind: str, name: str, subscription: Subscription
) -> tuple[Channel, str | None]:
    return await channels.create_channel(
        unit,
        unit.principal.organization_id,
        kind=kind,
        name=name,
        settings=forms.parse_settings(channels.parse_kind(kind), form, None),
        subscription=subscription,
        enabled=True,
    )


async def _show(  # noqa: PLR0913 - which part of the page is answered, and how
    page: PageRequest,
    *,
    refusal: Refused | None = None,
    part: str = "",
    form: Form | None = None,
    tested: forms.HookResult | None = None,
    done: str = "",
) -> Response[str]:
    organization_id = _id(page)
    overview = await page.read_in(organization_id, _notifications_view, part, form)
    return await page.show(
        "notifications",
        refusal=refusal,
        back=f"/organizations/{organization_id}/notifications",
        organization_id=organization_id,
        overview=overview,
        part=part,
        said=form or Form([]),
        tested=tested,
        advice=ADVICE,
        done=done,
        choices=forms,
        kinds=[(kind, channel_type(kind).title) for kind in forms.sections()],
    )


async def _notifications_view(unit: UnitOfWork[Principal], part: str, form: Form | None) -> NotificationsView:
    """What the page shows; ``form``: of the section ``part``, as it was sent and not saved."""
    organization_id = unit.principal.organization_id
    first = await channels.list_first_channels(unit, organization_id)
    listed = await channels.list_channels(unit, organization_id, before=None, limit=MAX_CHANNELS + 1)
    shown, more = listed[:MAX_CHANNELS], len(listed) > MAX_CHANNELS
    sample = _sample(unit.principal, unit.now)
    if not unit.principal.may(Action.MANAGE_CHANNELS):
        rows = tuple(ChannelRow(channel, forms.kind_title(channel), None, None, None) for channel in shown)
        return NotificationsView((), rows, more, {}, _describe_sample(sample))
    projects = await list_project_names(unit)
    in_sections = {channel.id for channel in first.values()}
    last = await delivery_stats.last_deliveries(unit, in_sections | {channel.id for channel in listed})
    return NotificationsView(
        sections=tuple(
            _section(kind, first.get(kind), last, sample, form if part == kind else None) for kind in forms.sections()
        ),
        further=tuple(_channel_row(channel, last, projects) for channel in shown if channel.id not in in_sections),
        more=more,
        projects=projects,
        sample=_describe_sample(sample),
    )


def _section(
    kind: ChannelKind, channel: Channel | None, last: Mapping[int, Delivery], sample: Run, form: Form | None
) -> Section:
    known = channel_type(kind)
    saved = None if channel is None else channel.settings
    body = None
    if known.sends_payload:
        body = msgspec.json.format(run_payload(sample, EventName.FINISHED), indent=2).decode()
    return Section(
        kind=kind,
        title=known.title,
        steps=known.steps,
        channel=channel,
        fields=forms.build_fields(kind, saved, form),
        wants=forms.current_subscription_form(form, Subscription() if channel is None else channel.subscription),
        last=None if channel is None else last.get(channel.id),
        body=body,
    )


def _channel_row(channel: Channel, last: Mapping[int, Delivery], names: Mapping[int, str]) -> ChannelRow:
    where = masked_settings(channel.kind, channel.settings).get("url")
    return ChannelRow(
        channel,
        forms.kind_title(channel),
        where,
        forms.summarize_subscription(channel.subscription, names),
        last.get(channel.id),
    )


def _sample(principal: Principal, now: Micros) -> Run:
    """A sample run, to show what will be sent."""
    return Run(
        id=1841,
        organization_id=principal.organization_id,
        project_id=1,
        test_id=7,
        user_id=principal.user_id,
        name="Checkout peak",
        status=RunStatus.FAILED_THRESHOLD,
        result=Result.FAILED,
        trigger=Trigger.CI,
        source=Source.REST,
        created_at=now - 724 * SECOND,
        started_at=now - 724 * SECOND,
        ended_at=now,
        ended_by=EndedBy.REPORT,
        corrected=False,
        last_report_at=now,
        watchdog=None,
        metrics={},
        thresholds=(Threshold("p95_ms<500", ok=False, value=812.0),),
        links=(),
        note=None,
    )


def _describe_sample(sample: Run) -> Notice:
    now = sample.last_report_at
    notice = run_notice(sample, EventName.FINISHED, project="Web shop", who="you", now=now)
    return replace(notice, links=())


def _id(page: PageRequest) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, add, save, test]
