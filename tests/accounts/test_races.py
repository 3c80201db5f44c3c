"""Changes of who belongs to an organization, beside requests that are under way: one order, nothing half-done."""

import asyncio

from loadbell.accounts.authentication import Lock
from loadbell.accounts.members import remove_member, update_member
from loadbell.accounts.projects import add_project
from loadbell.accounts.tokens import create_token
from loadbell.domain.errors import Forbidden, NotFound, Unauthenticated
from loadbell.domain.orgs import Member, Project, Role, Scope
from loadbell.domain.runs import Run
from loadbell.runs.lifecycle import NewRun, create_run
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.accounts.requesting import authorize, send
from tests.support.deleting import delete_organization, delete_project
from tests.support.stores import Play, Site
from tests.support.working import run_with_worker, wait_for_rows


def test_of_two_transfers_at_once_one_wins(play: Play) -> None:
    """The other one asks as an admin by then; there is exactly one owner."""

    async def scenario(site: Site) -> None:
        token = await authorize(site, site.owner)
        heirs = [await site.person(Role.ADMIN) for _ in range(4)]
        outcomes = await asyncio.gather(
            *(
                send(
                    site, token, update_member, site.organization_id, heir.user_id, role=Role.OWNER, lock=Lock.EXCLUSIVE
                )
                for heir in heirs
            ),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, Member)]
        owners = await site.rows("SELECT user_id FROM members WHERE role = 'owner'")

        assert [member.user_id for member in won] == [row["user_id"] for row in owners]
        assert 3 == sum(isinstance(outcome, Forbidden) for outcome in outcomes)
        assert 2 == len(await site.rows("SELECT * FROM audit_entries"))

    play(scenario)


def test_a_role_that_is_taken_counts_for_what_comes_after(play: Play) -> None:
    """Each request of a demoted admin was done before, and noted before, or is refused."""

    async def scenario(site: Site) -> None:
        owner, admin = await authorize(site, site.owner), await site.person(Role.ADMIN)
        token = await authorize(site, admin)
        outcomes = await asyncio.gather(
            *(send(site, token, add_project, site.organization_id, f"p{n}", lock=Lock.EXCLUSIVE) for n in range(5)),
            send(
                site, owner, update_member, site.organization_id, admin.user_id, role=Role.MEMBER, lock=Lock.EXCLUSIVE
            ),
            *(send(site, token, add_project, site.organization_id, f"q{n}", lock=Lock.EXCLUSIVE) for n in range(5)),
            return_exceptions=True,
        )
        made = {outcome.id for outcome in outcomes if isinstance(outcome, Project)}
        entries = await site.rows("SELECT * FROM audit_entries ORDER BY id")

        assert made == {row["id"] for row in await site.rows("SELECT id FROM projects")} - {site.project_id}
        assert 10 - len(made) == sum(isinstance(outcome, Forbidden) for outcome in outcomes)
        assert ["project.created"] * len(made) + ["member.changed"] == [entry["action"] for entry in entries]

    play(scenario)


def test_a_removed_member_leaves_no_token(play: Play) -> None:
    """Tokens that are made while their user is removed are refused, or removed as well."""

    async def scenario(site: Site) -> None:
        owner = await authorize(site, site.owner)
        for _ in range(3):
            admin = await site.person(Role.ADMIN)
            token = await authorize(site, admin)
            outcomes = await asyncio.gather(
                *(
                    send(site, token, create_token, name=f"t{n}", scope=Scope.MANAGE, trigger=None, expires_at=None,
                        lock=Lock.SHARED)
                    for n in range(4)
                ),
                send(site, owner, remove_member, site.organization_id, admin.user_id, lock=Lock.EXCLUSIVE),
                return_exceptions=True,
            )  # fmt: skip

            failed = [one for one in outcomes if isinstance(one, BaseException)]
            assert all(isinstance(one, Unauthenticated) for one in failed), failed
            assert [] == await site.rows("SELECT id FROM tokens WHERE user_id = :user", user=admin.user_id)

    play(scenario)


def test_a_project_is_deleted_while_runs_are_reported(play: Play) -> None:
    """Each run was there before and went with it, or its report is refused; nothing of the project is left."""

    async def scenario(site: Site) -> None:
        token = await authorize(site, site.owner)
        await site.channel()
        for _ in range(3):
            project = await site.project()
            outcomes = await asyncio.gather(
                *(send(site, token, create_run, NewRun("r", project), lock=Lock.SHARED) for _ in range(4)),
                send(site, token, delete_project, project, lock=Lock.EXCLUSIVE),
                *(send(site, token, create_run, NewRun("r", project), lock=Lock.SHARED) for _ in range(4)),
                return_exceptions=True,
            )
            runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
            failed = [one for one in outcomes if isinstance(one, BaseException)]

            assert all(isinstance(one, NotFound) for one in failed), failed
            assert 8 == len(runs) + len(failed)
            assert [] == await site.rows("SELECT id FROM runs UNION ALL SELECT id FROM tests")
            assert {"cancelled"} >= {row["status"] for row in await site.rows("SELECT status FROM deliveries")}

    play(scenario)


def test_deletion_beside_reports_and_a_worker_leaves_nothing_pending(store_url: str) -> None:
    """Reports, completions and both deletions at once: nobody meets a deadlock or an error, nothing is left to send."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver(lambda _: respond(500)) as receiver:
            token = await authorize(site, site.owner)
            for _ in range(3):
                await site.channel(receiver.url)
            projects = [await site.project() for _ in range(3)]

            async def report(project: int) -> None:
                for _ in range(15):
                    try:
                        await send(site, token, create_run, NewRun("r", project), lock=Lock.SHARED)
                    except (NotFound, Unauthenticated):
                        return

            async def delete() -> None:
                for project in projects[:2]:
                    await site.run(project_id=project)
                    await send(site, token, delete_project, project, lock=Lock.EXCLUSIVE)
                await send(site, token, delete_organization, site.organization_id, lock=Lock.EXCLUSIVE)

            await asyncio.gather(*(report(project) for project in projects for _ in range(2)), delete())
            rows = await wait_for_rows(
                site, lambda rows: all(row["status"] not in {"pending", "sending"} for row in rows)
            )

        assert {"failed", "cancelled"} >= {row["status"] for row in rows}
        told = {row["message"] for row in rows if row["status"] == "cancelled"}
        assert told <= {
            "The project was deleted before this was sent.",
            "The organization was deleted before this was sent.",
        }

    run_with_worker(store_url, scenario)
