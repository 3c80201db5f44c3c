"""The notifications of an organization: Slack, HipChat and WebHook first, then all further channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.projects import names_of_projects
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
from loadbell.notify import channels, log
from loadbell.store.db import Transaction
from loadbell.web import channel_forms as forms
from loadbell.web.form import Form
from loadbell.web.page import PageCall
from loadbell.web.reasons import ADVICE

MOST_CHANNELS = 200
"""Channels that the page lists; beyond that the API does it."""


@dataclass(frozen=True)
class Section:
    """One kind of channel with a section of its own."""

    kind: ChannelKind
    title: str
    steps: tuple[str, ...]
    channel: Channel | None
    fields: tuple[forms.Shown, ...]
    wants: forms.Wants
    last: Delivery | None
    body: str | None  #: the sample as a receiver of JSON gets it


@dataclass(frozen=True)
class Row:
    """A further channel, as far as the person may see it."""

    channel: Channel
    title: str
    where: str | None
    rings_for: str | None
    last: Delivery | None


@dataclass(frozen=True)
class Overview:
    """What the page shows."""

    sections: tuple[Section, ...]
    further: tuple[Row, ...]
    more: bool  #: there are more channels than are listed
    projects: Mapping[int, str]
    sample: Notice


@get("/organizations/{organization_id:str}/notifications")
async def show(page: NamedDependency[PageCall]) -> Response[str]:
    """The channels of the organization."""
    await page.person()
    return await _show(page, done=page.asked("done"))


@post("/organizations/{organization_id:str}/notifications")
async def add(page: NamedDependency[PageCall]) -> Response[str]:
    """Adds a further channel of any kind; a WebHook's signing secret is shown this once."""
    await page.person()
    said, organization_id = await page.form(), _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> tuple[Channel, str | None]:
        principal.require(Action.MANAGE_CHANNELS)  # before what is wrong with the form
        name = forms.name_from(said)
        kind = said.get("kind", "")
        return await _create(page, tx, principal, said, kind=kind, name=name, wants=Subscription(), now=now)

    try:
        made, secret = await page.write_in(organization_id, work)
    except (Invalid, Conflict) as refusal:
        return await _show(page, refusal=refusal, part="add", said=said)
    if secret is not None:
        return await page.show("channel_secret", back=f"/channels/{made.id}", channel=made, secret=secret)
    return page.go(f"/channels/{made.id}?done=added")


@post("/organizations/{organization_id:str}/notifications/{kind:str}")
async def save(page: NamedDependency[PageCall]) -> Response[str]:
    """Saves the channel of a section: the oldest of its kind, or a first one."""
    await page.person()
    said, organization_id, kind = await page.form(), _id(page), forms.kind_of(page.in_path("kind"))

    moved = False

    async def work(tx: Transaction, principal: Principal, now: Micros) -> tuple[Channel, str | None]:
        nonlocal moved
        principal.require(Action.MANAGE_CHANNELS)
        first = (await channels.first_channels(tx, principal, organization_id)).get(kind)
        moved = first is not None
        wants = forms.wants_from(said).subscription
        if first is None:
            name = channel_type(kind).title
            return await _create(page, tx, principal, said, kind=kind.value, name=name, wants=wants, now=now)
        first = await channels.lock_channel(tx, principal, first.id)
        return await channels.update_channel(
            tx,
            principal,
            first.id,
            settings=forms.settings_from(kind, said, first.settings),
            subscription=wants,
            policy=page.door.policy,
            now=now,
            entropy=page.door.entropy,
        )

    try:
        made, secret = await page.write_in(organization_id, work)
    except (Invalid, Conflict) as refusal:
        return await _show(page, refusal=refusal, part=kind.value, said=said)
    ticked = forms.wants_from(said).overruled
    if secret is not None:
        back = f"/organizations/{organization_id}/notifications"
        return await page.show("channel_secret", back=back, channel=made, secret=secret, moved=moved, ticked=ticked)
    done = f"{kind.value}-ticked" if ticked else kind.value
    return page.go(f"/organizations/{organization_id}/notifications?done={done}#{kind.value}")


