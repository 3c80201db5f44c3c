"""A run from its first report to its end, on both stores: what is kept, and what is told in the same commit."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from loadbell.domain.errors import Conflict, IllegalMove, Invalid, NotFound
from loadbell.domain.ids import SECOND
from loadbell.domain.notices import decode_notice
from loadbell.domain.orgs import Role
from loadbell.domain.runs import EndedBy, Link, Result, Run, RunStatus, Source, Threshold, Trigger
from loadbell.runs.lifecycle import NewRun, Report, create_run, get_run, report_run
from loadbell.store.engine.db import Transaction
from tests.support.stores import WATCHDOG, Play, Site, as_dict

ENDS = [3, 4, 6, 8, 9, 11, 12]


async def events(site: Site) -> list[tuple[str, int, str]]:
    """What was told so far, oldest first: event, status and status text of each payload."""
    rows = await site.rows("SELECT payload FROM events ORDER BY id")
    told = [json.loads(row["payload"]) for row in rows]
    return [(item["event"], item["status"], item["status_text"]) for item in told]


async def list_all_rows(site: Site) -> list[list[Any]]:
    """Every row that a use case on runs could change."""
    tables: Sequence[str] = ("runs", "tests", "events", "deliveries", "audit_entries")
    return [[as_dict(row) for row in await site.rows(f"SELECT * FROM {table} ORDER BY id")] for table in tables]


def test_a_run_that_begins_running_is_told(play: Play) -> None:
    """The default is Running: started now, told once, to each subscribed channel."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.channel()
        run = await site.run()

        assert (RunStatus.RUNNING, None, site.clock.now, None) == (
            run.status, run.result, run.started_at, run.ended_at,
        )  # fmt: skip
        assert (Source.REST, Trigger.UNKNOWN, site.project_id, None) == (
            run.source, run.trigger, run.project_id, run.watchdog,
        )  # fmt: skip
        assert [("test.started", 2, "Running")] == await events(site)
        assert 2 == len(await site.rows("SELECT id FROM deliveries"))
        assert run == await site.do(get_run, site.owner, run.id)

    play(scenario)


@pytest.mark.parametrize("code", [-1, 0, 1])
def test_a_run_that_waits_is_not_told_until_it_runs(play: Play, code: int) -> None:
    """Created, Queued and Initializing are nobody's news; becoming Running is."""

    async def scenario(site: Site) -> None:
        run = await site.run(status=RunStatus(code))
        quiet = await events(site)
        site.clock.advance(SECOND)
        running = await site.report(run, RunStatus.RUNNING)

        assert ([], None) == (quiet, run.started_at)
        assert site.clock.now == running.started_at
        assert [("test.started", 2, "Running")] == await events(site)

    play(scenario)


@pytest.mark.parametrize("code", ENDS)
def test_every_end_is_told_with_its_text(play: Play, code: int) -> None:
    """Whatever way a run ends, test.finished says so; an end before Running has no test.started."""

    async def scenario(site: Site) -> None:
        status = RunStatus(code)
        ended = await site.report(await site.run(), status)
        early = await site.report(await site.run(status=RunStatus.QUEUED), status)
        told = await site.run(status=status)

        assert [(status, EndedBy.REPORT, site.clock.now)] * 3 == [
            (run.status, run.ended_by, run.ended_at) for run in (ended, early, told)
        ]
        finished = ("test.finished", code, status.text)
        assert sorted([("test.started", 2, "Running"), finished, finished, finished]) == sorted(await events(site))

    play(scenario)


def test_the_same_status_again_is_accepted_and_told_to_nobody(play: Play) -> None:
    """A source that repeats itself because an answer was lost does no harm, at any stage."""

    async def scenario(site: Site) -> None:
        run = await site.run(status=RunStatus.CREATED)
        for status in (-1, 0, 1, 2, 5, 6):
            for _ in range(3):
                site.clock.advance(1)
                run = await site.report(run, RunStatus(status))
                assert status == run.status
        told = [("test.started", 2, "Running"), ("test.finished", 6, "Aborted by user")]

        assert told == await events(site)

    play(scenario)


