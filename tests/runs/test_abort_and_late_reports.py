"""Aborts by source, heartbeats, and the one late report that corrects a watchdog's end."""

import json

import pytest

from loadbell.domain.errors import Conflict, IllegalMove
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.runs import EndedBy, Result, Run, RunMove, RunStatus, Source
from loadbell.runs.lifecycle import NOT_STOPPED, abort_run, end_silent_run, get_run, heartbeat, list_moves
from tests.runs.test_lifecycle import events, list_all_rows
from tests.support.stores import WATCHDOG, Play, Site

DAY: Micros = 24 * 3600 * SECOND
STARTED = ("test.started", 2, "Running")
ABORTED = ("test.finished", 6, "Aborted by user")


async def _silence(site: Site, code: int = 2) -> Run:
    """A run of k6 that the watchdog ended."""
    run = await site.run(source=Source.K6)
    if code != 2:
        await site.report(run, RunStatus(code))
    site.clock.advance(WATCHDOG)
    ended = await site.do(end_silent_run, site.organization_id, run.id)
    assert ended is not None
    site.clock.advance(SECOND)
    return ended


@pytest.mark.parametrize("source", [Source.K6, Source.WRAP, Source.LOCUST])
def test_a_source_that_reports_regularly_is_told_to_stop(play: Play, source: Source) -> None:
    """The run is Aborting by user until the source reports its end; each heartbeat says abort."""

    async def scenario(site: Site) -> None:
        run = await site.run(source=source)
        quiet = await site.do(heartbeat, site.owner, run.id, None)
        asked = await site.do(abort_run, site.owner, run.id)
        told = [await site.do(heartbeat, site.owner, run.id, metrics) for metrics in (None, {"rps": 1.0})]
        site.clock.advance(SECOND)
        ended = await site.report(run, RunStatus.ABORTED_BY_USER)

        assert (False, RunStatus.ABORTING_BY_USER, None, [True, True]) == (quiet, asked.status, asked.note, told)
        assert (RunStatus.ABORTED_BY_USER, EndedBy.REPORT) == (ended.status, ended.ended_by)
        assert [STARTED, ABORTED] == await events(site)

    play(scenario)


@pytest.mark.parametrize("note", [None, "nightly"])
def test_a_source_that_can_not_be_told_is_aborted_at_once_and_the_answer_says_so(play: Play, note: str | None) -> None:
    """A REST run that asked for no watchdog ends here and now; its note is kept."""

    async def scenario(site: Site) -> None:
        run = await site.report(await site.run(), note=note)
        site.clock.advance(SECOND)
        ended = await site.do(abort_run, site.owner, run.id)

        assert (RunStatus.ABORTED_BY_USER, EndedBy.ABORT) == (ended.status, ended.ended_by)
        assert (f"{note}\n{NOT_STOPPED}" if note else NOT_STOPPED) == ended.note
        assert [STARTED, ABORTED] == await events(site)

    play(scenario)


def test_a_rest_run_that_asked_for_a_watchdog_is_told(play: Play) -> None:
    """Whoever must send heartbeats hears our answer."""

    async def scenario(site: Site) -> None:
        run = await site.run(watchdog=60 * SECOND)

        assert RunStatus.ABORTING_BY_USER is (await site.do(abort_run, site.owner, run.id)).status

    play(scenario)


@pytest.mark.parametrize("code", [-1, 0, 1])
@pytest.mark.parametrize("source", [Source.K6, Source.REST])
def test_before_it_runs_an_abort_ends_a_run_at_once(play: Play, code: int, source: Source) -> None:
    """There is no test.started; and a tool that goes on all the same is told to stop when it speaks."""

    async def scenario(site: Site) -> None:
        run = await site.run(status=RunStatus(code), source=source)
        ended = await site.do(abort_run, site.owner, run.id)

        assert (RunStatus.ABORTED_BY_USER, None) == (ended.status, ended.note)
        assert [ABORTED] == await events(site)
        assert await site.do(heartbeat, site.owner, run.id, None)
        with pytest.raises(IllegalMove):
            await site.report(run, RunStatus.RUNNING)

    play(scenario)


@pytest.mark.parametrize(("code", "told"), [(2, False), (5, True), (7, True), (10, True)])
def test_a_source_that_fell_silent_while_it_was_being_aborted_is_still_told_to_stop(
    play: Play, code: int, told: bool
) -> None:
    """The watchdog ended the run here; the load is on until the tool hears of the abort."""

    async def scenario(site: Site) -> None:
        run = await _silence(site, code)

        assert told is await site.do(heartbeat, site.owner, run.id, None)

    play(scenario)


def test_an_abort_twice_is_one(play: Play) -> None:
    """Asking again changes nothing; aborting what has ended is refused."""

    async def scenario(site: Site) -> None:
        run = await site.run(source=Source.K6)
        first = await site.do(abort_run, site.owner, run.id)
        site.clock.advance(SECOND)
        again = await site.do(abort_run, site.owner, run.id)
        await site.report(run, RunStatus.FINISHED)
        before = await list_all_rows(site)
        with pytest.raises(IllegalMove):
            await site.do(abort_run, site.owner, run.id)

        assert first == again
        assert before == await list_all_rows(site)

    play(scenario)


