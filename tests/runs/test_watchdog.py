"""The watchdog: silence ends a run, but only silence that was the source's own."""

import asyncio
import time
from dataclasses import replace

import pytest

from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.runs import RunStatus, Source
from loadbell.runs.lifecycle import end_silent_run, get_run, heartbeat
from loadbell.runs.watchdog import MAX_ENDED, Watchdog
from loadbell.store.engine.migrate import upgrade_postgresql
from tests.runs.test_lifecycle import events
from tests.support.postgres import MISSING, find_binaries, running_postgres
from tests.support.stores import WATCHDOG, Clock, Play, Site, open_store, settle


class _Watched(Watchdog):
    """A watchdog of ``site`` whose monotonic clock goes along with the site's, unless it is moved alone."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.steady = Clock()
        self.takes: Micros = 0  # how long each step of it takes
        super().__init__(site.database, clock=self._now, monotonic=self.steady)

    def _now(self) -> Micros:
        self.advance(self.takes)
        return self.site.clock()

    def advance(self, span: Micros) -> None:
        """Lets time pass without a look."""
        self.site.clock.advance(span)
        self.steady.advance(span)

    async def pass_time(self, span: Micros) -> int:
        """Lets time pass, with a look each second and at its end; gives how many runs were ended."""
        ended = 0
        while span > 0:
            self.advance(min(span, SECOND))
            span -= SECOND
            ended += await self.end_silent_runs()
        return ended


async def _watching(site: Site) -> _Watched:
    """A watchdog that has seen what there is so far."""
    watchdog = _Watched(site)
    assert 0 == await watchdog.end_silent_runs()
    return watchdog


def test_silence_ends_a_run_as_timed_out(play: Play) -> None:
    """Not a microsecond before its time, once, and told as test.finished."""

    async def scenario(site: Site) -> None:
        run = await site.run(source=Source.K6)
        watchdog = await _watching(site)
        early = await watchdog.pass_time(WATCHDOG - 1)
        watchdog.advance(1)
        late = [await watchdog.end_silent_runs(), await watchdog.end_silent_runs()]
        ended = await site.do(get_run, site.owner, run.id)

        assert (0, [1, 0]) == (early, late)
        assert (RunStatus.TIMED_OUT, site.clock.now) == (ended.status, ended.ended_at)
        assert [2, 4] == [status for _, status, _ in await events(site)]

    play(scenario)


@pytest.mark.parametrize(("code", "end"), [(-1, 4), (1, 4), (5, 6), (7, 8), (10, 11)])
def test_how_silence_ends_a_run_in_each_stage(play: Play, code: int, end: int) -> None:
    """Timed out before and while it runs; aborted by whoever asked while it is being aborted."""

    async def scenario(site: Site) -> None:
        run = await site.run(source=Source.WRAP, status=RunStatus(min(code, 2)))
        await site.report(run, RunStatus(code))
        watchdog = await _watching(site)

        assert 1 == await watchdog.pass_time(WATCHDOG)
        assert RunStatus(end) is (await site.do(get_run, site.owner, run.id)).status

    play(scenario)


def test_whoever_speaks_is_not_silent(play: Play) -> None:
    """A heartbeat and a report each begin the time anew."""

    async def scenario(site: Site) -> None:
        beating, reporting = [await site.run(watchdog=10 * SECOND) for _ in range(2)]
        watchdog = await _watching(site)
        for _ in range(4):
            assert 0 == await watchdog.pass_time(9 * SECOND)
            await site.do(heartbeat, site.owner, beating.id, None)
            await site.report(reporting, metrics={"rps": 1.0})
        assert 0 == await watchdog.pass_time(10 * SECOND)  # the first look saw that they had spoken

        assert 2 == await watchdog.pass_time(SECOND)

    play(scenario)


def test_a_rest_run_is_watched_only_when_it_asked_for_it(play: Play) -> None:
    """And then for as long as it asked for."""

    async def scenario(site: Site) -> None:
        await site.run()
        run = await site.run(watchdog=10 * SECOND)
        watchdog = await _watching(site)

        assert (1, 0) == (await watchdog.pass_time(10 * SECOND), await watchdog.pass_time(2 * WATCHDOG))
        assert RunStatus.TIMED_OUT is (await site.do(get_run, site.owner, run.id)).status

    play(scenario)


def test_silence_before_a_start_does_not_count(play: Play) -> None:
    """After a start each source has its whole time again."""

    async def scenario(site: Site) -> None:
        await site.run(source=Source.K6)
        site.clock.advance(10 * WATCHDOG)
        watchdog = await _watching(site)

        assert (0, 1) == (await watchdog.pass_time(WATCHDOG - 1), await watchdog.pass_time(SECOND))

    play(scenario)


@pytest.mark.parametrize("gap_s", [3, 9, 120, 100_000])
def test_silence_while_this_process_stood_still_does_not_count(play: Play, gap_s: int) -> None:
    """Suspended, or blocked, it could take no report: what came then is still to be read, so each run begins anew."""

    async def scenario(site: Site) -> None:
        await site.run(watchdog=5 * SECOND)
        watchdog = await _watching(site)
        before = await watchdog.pass_time(4 * SECOND)
        watchdog.advance(gap_s * SECOND)
        ended = [
            await watchdog.end_silent_runs(),
            await watchdog.pass_time(5 * SECOND - 1),
            await watchdog.pass_time(SECOND),
        ]

        assert (0, [0, 0, 1]) == (before, ended)

    play(scenario)


def test_silence_while_the_machine_was_suspended_does_not_count(play: Play) -> None:
    """Its monotonic clock stood still, and the system's went on."""

    async def scenario(site: Site) -> None:
        await site.run(watchdog=5 * SECOND)
        watchdog = await _watching(site)
        await watchdog.pass_time(4 * SECOND)
        site.clock.advance(3600 * SECOND)

        assert [0, 0, 1] == [await watchdog.pass_time(SECOND * part) for part in (1, 4, 1)]

    play(scenario)