@pytest.mark.parametrize(("current", "wanted"), [(2, 1), (2, -1), (3, 2), (3, 12), (6, 3), (12, 3)])
def test_an_illegal_move_changes_nothing(play: Play, current: int, wanted: int) -> None:
    """It is refused with both statuses named, and not even its metrics or its time are kept."""

    async def scenario(site: Site) -> None:
        await site.channel()
        run = await site.run(status=RunStatus(current))
        before = await list_all_rows(site)
        site.clock.advance(SECOND)
        with pytest.raises(IllegalMove):
            await site.report(run, RunStatus(wanted), metrics={"rps": 1.0}, note="?")

        assert before == await list_all_rows(site)

    play(scenario)


@pytest.mark.parametrize("code", [5, 7, 10])
def test_a_run_can_not_begin_as_aborting(play: Play, code: int) -> None:
    """Nothing runs that could be aborted."""

    async def scenario(site: Site) -> None:
        before = await list_all_rows(site)
        with pytest.raises(Invalid) as refused:
            await site.run(status=RunStatus(code))

        assert ["status"] == [error.field for error in refused.value.errors]
        assert before == await list_all_rows(site)

    play(scenario)


@pytest.mark.parametrize(
    ("code", "reported", "expected"),
    [
        (3, None, Result.UNKNOWN),
        (3, Result.PASSED, Result.PASSED),
        (3, Result.FAILED, Result.FAILED),
        (8, Result.PASSED, Result.PASSED),
        (11, None, Result.FAILED),
        (12, None, Result.FAILED),
        (12, Result.UNKNOWN, Result.UNKNOWN),
    ],
)
def test_the_result_is_as_reported_else_what_the_status_proves(
    play: Play, code: int, reported: Result | None, expected: Result
) -> None:
    """Failed for crossed thresholds, else unknown."""

    async def scenario(site: Site) -> None:
        run = await site.report(await site.run(), RunStatus(code), result=reported)
        afterwards = await site.run(status=RunStatus(code), result=reported)

        assert [expected, expected] == [run.result, afterwards.result]

    play(scenario)


@pytest.mark.parametrize(
    ("status", "result"), [(11, Result.PASSED), (12, Result.PASSED), (None, Result.PASSED), (2, Result.FAILED)]
)
def test_a_result_that_can_not_be_is_refused(play: Play, status: int | None, result: Result) -> None:
    """Not "passed" with crossed thresholds, and none before the end."""

    async def scenario(site: Site) -> None:
        run = await site.run()
        before = await list_all_rows(site)
        with pytest.raises(Invalid) as refused:
            await site.report(run, None if status is None else RunStatus(status), result=result)
        with pytest.raises(Invalid) as refused_afterwards:
            await site.run(status=run.status if status is None else RunStatus(status), result=result)

        for error in (refused.value, refused_afterwards.value):
            assert ["result"] == [field.field for field in error.errors]
        assert before == await list_all_rows(site)

    play(scenario)


def test_an_ended_run_takes_figures_and_a_note_but_no_other_result(play: Play) -> None:
    """Metrics are merged, thresholds and note replaced, and the result stays as it was."""

    async def scenario(site: Site) -> None:
        run = await site.run()
        await site.report(run, RunStatus.FINISHED, result=Result.PASSED, metrics={"rps": 1.0, "p95": 2.0})
        criteria = (Threshold("p95<3", ok=True, value=2.5),)
        ended = await site.report(run, metrics={"p95": 2.5}, thresholds=criteria, note="late figures")
        same = await site.report(run, result=Result.PASSED)

        assert ({"rps": 1.0, "p95": 2.5}, criteria, "late figures") == (ended.metrics, ended.thresholds, ended.note)
        assert ended == same
        with pytest.raises(Conflict):
            await site.report(run, result=Result.FAILED)
        assert ended == await site.do(get_run, site.owner, run.id)
        assert 2 == len(await events(site))

    play(scenario)


def test_what_a_source_says_of_its_run_is_kept(play: Play) -> None:
    """Trigger, source, links and a name of 10,000 unicode characters come back as they were."""

    async def scenario(site: Site) -> None:
        links = (Link("CI job", "https://ci.example.org/1"),)
        run = await site.run(name="🔔" * 10_000, trigger=Trigger.CI, source=Source.K6, links=links)

        assert ("🔔" * 10_000, Trigger.CI, Source.K6, links, WATCHDOG) == (
            run.name, run.trigger, run.source, run.links, run.watchdog,
        )  # fmt: skip
        assert run == await site.do(get_run, site.owner, run.id)

    play(scenario)