@pytest.mark.parametrize(
    ("source", "code"), [(Source.K6, 5), (Source.REST, 6)], ids=["its source is told", "its source can't be told"]
)
def test_an_abort_is_written_down(play: Play, source: Source, code: int) -> None:
    """Who asked for it stands in the audit log, with what it changed, and beside the move of the run."""

    async def scenario(site: Site) -> None:
        run = await site.run(source=source)
        site.clock.advance(SECOND)
        await site.do(abort_run, site.owner, run.id)
        *_, move = await site.do(list_moves, site.owner, run.id)
        (entry,) = await site.rows("SELECT user_id, action, subject, changes FROM audit_entries")

        assert (site.owner.user_id, "run.aborted", f"run {run.id}") == (
            entry["user_id"], entry["action"], entry["subject"],
        )  # fmt: skip
        assert {"status": {"before": 2, "after": code}} == json.loads(entry["changes"])
        name = (await site.rows("SELECT name FROM users"))[0]["name"]
        assert RunMove(RunStatus(code), site.clock.now, EndedBy.ABORT, name) == move

    play(scenario)


def test_a_heartbeat_keeps_time_and_figures_and_nothing_else(play: Play) -> None:
    """It tells nobody, and reopens no run that has ended."""

    async def scenario(site: Site) -> None:
        run = await site.run(source=Source.K6)
        await site.do(heartbeat, site.owner, run.id, {"rps": 1.0, "p95": 2.0})
        site.clock.advance(SECOND)
        await site.do(heartbeat, site.owner, run.id, {"p95": 3.0})
        alive = await site.do(get_run, site.owner, run.id)
        await site.report(run, RunStatus.FINISHED)
        site.clock.advance(SECOND)
        told = await site.do(heartbeat, site.owner, run.id, None)
        ended = await site.do(get_run, site.owner, run.id)

        assert ({"rps": 1.0, "p95": 3.0}, site.clock.now - SECOND) == (alive.metrics, alive.last_report_at)
        assert (False, RunStatus.FINISHED) == (told, ended.status)
        assert 2 == len(await events(site))

    play(scenario)


@pytest.mark.parametrize(("code", "end"), [(2, 4), (5, 6), (7, 8), (10, 11)])
def test_a_late_report_corrects_a_silent_end(play: Play, code: int, end: int) -> None:
    """By a second test.finished with ids of its own; the first stays in the log as it was."""

    async def scenario(site: Site) -> None:
        await site.channel()
        run = await _silence(site, code)
        corrected = await site.report(run, RunStatus.FAILED_THRESHOLD)
        told = await events(site)
        ids = await site.rows("SELECT id, event_id FROM deliveries WHERE event = 'test.finished'")

        assert (RunStatus(end), EndedBy.WATCHDOG) == (run.status, run.ended_by)
        assert (RunStatus.FAILED_THRESHOLD, Result.FAILED, EndedBy.REPORT) == (
            corrected.status, corrected.result, corrected.ended_by,
        )  # fmt: skip
        assert [end, 12] == [status for name, status, _ in told if name == "test.finished"]
        assert 4 == len({value for row in ids for value in (row["id"], row["event_id"])})

    play(scenario)


def test_a_late_report_of_the_same_end_with_a_result_corrects_too(play: Play) -> None:
    """A tool that did time out, and failed, is not refused because the watchdog had guessed the status."""

    async def scenario(site: Site) -> None:
        run = await _silence(site)
        same = await site.report(run, RunStatus.TIMED_OUT)
        corrected = await site.report(run, RunStatus.TIMED_OUT, result=Result.FAILED)

        assert [(Result.UNKNOWN, EndedBy.WATCHDOG), (Result.FAILED, EndedBy.REPORT)] == [
            (each.result, each.ended_by) for each in (same, corrected)
        ]
        assert [2, 4, 4] == [status for _, status, _ in await events(site)]

    play(scenario)


def test_a_late_report_counts_once(play: Play) -> None:
    """The second correction is an illegal move, and so is one of a report's own end."""

    async def scenario(site: Site) -> None:
        run = await _silence(site)
        await site.report(run, RunStatus.FINISHED, result=Result.PASSED)
        before = await list_all_rows(site)
        with pytest.raises(IllegalMove):
            await site.report(run, RunStatus.FAILED_THRESHOLD)
        with pytest.raises(Conflict):
            await site.report(run, RunStatus.FINISHED, result=Result.FAILED)

        assert before == await list_all_rows(site)

    play(scenario)


@pytest.mark.parametrize(("age", "accepted"), [(DAY, True), (DAY + 1, False)])
def test_a_late_report_counts_for_24_hours(play: Play, age: Micros, accepted: bool) -> None:
    """To the microsecond; later it is an illegal move."""

    async def scenario(site: Site) -> None:
        run = await _silence(site)
        site.clock.advance(age - SECOND)
        if accepted:
            assert RunStatus.FINISHED is (await site.report(run, RunStatus.FINISHED)).status
            return
        with pytest.raises(IllegalMove):
            await site.report(run, RunStatus.FINISHED)

    play(scenario)


def test_only_an_end_corrects_an_end(play: Play) -> None:
    """A late heartbeat, late figures, and a report that it runs again reopen nothing and use nothing up."""

    async def scenario(site: Site) -> None:
        run = await _silence(site)
        await site.do(heartbeat, site.owner, run.id, {"rps": 1.0})
        await site.report(run, metrics={"rps": 2.0}, note="still here")
        for code in (-1, 2, 5):
            with pytest.raises(IllegalMove):
                await site.report(run, RunStatus(code))
        with pytest.raises(Conflict):
            await site.report(run, result=Result.FAILED)

        assert RunStatus.TIMED_OUT is (await site.do(get_run, site.owner, run.id)).status
        assert RunStatus.FINISHED is (await site.report(run, RunStatus.FINISHED)).status

    play(scenario)
