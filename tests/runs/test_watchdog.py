"""The watchdog: silence ends a run, but only silence that was the source's own."""

import asyncio

import pytest

from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus, Source
from loadbell.runs.lifecycle import get_run, heartbeat
from loadbell.runs.watchdog import Watchdog
from loadbell.store.migrate import upgrade_postgresql
from tests.runs.test_lifecycle import events
from tests.support.postgres import MISSING, find_binaries, running_postgres
from tests.support.stores import WATCHDOG, Play, Site, opened, settle


def _watchdog(site: Site) -> Watchdog:
    return Watchdog(site.database, clock=site.clock, entropy=site.chance.randbytes)


def test_silence_ends_a_run_as_timed_out(play: Play) -> None:
    """Not a microsecond before its time, once, and told as test.finished."""

    async def scenario(site: Site) -> None:
        watchdog = _watchdog(site)
        run = await site.run(source=Source.K6)
        site.clock.advance(WATCHDOG - 1)
        early = await watchdog.look()
        site.clock.advance(1)
        late = [await watchdog.look(), await watchdog.look()]
        ended = await site.do(get_run, site.owner, run.id)

        assert (0, [1, 0]) == (early, late)
        assert (RunStatus.TIMED_OUT, site.clock.now) == (ended.status, ended.ended_at)
        assert [2, 4] == [status for _, status, _ in await events(site)]

    play(scenario)


@pytest.mark.parametrize(("code", "end"), [(-1, 4), (1, 4), (5, 6), (7, 8), (10, 11)])
def test_how_silence_ends_a_run_in_each_stage(play: Play, code: int, end: int) -> None:
    """Timed out before and while it runs; aborted by whoever asked while it is being aborted."""

    async def scenario(site: Site) -> None:
        watchdog = _watchdog(site)
        run = await site.run(source=Source.WRAP, status=RunStatus(min(code, 2)))
        await site.report(run, RunStatus(code))
        site.clock.advance(WATCHDOG)

        assert 1 == await watchdog.look()
        assert RunStatus(end) is (await site.do(get_run, site.owner, run.id)).status

    play(scenario)


def test_whoever_speaks_is_not_silent(play: Play) -> None:
    """A heartbeat and a report each begin the time anew."""

    async def scenario(site: Site) -> None:
        watchdog = _watchdog(site)
        beating, reporting = await site.run(source=Source.K6), await site.run(source=Source.K6)
        for _ in range(4):
            site.clock.advance(WATCHDOG - 1)
            await site.do(heartbeat, site.owner, beating.id, None)
            await site.report(reporting, metrics={"rps": 1.0})
            assert 0 == await watchdog.look()
        site.clock.advance(WATCHDOG)

        assert 2 == await watchdog.look()

    play(scenario)


def test_a_rest_run_is_watched_only_when_it_asked_for_it(play: Play) -> None:
    """And then for as long as it asked for."""

    async def scenario(site: Site) -> None:
        watchdog = _watchdog(site)
        await site.run()
        asked = await site.run(watchdog=10 * SECOND)
        site.clock.advance(10 * SECOND)
        first = await watchdog.look()
        site.clock.advance(1000 * WATCHDOG)

        assert (1, 0) == (first, await watchdog.look())
        assert RunStatus.TIMED_OUT is (await site.do(get_run, site.owner, asked.id)).status

    play(scenario)


def test_silence_while_we_were_away_does_not_count(play: Play) -> None:
    """After a start each source has its whole time again; so it has when the database was away."""

    async def scenario(site: Site) -> None:
        await site.run(source=Source.K6)
        site.clock.advance(10 * WATCHDOG)
        watchdog = _watchdog(site)
        just_started = await watchdog.look()
        site.clock.advance(WATCHDOG - 1)
        almost = await watchdog.look()
        site.clock.advance(1)

        assert (0, 0, 1) == (just_started, almost, await watchdog.look())

    play(scenario)


def test_silence_while_the_database_was_away_does_not_count() -> None:
    """When the server answers again, sources that could not report have their whole time again."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    with running_postgres() as server:
        asyncio.run(upgrade_postgresql(server.url))

        async def scenario() -> None:
            async with opened(server.url) as database:
                site = await settle(database)
                await site.run(source=Source.K6)
                looks: list[int] = []
                failed = asyncio.Event()

                def clock() -> int:
                    looks.append(site.clock.now)
                    if looks.count(max(looks)) == 4:  # each failed look asks twice: as it begins and as it fails
                        failed.set()
                    return site.clock.now

                watchdog = Watchdog(database, clock=clock, entropy=site.chance.randbytes)
                await asyncio.to_thread(server.stop)
                watchdog.start()
                site.clock.advance(10 * WATCHDOG)
                looks.clear()
                failed.clear()
                await failed.wait()
                await watchdog.stop()
                await asyncio.to_thread(server.start)
                back = await watchdog.look()
                site.clock.advance(WATCHDOG)

                assert (0, 1) == (back, await watchdog.look())

        asyncio.run(asyncio.wait_for(scenario(), 60))


def test_the_watchdog_looks_by_itself(play: Play) -> None:
    """From start to stop, with no request coming in."""

    async def scenario(site: Site) -> None:
        run = await site.run(watchdog=1)
        watchdog = _watchdog(site)
        watchdog.start()
        site.clock.advance(SECOND)
        for _ in range(200):
            if (await site.do(get_run, site.owner, run.id)).status.is_final:
                break
            await asyncio.sleep(0.05)
        await watchdog.stop()

        assert RunStatus.TIMED_OUT is (await site.do(get_run, site.owner, run.id)).status

    play(scenario)


def test_a_thousand_silent_runs_end_in_turns(play_on_sqlite: Play) -> None:
    """Each look ends a hundred at most, the longest silent first, so that reports are not held up."""

    async def scenario(site: Site) -> None:
        watchdog = _watchdog(site)
        for _ in range(230):
            await site.run(watchdog=SECOND)
        site.clock.advance(SECOND)

        assert [100, 100, 30, 0] == [await watchdog.look() for _ in range(4)]

    play_on_sqlite(scenario)


def test_two_watchdogs_end_a_run_once(play: Play) -> None:
    """Of several processes that notice the same silence, one tells of it."""

    async def scenario(site: Site) -> None:
        watchdogs = [_watchdog(site) for _ in range(4)]
        for _ in range(5):
            await site.run(watchdog=SECOND)
        site.clock.advance(SECOND)
        ended = await asyncio.gather(*(watchdog.look() for watchdog in watchdogs))

        assert 5 == sum(ended)
        assert 10 == len(await events(site))

    play(scenario)
