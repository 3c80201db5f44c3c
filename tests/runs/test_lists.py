"""Runs as they are looked at: the list and its filters, and what an asker does not see."""

from typing import Any

import pytest

from loadbell.domain.errors import NotFound
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Principal, Role
from loadbell.domain.runs import Result, RunCounts, RunStatus, Source
from loadbell.runs.lifecycle import (
    abort_run,
    count_runs,
    end_silent_run,
    get_run,
    get_visible_run,
    list_moves,
    list_runs,
)
from tests.support.stores import WATCHDOG, Play, Site


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["Checkout", "Search", "Checkout slow"]),
        ({"status": RunStatus.FINISHED}, ["Search"]),
        ({"result": Result.PASSED}, ["Search"]),
        ({"source": Source.K6}, ["Checkout slow"]),
        ({"text": "checkout"}, ["Checkout", "Checkout slow"]),
        ({"open_only": True}, ["Checkout", "Checkout slow"]),
    ],
)
def test_each_filter_of_the_list_of_runs(play: Play, filters: dict[str, Any], names: list[str]) -> None:
    """The newest run first, and those alone that pass it; what comes after one of them is older."""

    async def scenario(site: Site) -> None:
        await site.run(name="Checkout slow", source=Source.K6)
        await site.run(name="Search", status=RunStatus.FINISHED, result=Result.PASSED)
        newest = await site.run(name="Checkout")

        async def listed(**asked: Any) -> list[str]:
            runs, _ = await site.do(list_runs, site.owner, limit=9, **asked)
            return [run.name for run in runs]

        assert names == await listed(**filters)
        assert [name for name in names if name != "Checkout"] == await listed(**filters, before=newest.id)

    play(scenario)


def test_the_list_of_a_project(play: Play) -> None:
    """It has the runs of that one; a project that the asker doesn't see does not exist."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        mine, theirs = await site.run(), await site.run(project_id=other)
        member = await site.person(Role.MEMBER, (other,))

        async def listed(who: Principal, project_id: int) -> list[int]:
            runs, _ = await site.do(list_runs, who, project_id=project_id, limit=9)
            return [run.id for run in runs]

        assert [[mine.id], [theirs.id]] == [await listed(site.owner, project) for project in (site.project_id, other)]
        assert [theirs.id] == await listed(member, other)
        for principal, unseen in ((member, site.project_id), (site.owner, other + 1)):
            with pytest.raises(NotFound, match=f"^There is no project {unseen}\\.$"):
                await listed(principal, unseen)

    play(scenario)


def test_a_run_that_is_not_seen_does_not_exist(play: Play) -> None:
    """Whether it is of a project that the asker doesn't see, or there is none, it is said in the same words."""

    async def scenario(site: Site) -> None:
        run = await site.run()
        member = await site.person(Role.MEMBER, (await site.project(),))
        for principal, unseen in ((member, run.id), (site.owner, run.id + 1)):
            for asked in (get_run, list_moves, get_visible_run, abort_run):
                with pytest.raises(NotFound, match=f"^There is no run {unseen}\\.$"):
                    await site.do(asked, principal, unseen)

    play(scenario)


def test_how_many_runs_stand_how(play: Play) -> None:
    """Those that the asker sees, by their result; what has not ended is running."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        await site.run()
        await site.run(status=RunStatus.CREATED)
        for result in (Result.PASSED, Result.PASSED, Result.UNKNOWN):
            await site.run(status=RunStatus.FINISHED, result=result)
        await site.run(status=RunStatus.FAILED_THRESHOLD, project_id=other)
        member = await site.person(Role.MEMBER, (other,))

        all_of_them = RunCounts(all=6, running=2, failed=1, passed=2, unknown=1, more=False)
        assert all_of_them == await site.do(count_runs, site.owner)
        theirs = RunCounts(all=1, running=0, failed=1, passed=0, unknown=0, more=False)
        assert theirs == await site.do(count_runs, member)

    play(scenario)


def test_the_moves_of_a_run_agree_with_its_times(play: Play) -> None:
    """An end that was told late is shown when it was, as the run itself has it."""

    async def scenario(site: Site) -> None:
        created = site.clock.now
        run = await site.run(status=RunStatus.INITIALIZING)
        site.clock.advance(10 * SECOND)
        await site.report(run, RunStatus.RUNNING)
        site.clock.advance(60 * SECOND)
        ended = await site.report(run, RunStatus.FINISHED, duration=30 * SECOND)
        moves = await site.do(list_moves, site.owner, run.id)

        assert (created + 10 * SECOND, created + 40 * SECOND) == (ended.started_at, ended.ended_at)
        assert [
            (RunStatus.INITIALIZING, created),
            (RunStatus.RUNNING, ended.started_at),
            (RunStatus.FINISHED, ended.ended_at),
        ] == [(move.status, move.at) for move in moves]

    play(scenario)


def test_the_moves_of_a_corrected_run_say_what_was_told_when(play: Play) -> None:
    """Its silent end was told at that time, and the correction after it, whenever the run really ended."""

    async def scenario(site: Site) -> None:
        began = site.clock.now
        run = await site.run(source=Source.K6)
        site.clock.advance(WATCHDOG)
        await site.do(end_silent_run, site.organization_id, run.id)
        site.clock.advance(SECOND)
        corrected = await site.report(run, RunStatus.FINISHED, duration=5 * SECOND)
        moves = await site.do(list_moves, site.owner, run.id)

        assert began + 5 * SECOND == corrected.ended_at
        assert [
            (RunStatus.RUNNING, began),
            (RunStatus.TIMED_OUT, began + WATCHDOG),
            (RunStatus.FINISHED, began + WATCHDOG + SECOND),
        ] == [(move.status, move.at) for move in moves]

    play(scenario)