@pytest.mark.parametrize("step_s", [600, 2, -2, -600, -1_000_000])
def test_a_clock_that_is_set_ends_no_living_run_and_spares_no_dead_one(play: Play, step_s: int) -> None:
    """However far it is set, forward or back: who reports lives, and who is silent ends in its own time or anew."""

    async def scenario(site: Site) -> None:
        living, silent = [await site.run(watchdog=5 * SECOND) for _ in range(2)]
        watchdog = await _watching(site)
        for second in range(20):
            if second == 3:
                site.clock.advance(step_s * SECOND)
            if second % 3 == 0:
                await site.do(heartbeat, site.owner, living.id, None)
            await watchdog.pass_time(SECOND)

        assert RunStatus.RUNNING is (await site.do(get_run, site.owner, living.id)).status
        assert RunStatus.TIMED_OUT is (await site.do(get_run, site.owner, silent.id)).status

    play(scenario)


@pytest.mark.parametrize("wrong_s", [600, -600])
def test_a_wrong_clock_of_another_process_ends_no_run(play: Play, wrong_s: int) -> None:
    """Its reports carry its own time, and its watchdog reads ours: each counts only what it has watched itself."""

    async def scenario(site: Site) -> None:
        run = await site.run(watchdog=5 * SECOND)
        ours, theirs = await _watching(site), await _watching(site)
        theirs.site = replace(site, clock=Clock())
        theirs.site.clock.advance(wrong_s * SECOND)
        for second in range(12):
            if second % 4 == 0:
                await site.do(heartbeat, site.owner, run.id, None)
            ended = await ours.pass_time(SECOND) + await theirs.pass_time(SECOND)
            assert 0 == ended

    play(scenario)