@post("/organizations/{organization_id:str}/notifications/{kind:str}/test")
async def test(page: NamedDependency[PageCall]) -> Response[str]:
    """Test Hook: tests what stands in the form of a section, and shows the provider's answer in place."""
    await page.person()
    said, organization_id, kind = await page.form(), _id(page), forms.kind_of(page.in_path("kind"))

    async def first(tx: Transaction, principal: Principal, _now: Micros) -> Channel | None:
        principal.require(Action.MANAGE_CHANNELS)
        return (await channels.first_channels(tx, principal, organization_id)).get(kind)

    saved = await page.read_in(organization_id, first)
    try:
        tested = await forms.test_form(page, organization_id, kind, said, None if saved is None else saved.id)
    except (Invalid, Conflict, RateLimited) as refusal:
        return await _show(page, refusal=refusal, part=kind.value, said=said)
    return await _show(page, part=kind.value, said=said, tested=tested)


async def _create(  # noqa: PLR0913 - who adds what, where and when
    page: PageCall,
    tx: Transaction,
    principal: Principal,
    said: Form,
    *,
    kind: str,
    name: str,
    wants: Subscription,
    now: Micros,
) -> tuple[Channel, str | None]:
    return await channels.create_channel(
        tx,
        principal,
        principal.organization_id,
        kind=kind,
        name=name,
        settings=forms.settings_from(channels.parse_kind(kind), said, None),
        subscription=wants,
        enabled=True,
        policy=page.door.policy,
        quotas=page.door.quotas,
        now=now,
        entropy=page.door.entropy,
    )


async def _show(  # noqa: PLR0913 - which part of the page is answered, and how
    page: PageCall,
    *,
    refusal: Refused | None = None,
    part: str = "",
    said: Form | None = None,
    tested: forms.Tested | None = None,
    done: str = "",
) -> Response[str]:
    organization_id = _id(page)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> Overview:
        first = await channels.first_channels(tx, principal, organization_id)
        listed = await channels.list_channels(tx, principal, organization_id, before=None, limit=MOST_CHANNELS + 1)
        sample = _sample(principal, now)
        if not principal.may(Action.MANAGE_CHANNELS):
            rows = tuple(Row(one, forms.title_of(one), None, None, None) for one in listed[:MOST_CHANNELS])
            return Overview((), rows, len(listed) > MOST_CHANNELS, {}, _told(sample))
        names = await names_of_projects(tx, principal)
        ids = {one.id for one in listed} | {one.id for one in first.values()}
        last = await log.last_deliveries(tx, principal, ids)
        in_sections = {one.id for one in first.values()}
        return Overview(
            sections=tuple(
                _section(kind, first.get(kind), last, sample, said if part == kind.value else None)
                for kind in forms.sections()
            ),
            further=tuple(_row(one, last, names) for one in listed[:MOST_CHANNELS] if one.id not in in_sections),
            more=len(listed) > MOST_CHANNELS,
            projects=names,
            sample=_told(sample),
        )

    overview = await page.read_in(organization_id, work)
    return await page.show(
        "notifications",
        refusal=refusal,
        back=f"/organizations/{organization_id}/notifications",
        organization_id=organization_id,
        overview=overview,
        part=part,
        said=said or Form([]),
        tested=tested,
        advice=ADVICE,
        done=done,
        choices=forms,
        kinds=[(kind.value, channel_type(kind).title) for kind in forms.sections()],
    )


def _section(
    kind: ChannelKind, channel: Channel | None, last: Mapping[int, Delivery], sample: Run, said: Form | None
) -> Section:
    known = channel_type(kind)
    saved = None if channel is None else channel.settings
    body = None
    if kind is ChannelKind.WEBHOOK:
        body = msgspec.json.format(run_payload(sample, EventName.FINISHED), indent=2).decode()
    return Section(
        kind=kind,
        title=known.title,
        steps=known.steps,
        channel=channel,
        fields=forms.fields_of(kind, saved, said),
        wants=forms.shown_wants(said, Subscription() if channel is None else channel.subscription),
        last=None if channel is None else last.get(channel.id),
        body=body,
    )


def _row(channel: Channel, last: Mapping[int, Delivery], names: Mapping[int, str]) -> Row:
    where = masked_settings(channel.kind, channel.settings).get("url")
    return Row(
        channel, forms.title_of(channel), where, forms.rings_for(channel.subscription, names), last.get(channel.id)
    )


def _sample(principal: Principal, now: Micros) -> Run:
    """A run that nobody ran, to show what will be sent."""
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


def _told(sample: Run) -> Notice:
    now = sample.last_report_at
    notice = run_notice(sample, EventName.FINISHED, project="Web shop", who="you", now=now)
    return replace(notice, links=())


def _id(page: PageCall) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, add, save, test]
