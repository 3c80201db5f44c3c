"""Deleting a project or an organization: what goes is named, what is pending is cancelled and says why."""

from uuid import UUID

import pytest

from loadbell.accounts import organizations, projects
from loadbell.accounts.authentication import authenticate
from loadbell.domain.channels import Subscription
from loadbell.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import OrganizationLoss, ProjectLoss, Role
from loadbell.notify.channels import update_channel
from loadbell.notify.deliveries import redeliver
from loadbell.store.outbox import give_back, reap
from tests.accounts.requesting import authorize
from tests.support.deleting import delete_organization, delete_project
from tests.support.leasing import BROKEN, LEASE, completion, delivery_rows, lease, record
from tests.support.stores import Play, Site

PROJECT_GONE = "The project was deleted before this was sent."


def test_a_deleted_project_names_what_it_takes(play: Play) -> None:
    """A dry run says the same and changes nothing; the audit log keeps the numbers."""

    async def scenario(site: Site) -> None:
        project = await site.project()
        await site.channel()
        await site.person(Role.MEMBER, (project,))
        token = await authorize(site, site.owner, project_id=project)
        await site.run(project_id=project)
        await site.run()
        looked = await site.do(projects.count_loss, site.owner, project)
        lost = await site.do(delete_project, site.owner, project)
        gone, kept = await delivery_rows(site)
        (entry,) = await site.rows("SELECT * FROM audit_entries WHERE action = 'project.deleted'")

        assert ProjectLoss(1, 1, 1, pending_deliveries=1, tokens=1, assigned_members=1) == looked == lost
        assert ("cancelled", PROJECT_GONE, "pending") == (gone["status"], gone["message"], kept["status"])
        assert site.clock.now == gone["finished_at"]
        assert '"pending_deliveries":1' in entry["changes"]
        assert 1 == len(await site.rows("SELECT id FROM runs"))
        with pytest.raises(Unauthenticated):
            await site.do(authenticate, token)
        with pytest.raises(NotFound):
            await site.do(projects.get_project, site.owner, project)

    play(scenario)


@pytest.mark.parametrize("end", ["attempt", "reaped", "given back"])
def test_what_is_being_sent_is_not_retried(play: Play, end: str) -> None:
    """However its lease ends, it is cancelled then; only an attempt that was made stands in the log."""

    async def scenario(site: Site) -> None:
        project = await site.project()
        await site.channel()
        await site.run(project_id=project)
        (item,) = await lease(site)
        await site.do(delete_project, site.owner, project)
        if end == "attempt":
            await record(site, completion(site, item, BROKEN))
        elif end == "reaped":
            site.clock.advance(LEASE)
            await site.do(reap, owner=2)
        else:
            await site.do(give_back, 1)
        (row,) = await delivery_rows(site)

        assert ("cancelled", PROJECT_GONE) == (row["status"], row["message"])
        assert (0 if end == "given back" else 1) == len(await site.rows("SELECT * FROM attempts"))

    play(scenario)


def test_what_waited_for_a_deleted_projects_news_goes_on(play: Play) -> None:
    """In a line over several projects it waits for what is before, or is free."""

    async def scenario(site: Site) -> None:
        project = await site.project()
        await site.channel()
        for place in (None, project, project, None, project):
            await site.run(project_id=place)
            site.clock.advance(SECOND)
        first, second, third, fourth, fifth = [row["id"] for row in await delivery_rows(site)]
        for waiting, earlier in ((second, first), (third, second), (fourth, third), (fifth, fourth)):
            await site.run_sql("UPDATE outbox SET after = :e WHERE delivery_id = :w", e=earlier, w=waiting)
        await site.do(delete_project, site.owner, project)
        rows = await delivery_rows(site)

        assert ["pending", "cancelled", "cancelled", "pending", "cancelled"] == [row["status"] for row in rows]
        assert [None, None, None, first, None] == [row["after"] for row in rows]

    play(scenario)


def test_a_redelivered_one_returns_to_its_end(play: Play) -> None:
    """It keeps the word of that end; afterwards it can't be redelivered."""

    async def scenario(site: Site) -> None:
        project = await site.project()
        await site.channel()
        await site.run(project_id=project)
        await record(site, *[completion(site, item) for item in await lease(site)])
        (row,) = await delivery_rows(site)
        await site.do(redeliver, site.owner, UUID(row["id"]))
        await site.do(delete_project, site.owner, project)
        (again,) = await delivery_rows(site)

        assert ("delivered", "The receiver answered 200 OK.") == (again["status"], again["message"])
        with pytest.raises(Conflict, match="project"):
            await site.do(redeliver, site.owner, UUID(row["id"]))

    play(scenario)


def test_a_subscription_keeps_a_project_that_is_gone(play: Play) -> None:
    """It can be saved again as it stands; an emptied one would hear of every project."""

    async def scenario(site: Site) -> None:
        project = await site.project()
        wants = Subscription(projects=(project,))
        channel = await site.channel(subscription=wants)
        await site.do(delete_project, site.owner, project)
        changed, _ = await site.do(update_channel, site.owner, channel.id, subscription=wants)
        await site.run()

        assert (project,) == changed.subscription.projects
        assert [] == await delivery_rows(site)

    play(scenario)


def test_the_default_project_is_neither_archived_nor_deleted(play: Play) -> None:
    """Until another one is the default; an archived one can't be."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        with pytest.raises(Conflict):
            await site.do(delete_project, site.owner, site.project_id)
        with pytest.raises(Conflict):
            await site.do(projects.update_project, site.owner, site.project_id, archived=True)
        await site.do(projects.update_project, site.owner, other, archived=True)
        with pytest.raises(Conflict):
            await site.do(organizations.update_organization, site.owner, site.organization_id, default_project_id=other)
        with pytest.raises(Conflict, match="archived"):
            await site.run(project_id=other)
        await site.do(projects.update_project, site.owner, other, archived=False)
        await site.do(organizations.update_organization, site.owner, site.organization_id, default_project_id=other)

        assert other == (await site.run()).project_id
        await site.do(delete_project, site.owner, site.project_id)

    play(scenario)


def test_a_deleted_organization_is_out_of_reach(play: Play) -> None:
    """Its people, tokens and channels are gone, what was pending is cancelled, its audit log says who did it."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        admin, token = await site.person(Role.ADMIN), await authorize(site, site.owner)
        with pytest.raises(Forbidden):
            await site.do(delete_organization, admin, site.organization_id)
        tokens = len(await site.rows("SELECT id FROM tokens"))
        looked = await site.do(organizations.count_loss, site.owner, site.organization_id)
        lost = await site.do(delete_organization, site.owner, site.organization_id)
        (row,) = await delivery_rows(site)
        entries = await site.rows("SELECT * FROM audit_entries WHERE action = 'organization.deleted'")

        assert OrganizationLoss(1, 1, 1, 1, 1, 1, members=2, tokens=tokens, invitations=0) == looked == lost
        assert ("cancelled", "The organization was deleted before this was sent.") == (row["status"], row["message"])
        for table in ("members", "tokens", "channels", "assignments", "invitations"):
            assert [] == await site.rows(f"SELECT * FROM {table}")
        assert [site.owner.user_id] == [entry["user_id"] for entry in entries]
        with pytest.raises(Unauthenticated):
            await site.do(authenticate, token)

    play(scenario)
