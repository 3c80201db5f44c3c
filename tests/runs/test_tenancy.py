"""Who sees what: another organization's things do not exist, and a member sees assigned projects only."""

import re
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import pytest

from loadbell.accounts.authentication import authenticate
from loadbell.accounts.organizations import create_organization
from loadbell.domain.channels import Subscription
from loadbell.domain.deliveries import DeliveryStatus
from loadbell.domain.errors import Forbidden, Invalid, NotFound
from loadbell.domain.orgs import Principal, Role
from loadbell.domain.runs import RunStatus, Source
from loadbell.notify import channels as channel_actions
from loadbell.notify import deliveries
from loadbell.runs import lifecycle
from loadbell.runs.lifecycle import NewRun, Report
from tests.runs.test_lifecycle import list_all_rows
from tests.support.leasing import GONE, completion, lease, record
from tests.support.stores import Play, Site

FORM = {"url": "http://127.0.0.1:9/hook"}
Ask = Callable[[Site, Principal, dict[str, Any]], Coroutine[Any, Any, Any]]

ON_RUNS: dict[str, Ask] = {
    "read a run": lambda site, who, ids: site.do(lifecycle.get_run, who, ids["run"]),
    "report": lambda site, who, ids: site.do(lifecycle.report_run, who, ids["run"], Report(status=RunStatus.FINISHED)),
    "heartbeat": lambda site, who, ids: site.do(lifecycle.heartbeat, who, ids["run"], {"rps": 1.0}),
    "abort": lambda site, who, ids: site.do(lifecycle.abort_run, who, ids["run"]),
    "a run's deliveries": lambda site, who, ids: site.do(
        deliveries.list_for_run, who, ids["run"], before=None, limit=9
    ),
    "create in a project": lambda site, who, ids: site.do(
        lifecycle.create_run, who, NewRun("x", project_id=ids["project"])
    ),
    "read a delivery": lambda site, who, ids: site.do(deliveries.get_delivery, who, ids["delivery"]),
}
ON_DELIVERIES: dict[str, Ask] = {
    "redeliver": lambda site, who, ids: site.do(deliveries.redeliver, who, ids["delivery"]),
    "cancel": lambda site, who, ids: site.do(deliveries.cancel, who, ids["delivery"]),
}
ON_CHANNELS: dict[str, Ask] = {
    "change a channel": lambda site, who, ids: site.do(
        channel_actions.update_channel, who, ids["channel"], name="taken"
    ),
    "delete a channel": lambda site, who, ids: site.do(channel_actions.delete_channel, who, ids["channel"]),
    "test a channel": lambda site, who, ids: site.do(deliveries.test_saved, who, ids["channel"]),
    "test a form": lambda site, who, ids: site.do(
        deliveries.test_form, who, ids["organization"], kind="webhook", settings=FORM
    ),
    "add a channel": lambda site, who, ids: site.do(
        channel_actions.create_channel,
        who,
        ids["organization"],
        kind="webhook",
        name="mine",
        settings=FORM,
        subscription=Subscription(),
        enabled=True,
    ),
    "an organization's log": lambda site, who, ids: site.do(
        deliveries.list_log, who, organization_id=ids["organization"], limit=9
    ),
    "a channel's log": lambda site, who, ids: site.do(deliveries.list_log, who, channel_id=ids["channel"], limit=9),
}
OPEN_TO_MEMBERS: dict[str, Ask] = {
    "read a channel": lambda site, who, ids: site.do(channel_actions.get_channel, who, ids["channel"]),
    "an organization's channels": lambda site, who, ids: site.do(
        channel_actions.list_channels, who, ids["organization"], before=None, limit=9
    ),
}
EVERYTHING = {**ON_RUNS, **ON_DELIVERIES, **ON_CHANNELS, **OPEN_TO_MEMBERS}


async def _site_with_things(site: Site, principal: Principal | None = None) -> dict[str, Any]:
    """A channel, a running run of k6 and its delivery, which failed; their ids."""
    asker = principal or site.owner
    channel = await site.channel(principal=asker)
    run = await site.run(asker, source=Source.K6)
    (leased,) = [item for item in await lease(site) if item.organization_id == asker.organization_id]
    await record(site, completion(site, leased, GONE))
    return {
        "organization": asker.organization_id,
        "project": run.project_id,
        "run": run.id,
        "channel": channel.id,
        "delivery": leased.id,
    }


async def _neighbour(site: Site) -> Principal:
    """The owner of another organization: the same person, through another token."""
    organization = await site.do(create_organization, site.owner, "Neighbour")
    return await site.database.write(authenticate, organization.token)