def test_a_run_that_is_told_of_afterwards_brings_all_that_is_known(play: Play) -> None:
    """Result, metrics, thresholds and note are kept, and people are told of them."""

    async def scenario(site: Site) -> None:
        criteria = (Threshold("p95<500", ok=False, value=731.0),)
        run = await site.run(
            status=RunStatus.FINISHED,
            result=Result.FAILED,
            metrics={"rps": 12.5},
            thresholds=criteria,
            note="nightly",
        )
        (row,) = await site.rows("SELECT notice FROM events")
        notice = decode_notice(row["notice"])

        assert (Result.FAILED, {"rps": 12.5}, criteria, "nightly") == (
            run.result, run.metrics, run.thresholds, run.note,
        )  # fmt: skip
        assert await site.do(get_run, site.owner, run.id) == run
        assert ("Load test failed", criteria) == (notice.headline, notice.thresholds)
        assert notice.why == "1 of 1 thresholds failed. nightly"

    play(scenario)


def test_runs_of_one_name_are_runs_of_one_test(play: Play) -> None:
    """Within a project; another name or another project is another test."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        first, same = await site.run(name="a"), await site.run(name="a")
        differing = [await site.run(name="A"), await site.run(name="a", project_id=other)]

        assert first.test_id == same.test_id
        assert 3 == len({first.test_id, *(run.test_id for run in differing)})

    play(scenario)


def test_a_run_goes_to_the_first_project_that_its_reporter_sees(play: Play) -> None:
    """The organization's default for most, an assigned one for a member, none for who is assigned to none."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        member, nobody = await site.person(Role.MEMBER, (other,)), await site.person(Role.MEMBER)

        assert [site.project_id, other] == [(await site.run(asker)).project_id for asker in (site.owner, member)]
        with pytest.raises(NotFound, match="aren't assigned to a project"):
            await site.run(nobody)

    play(scenario)


def test_a_rolled_back_report_tells_nobody(play: Play) -> None:
    """Move, event and deliveries are one commit: when anything after them fails, none of them happened."""

    async def scenario(site: Site) -> None:
        await site.channel()
        run = await site.run(status=RunStatus.QUEUED)
        before = await list_all_rows(site)

        async def create_then_fail(tx: Transaction) -> None:
            await site.call(create_run, tx, site.owner, NewRun("x"))
            raise KeyError("after the use case")

        async def report_then_fail(tx: Transaction) -> None:
            await site.call(report_run, tx, site.owner, run.id, Report(status=RunStatus.RUNNING))
            raise KeyError("after the use case")

        for failing in (create_then_fail, report_then_fail):
            with pytest.raises(KeyError):
                await site.database.write(failing)

        assert before == await list_all_rows(site)

    play(scenario)


def test_payload_and_deliveries_are_frozen_when_it_happens(play: Play) -> None:
    """Later changes of run and channels change neither what an event says nor whom it goes to."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        run: Run = await site.run()
        first = await site.rows("SELECT * FROM events")
        await site.report(run, RunStatus.FINISHED, note="changed")
        await site.channel()
        (kept,) = await site.rows("SELECT * FROM events WHERE name = 'test.started'")
        receivers = await site.rows("SELECT channel_id FROM deliveries WHERE event_id = :id", id=kept["id"])

        assert as_dict(first[0]) == as_dict(kept)
        assert [channel.id] == [row["channel_id"] for row in receivers]

    play(scenario)


def test_a_run_does_not_end_before_it_started(play: Play) -> None:
    """Although the clock was set back while it ran: no duration is negative."""

    async def scenario(site: Site) -> None:
        run = await site.run(status=RunStatus.CREATED)
        site.clock.advance(-SECOND)
        running = await site.report(run, RunStatus.RUNNING)
        site.clock.advance(-3600 * SECOND)
        ended = await site.report(run, RunStatus.FINISHED)
        moves = await site.rows("SELECT moved_at FROM run_moves ORDER BY id")

        assert [run.created_at] * 2 == [running.started_at, ended.ended_at]
        assert [run.created_at] * 3 == [row["moved_at"] for row in moves]

    play(scenario)
