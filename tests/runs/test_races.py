"""Reports that come at the same time: one after the other in some order, never half of each."""

import asyncio
from collections import Counter

from loadbell.domain.errors import IllegalMove
from loadbell.domain.runs import Result, Run, RunStatus, Source
from loadbell.runs.lifecycle import abort_run, get_run, heartbeat
from tests.runs.test_lifecycle import events
from tests.support.stores import Play, Site

ENDS = [RunStatus(code) for code in (3, 4, 6, 8, 9, 11, 12)]


def test_of_many_ends_at_once_exactly_one_wins(play: Play) -> None:
    """The run has one end, told once; every other report is an illegal move, or the same again."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(5):
            run = await site.run()
            outcomes = await asyncio.gather(*(site.report(run, status) for status in ENDS), return_exceptions=True)
            won = [outcome for outcome in outcomes if isinstance(outcome, Run)]
            kept = await site.do(get_run, site.owner, run.id)

            assert [kept.status] == [each.status for each in won]
            assert Counter({IllegalMove: 6}) == Counter(type(each) for each in outcomes if isinstance(each, Exception))
        told = Counter(name for name, _, _ in await events(site))

        assert Counter({"test.started": 5, "test.finished": 5}) == told
        assert 10 == len(await site.rows("SELECT id FROM deliveries"))

    play(scenario)


def test_the_same_report_at_once_is_told_once(play: Play) -> None:
    """A source that sends its report several times in parallel makes one event."""

    async def scenario(site: Site) -> None:
        run = await site.run(status=RunStatus.QUEUED)
        await asyncio.gather(*(site.report(run, RunStatus.RUNNING) for _ in range(8)))
        await asyncio.gather(*(site.report(run, RunStatus.FINISHED, result=Result.PASSED) for _ in range(8)))

        assert Counter({"test.started": 1, "test.finished": 1}) == Counter(name for name, _, _ in await events(site))

    play(scenario)


def test_figures_from_several_generators_are_all_kept(play: Play) -> None:
    """Metrics that are reported at the same time do not overwrite each other."""

    async def scenario(site: Site) -> None:
        run = await site.run(source=Source.K6)
        names = [f"m{number}" for number in range(10)]
        await asyncio.gather(
            *(site.do(heartbeat, site.owner, run.id, {name: 1.0}) for name in names[:5]),
            *(site.report(run, metrics={name: 1.0}) for name in names[5:]),
        )

        assert dict.fromkeys(names, 1.0) == (await site.do(get_run, site.owner, run.id)).metrics

    play(scenario)


def test_an_abort_and_an_end_at_once_agree(play: Play) -> None:
    """Whichever is first, the run ends once and the tool's own end is its end."""

    async def scenario(site: Site) -> None:
        for _ in range(5):
            run = await site.run(source=Source.K6)
            await asyncio.gather(
                site.do(abort_run, site.owner, run.id), site.report(run, RunStatus.FINISHED), return_exceptions=True
            )

            assert RunStatus.FINISHED is (await site.do(get_run, site.owner, run.id)).status
        assert 5 == Counter(name for name, _, _ in await events(site))["test.finished"]

    play(scenario)


def test_one_new_name_at_once_makes_one_test(play: Play) -> None:
    """Runs that are created together under a new name are runs of the same test."""

    async def scenario(site: Site) -> None:
        runs = await asyncio.gather(*(site.run(name="brand new") for _ in range(10)))

        assert 10 == len({run.id for run in runs})
        assert 1 == len({run.test_id for run in runs})

    play(scenario)