@pytest.mark.parametrize("asked", EVERYTHING)
def test_what_belongs_to_another_organization_does_not_exist(play: Play, asked: str) -> None:
    """Every id of one organization, asked for by the other's owner, is not found; nothing changes."""

    async def scenario(site: Site) -> None:
        theirs = await _site_with_things(site)
        nobodys = {**dict.fromkeys(theirs, 10**9), "delivery": UUID(int=7)}
        neighbour = await _neighbour(site)
        before = await list_all_rows(site)
        told = []
        for ids in (theirs, nobodys):
            with pytest.raises(NotFound) as refused:
                await EVERYTHING[asked](site, neighbour, ids)
            told.append(str(refused.value))

        assert before == await list_all_rows(site)
        plain = [re.sub(r"[0-9a-f-]{8,}|[0-9]+", "ID", text) for text in told]
        assert plain[0] == plain[1], "the answer does not tell the two apart"

    play(scenario)


@pytest.mark.parametrize("asked", EVERYTHING)
def test_its_owner_may_do_all_of_it(play: Play, asked: str) -> None:
    """The same requests by the right owner succeed, so that the refusals above are no accident."""

    async def scenario(site: Site) -> None:
        ids = await _site_with_things(site)
        if asked == "cancel":
            await site.do(deliveries.redeliver, site.owner, ids["delivery"])

        assert await EVERYTHING[asked](site, site.owner, ids) is not NotFound

    play(scenario)


@pytest.mark.parametrize("asked", [*ON_RUNS, *OPEN_TO_MEMBERS])
def test_what_a_member_may_do_in_an_assigned_project(play: Play, asked: str) -> None:
    """Read, report and abort its runs, see their deliveries, and the organization's channels."""

    async def scenario(site: Site) -> None:
        ids = await _site_with_things(site)
        member = await site.person(Role.MEMBER, (site.project_id,))
        await EVERYTHING[asked](site, member, ids)

    play(scenario)


@pytest.mark.parametrize("asked", [*ON_RUNS, *ON_DELIVERIES])
def test_other_projects_do_not_exist_for_a_member(play: Play, asked: str) -> None:
    """Not found, not forbidden: a member learns nothing of projects that are not assigned."""

    async def scenario(site: Site) -> None:
        ids = await _site_with_things(site)
        member = await site.person(Role.MEMBER, (await site.project(),))
        before = await list_all_rows(site)
        with pytest.raises(NotFound):
            await EVERYTHING[asked](site, member, ids)

        assert before == await list_all_rows(site)

    play(scenario)


@pytest.mark.parametrize("asked", [*ON_DELIVERIES, *ON_CHANNELS])
def test_what_a_member_sees_but_may_not_do(play: Play, asked: str) -> None:
    """Forbidden, and nothing changes."""

    async def scenario(site: Site) -> None:
        ids = await _site_with_things(site)
        member = await site.person(Role.MEMBER, (site.project_id,))
        before = await list_all_rows(site)
        with pytest.raises(Forbidden, match="A member can't"):
            await EVERYTHING[asked](site, member, ids)

        assert before == await list_all_rows(site)

    play(scenario)


def test_lists_show_what_the_asker_sees(play: Play) -> None:
    """A member's list of runs has those of assigned projects; another organization's is empty."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        await _site_with_things(site)
        theirs = await site.run(project_id=other)
        member, neighbour = await site.person(Role.MEMBER, (other,)), await _neighbour(site)

        async def seen(who: Principal) -> list[int]:
            runs, _ = await site.do(lifecycle.list_runs, who, limit=9)
            return [run.id for run in runs]

        assert [2, [theirs.id], []] == [len(await seen(site.owner)), await seen(member), await seen(neighbour)]
        log = await site.do(deliveries.list_log, neighbour, organization_id=neighbour.organization_id, limit=9)
        assert ([], None) == log

    play(scenario)


def test_events_stay_in_their_organization(play: Play) -> None:
    """A run is told to the channels of its own organization only."""

    async def scenario(site: Site) -> None:
        await _site_with_things(site)
        neighbour = await _neighbour(site)
        theirs = await site.channel(principal=neighbour)
        await site.run()
        before = await site.rows("SELECT id FROM deliveries WHERE channel_id = :id", id=theirs.id)
        await site.run(neighbour)
        after = await site.rows("SELECT organization_id FROM deliveries WHERE channel_id = :id", id=theirs.id)

        assert ([], [neighbour.organization_id]) == (before, [row["organization_id"] for row in after])

    play(scenario)


def test_a_subscription_names_projects_of_its_organization(play: Play) -> None:
    """Another organization's project is not known there."""

    async def scenario(site: Site) -> None:
        neighbour = await _neighbour(site)
        foreign = await site.project(neighbour.organization_id)
        with pytest.raises(Invalid) as refused:
            await site.channel(subscription=Subscription(projects=(site.project_id, foreign)))

        assert ["subscription.projects"] == [error.field for error in refused.value.errors]

    play(scenario)


def test_a_test_hook_is_not_a_members_business(play: Play) -> None:
    """It belongs to no project."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        hook = await site.do(deliveries.test_saved, site.owner, channel.id)
        member = await site.person(Role.MEMBER, (site.project_id,))
        with pytest.raises(NotFound):
            await site.do(deliveries.get_delivery, member, hook)
        delivery, log = await site.do(deliveries.get_delivery, site.owner, hook)

        assert (DeliveryStatus.PENDING, None, []) == (delivery.status, delivery.project_id, log)

    play(scenario)