def test_a_report_that_comes_while_a_silent_run_is_ended_is_heard(play: Play) -> None:
    """Between the look and the end the source spoke, so the run goes on."""

    async def scenario(site: Site) -> None:
        run = await site.run(watchdog=5 * SECOND)
        heard_at = run.last_report_at
        site.clock.advance(5 * SECOND)
        await site.do(heartbeat, site.owner, run.id, None)

        assert await site.do(end_silent_run, site.organization_id, run.id, heard_at=heard_at) is None
        assert RunStatus.RUNNING is (await site.do(get_run, site.owner, run.id)).status

    play(scenario)


def test_silence_while_the_database_was_away_does_not_count() -> None:
    """When the server answers again, sources that could not report have their whole time again."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    with running_postgres() as server:
        asyncio.run(upgrade_postgresql(server.url))

        async def scenario() -> None:
            async with open_store(server.url) as database:
                site = await settle(database)
                await site.run(watchdog=5 * SECOND)
                watchdog = await _watching(site)
                await watchdog.pass_time(4 * SECOND)
                await asyncio.to_thread(server.stop)
                watchdog.advance(SECOND)
                with pytest.raises(Unavailable):
                    await watchdog.end_silent_runs()
                await asyncio.to_thread(server.start)

                assert [0, 0, 1] == [await watchdog.pass_time(part * SECOND) for part in (1, 4, 1)]

        asyncio.run(asyncio.wait_for(scenario(), 60))


def test_the_watchdog_looks_by_itself(play: Play) -> None:
    """From start to stop, with no request coming in, although it failed once."""

    async def scenario(site: Site) -> None:
        run = await site.run(watchdog=1)
        fails = [True]

        def clock() -> Micros:
            if fails and fails.pop():
                raise RuntimeError("no time")
            return time.monotonic_ns() // 1000

        watchdog = Watchdog(site.database, clock=site.clock, monotonic=clock)
        watchdog.start()
        for _ in range(600):
            if (await site.do(get_run, site.owner, run.id)).status.is_final:
                break
            await asyncio.sleep(0.05)
        await watchdog.stop()

        assert RunStatus.TIMED_OUT is (await site.do(get_run, site.owner, run.id)).status

    play(scenario)


def test_a_thousand_silent_runs_end_in_turns(play_on_sqlite: Play) -> None:
    """Each look ends a hundred at most, the longest silent first, so that reports are not held up."""

    async def scenario(site: Site) -> None:
        older = [await site.run(watchdog=SECOND) for _ in range(30)]
        watchdog = await _watching(site)
        watchdog.advance(SECOND // 2)
        for _ in range(200):
            await site.run(watchdog=SECOND)
        await watchdog.end_silent_runs()
        watchdog.advance(SECOND)
        first = await watchdog.end_silent_runs()
        ended = await site.rows("SELECT id FROM runs WHERE ended_at IS NOT NULL")

        assert [MAX_ENDED, MAX_ENDED, 30, 0] == [first, *[await watchdog.end_silent_runs() for _ in range(3)]]
        assert {run.id for run in older} <= {row["id"] for row in ended}

    play_on_sqlite(scenario)


def test_ending_many_runs_slowly_begins_no_run_anew(play_on_sqlite: Play) -> None:
    """The watchdog's own work is no gap, however long all of it takes."""

    async def scenario(site: Site) -> None:
        for _ in range(6):
            await site.run(watchdog=5 * SECOND)
        watchdog = await _watching(site)
        await watchdog.pass_time(4 * SECOND)
        watchdog.advance(SECOND)
        watchdog.takes = SECOND

        assert 6 == await watchdog.end_silent_runs()

    play_on_sqlite(scenario)


def test_two_watchdogs_end_a_run_once(play: Play) -> None:
    """Of several processes that notice the same silence, one tells of it."""

    async def scenario(site: Site) -> None:
        for _ in range(5):
            await site.run(watchdog=SECOND)
        watchdogs = [await _watching(site) for _ in range(4)]
        for watchdog in watchdogs:
            watchdog.steady.advance(SECOND)
        site.clock.advance(SECOND)
        ended = await asyncio.gather(*(watchdog.end_silent_runs() for watchdog in watchdogs))

        assert 5 == sum(ended)
        assert 10 == len(await events(site))

    play(scenario)
