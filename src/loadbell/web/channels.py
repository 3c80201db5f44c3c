"""The page of one channel: how it stands, what it is set to, and what may be done with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency

from loadbell.accounts.projects import names_of_projects
from loadbell.channels import channel_type
from loadbell.domain.channels import Channel
from loadbell.domain.deliveries import Delivery
from loadbell.domain.errors import Conflict, FieldError, Invalid, RateLimited, Refused
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Action, Principal
from loadbell.domain.replays import End
from loadbell.notify import actions, channels, log, replay, resuming, rotation
from loadbell.notify.resuming import Held
from loadbell.store.db import Transaction
from loadbell.web import channel_forms as forms
from loadbell.web.form import Form
from loadbell.web.moments import instant_in
from loadbell.web.page import PageCall
from loadbell.web.reasons import ADVICE

SHOWN = 10
"""Deliveries that the page shows; the log has them all."""

OVERLAPS = (("24h", "for a day"), ("1h", "for an hour"), ("7d", "for a week"), ("0s", "not at all: they end now"))
"""How long former signing secrets stay live, as the page offers it."""

ENDS = {End.FAILED: "Failed", End.DELIVERED: "Delivered", End.CANCELLED: "Cancelled"}


@dataclass(frozen=True)
class Standing:
    """What the page shows, as far as the person may see it."""

    channel: Channel
    title: str
    signs: bool
    fields: tuple[forms.Shown, ...]
    wants: forms.Wants | None
    projects: Mapping[int, str]
    deliveries: Sequence[Delivery]
    held: int
    outcomes: log.Bucket | None  #: of the last day, in one sum


@dataclass(frozen=True)
class Meant:
    """What a replay would do, once it was counted."""

    count: int
    since: str
    until: str
    statuses: tuple[str, ...]


@get("/channels/{channel_id:str}")
async def show(page: NamedDependency[PageCall]) -> Response[str]:
    """The channel."""
    organization_id, channel_id = await _find(page)
    return await _show(page, organization_id, channel_id, done=page.asked("done"))


@post("/channels/{channel_id:str}")
async def save(page: NamedDependency[PageCall]) -> Response[str]:
    """Saves name, settings, what it rings for, and whether it is on."""
    organization_id, channel_id = await _find(page)
    said = await page.form()

    async def work(tx: Transaction, principal: Principal, now: Micros) -> tuple[Channel, str | None]:
        channel = await channels.lock_channel(tx, principal, channel_id)
        return await channels.update_channel(
            tx,
            principal,
            channel_id,
            name=forms.name_from(said),
            settings=forms.settings_from(channel.kind, said, channel.settings),
            subscription=forms.wants_from(said).subscription,
            enabled="enabled" in said,
            policy=page.door.policy,
            now=now,
            entropy=page.door.entropy,
        )

    try:
        channel, secret = await page.write_in(organization_id, work)
    except (Invalid, Conflict) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="settings", said=said)
    ticked = forms.wants_from(said).overruled
    if secret is not None:
        back = f"/channels/{channel_id}"
        return await page.show("channel_secret", back=back, channel=channel, secret=secret, moved=True, ticked=ticked)
    done = "ticked" if ticked else "saved"
    return page.go(f"/channels/{channel_id}?done={done}#settings")


@post("/channels/{channel_id:str}/test")
async def test(page: NamedDependency[PageCall]) -> Response[str]:
    """Test Hook: tests what stands in the form, saved or not."""
    organization_id, channel_id = await _find(page)
    said = await page.form()

    async def find(tx: Transaction, principal: Principal, _now: Micros) -> Channel:
        channel = await channels.get_channel(tx, principal, channel_id)
        principal.require(Action.MANAGE_CHANNELS)
        return channel

    channel = await page.read_in(organization_id, find)
    try:
        tested = await forms.test_form(page, organization_id, channel.kind, said, channel_id)
    except (Invalid, Conflict, RateLimited) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="settings", said=said)
    return await _show(page, organization_id, channel_id, part="settings", said=said, tested=tested)


@post("/channels/{channel_id:str}/pause")
async def pause(page: NamedDependency[PageCall]) -> Response[str]:
    """Sends nothing until it is resumed; goes on collecting."""
    organization_id, channel_id = await _find(page)
    said = await page.form()

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await resuming.pause(tx, principal, channel_id, now=now)

    await page.write_in(organization_id, work)
    return page.go(page.local_path(said["next"]) if said.get("next") else f"/channels/{channel_id}?done=paused")


@post("/channels/{channel_id:str}/resume")
async def resume(page: NamedDependency[PageCall]) -> Response[str]:
    """Sends again, and delivers or drops what was held."""
    organization_id, channel_id = await _find(page)
    held = Held.DROP if (await page.form()).get("held") == Held.DROP else Held.DELIVER

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await resuming.resume(tx, principal, channel_id, held, now=now)

    await page.write_in(organization_id, work)
    return page.go(f"/channels/{channel_id}?done=resumed")


@post("/channels/{channel_id:str}/rotate-secret")
async def rotate(page: NamedDependency[PageCall]) -> Response[str]:
    """Makes a new signing secret and shows it this once."""
    organization_id, channel_id = await _find(page)
    overlap = (await page.form()).get("overlap", rotation.DEFAULT_OVERLAP)

    async def work(tx: Transaction, principal: Principal, now: Micros) -> tuple[Channel, str]:
        secret, _ = await rotation.rotate_secret(tx, principal, channel_id, overlap, now=now, entropy=page.door.entropy)
        return await channels.get_channel(tx, principal, channel_id), secret

    try:
        channel, secret = await page.write_in(organization_id, work)
    except (Invalid, Conflict) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="secret")
    return await page.show("channel_secret", back=f"/channels/{channel_id}", channel=channel, secret=secret)


@post("/channels/{channel_id:str}/delete")
async def delete(page: NamedDependency[PageCall]) -> Response[str]:
    """Deletes the channel; what was pending is cancelled."""
    organization_id, channel_id = await _find(page)
    await page.form()

    async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
        await channels.delete_channel(tx, principal, channel_id, now=now)

    await page.write_in(organization_id, work)
    return page.go(f"/organizations/{organization_id}/notifications?done=deleted")


@post("/channels/{channel_id:str}/replay")
async def send_again(page: NamedDependency[PageCall]) -> Response[str]:
    """Counts what would be sent again; sends it once the person has seen the number and said so."""
    organization_id, channel_id = await _find(page)
    said = await page.form()
    counted = "sure" not in said

    async def start(tx: Transaction, principal: Principal, now: Micros, number: int | None) -> int:
        await channels.get_channel(tx, principal, channel_id)
        principal.require(Action.MANAGE_DELIVERIES)
        since = instant_in(said.get("since", ""), "since")
        if since is None:
            raise Invalid(FieldError("since", "say from when on"))
        try:
            statuses = [End(text) for text in said.all("statuses")]
        except ValueError:
            raise Invalid(FieldError("statuses", "choose among the boxes of the form")) from None
        _, count = await replay.start_replay(
            tx,
            principal,
            channel_id,
            since=since,
            until=instant_in(said.get("until", ""), "until"),
            statuses=statuses,
            dry_run=number is None,
            counted=number,
            now=now,
        )
        return count

    async def look(tx: Transaction, principal: Principal, now: Micros) -> int:
        return await start(tx, principal, now, None)

    try:
        count = await page.read_in(organization_id, look)

        async def work(tx: Transaction, principal: Principal, now: Micros) -> None:
            await start(tx, principal, now, count)

        if not counted:
            await page.write_in(organization_id, work)
    except (Invalid, Conflict) as refusal:
        return await _show(page, organization_id, channel_id, refusal=refusal, part="replay", said=said)
    if counted:
        meant = Meant(count, said.get("since", ""), said.get("until", ""), tuple(said.all("statuses")))
        return await _show(page, organization_id, channel_id, part="replay", said=said, meant=meant)
    return page.go(f"/channels/{channel_id}?done=replayed#replay")


async def _show(  # noqa: PLR0913 - which part of the page is answered, and how
    page: PageCall,
    organization_id: int,
    channel_id: int,
    *,
    refusal: Refused | None = None,
    part: str = "",
    said: Form | None = None,
    tested: forms.Tested | None = None,
    meant: Meant | None = None,
    done: str = "",
) -> Response[str]:
    async def work(tx: Transaction, principal: Principal, now: Micros) -> Standing:
        channel = await channels.get_channel(tx, principal, channel_id)
        kind = channel_type(channel.kind)
        if not principal.may(Action.MANAGE_CHANNELS):
            return Standing(channel, kind.title, kind.signs, (), None, {}, (), 0, None)
        names = await names_of_projects(tx, principal)
        found, _ = await actions.list_log(tx, principal, channel_id=channel_id, limit=SHOWN)
        outcomes = await log.outcomes_over_time(tx, principal, channel_id=channel_id, period=log.Period.DAY, now=now)
        paused = next((one for one in await channels.paused_channels(tx, principal) if one.id == channel_id), None)
        edited = said if part == "settings" else None
        return Standing(
            channel=channel,
            title=kind.title,
            signs=kind.signs,
            fields=forms.fields_of(channel.kind, channel.settings, edited),
            wants=forms.shown_wants(edited, channel.subscription),
            projects=names,
            deliveries=found,
            held=0 if paused is None else paused.held,
            outcomes=_sum(outcomes),
        )

    standing = await page.read_in(organization_id, work)
    return await page.show(
        "channel",
        refusal=refusal,
        back=f"/channels/{channel_id}",
        organization_id=organization_id,
        standing=standing,
        part=part,
        said=said or Form([]),
        tested=tested,
        meant=meant,
        advice=ADVICE,
        choices=forms,
        overlaps=OVERLAPS,
        ends=ENDS,
        done=done,
    )


async def _find(page: PageCall) -> tuple[int, int]:
    channel_id = page.integer_id("channel_id", "channel")
    return await page.whose("channel", channel_id), channel_id


def _sum(outcomes: log.Outcomes) -> log.Bucket:
    buckets = outcomes.buckets
    return log.Bucket(
        at=buckets[0].at,
        delivered=sum(one.delivered for one in buckets),
        failed=sum(one.failed for one in buckets),
        cancelled=sum(one.cancelled for one in buckets),
        pending=sum(one.pending for one in buckets),
    )


HANDLERS: Sequence[Any] = [show, save, test, pause, resume, rotate, delete, send_again]
