"""Lists: newest first, page by page without gap or repeat, and filtered by what was asked for only."""

from typing import Any
from uuid import UUID

import pytest

from loadbell.domain.deliveries import DeliveryStatus
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import Result, RunStatus, Source
from loadbell.store.channels import list_channels
from loadbell.store.delivery_lists import list_deliveries
from loadbell.store.run_lists import list_runs
from tests.support.leasing import GONE, OK, completion, lease, record
from tests.support.stores import Play, Site


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_pages_of_deliveries_have_no_gap_and_no_repeat(play: Play, size: int) -> None:
    """Whatever the size of a page, all pages together are the list, newest first; later news is on none."""

    async def scenario(site: Site) -> None:
        for _ in range(2):
            await site.channel()
        for _ in range(10):
            site.clock.advance(SECOND)
            await site.run()
        expected = [UUID(row["id"]) for row in await site.rows("SELECT id FROM deliveries ORDER BY id DESC")]
        pages: list[UUID] = []
        before: UUID | None = None
        while True:
            page, before = await site.do(list_deliveries, site.organization_id, before=before, limit=size)
            assert len(page) <= size
            pages += [item.id for item in page]
            if before is None:
                break
            site.clock.advance(SECOND)
            await site.run()

        assert 20 == len(expected)
        assert expected == pages

    play(scenario)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_pages_of_runs_and_channels_have_no_gap_and_no_repeat(play: Play, size: int) -> None:
    """The same for lists by integer ids."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        runs = [(await site.run(project_id=project)).id for project in (site.project_id, other) * 4]
        channels = [(await site.channel()).id for _ in range(7)]

        async def pages_of_runs(projects: frozenset[int] | None) -> list[int]:
            found: list[int] = []
            before: int | None = None
            while True:
                page, before = await site.do(
                    list_runs, site.organization_id, projects=projects, before=before, limit=size
                )
                assert len(page) <= size
                found += [run.id for run in page]
                if before is None:
                    return found

        async def pages_of_channels() -> list[int]:
            found: list[int] = []
            while True:
                before = found[-1] if found else None
                page = await site.do(list_channels, site.organization_id, before=before, limit=size)
                if not page:
                    return found
                found += [channel.id for channel in page]

        assert runs[::-1] == await pages_of_runs(None)
        assert runs[::-1] == await pages_of_runs(frozenset({site.project_id, other}))
        assert channels[::-1] == await pages_of_channels()

    play(scenario)


def test_the_filters_of_deliveries(play: Play) -> None:
    """Channel, run, status, event and time narrow the list, each alone and together."""

    async def scenario(site: Site) -> None:
        first, second = await site.channel(), await site.channel()
        run = await site.run()
        for leased in await lease(site):
            await record(site, completion(site, leased, OK if leased.channel_key == first.id else GONE))
        site.clock.advance(SECOND)
        then = site.clock.now
        await site.report(run, RunStatus.FINISHED)
        other = await site.run()

        async def count(**filters: Any) -> int:
            deliveries, following = await site.do(list_deliveries, site.organization_id, limit=100, **filters)
            assert following is None
            return len(deliveries)

        assert 6 == await count()
        assert [3, 3] == [await count(channel_id=channel.id) for channel in (first, second)]
        assert [4, 2] == [await count(run_id=each.id) for each in (run, other)]
        assert [1, 1, 4, 0, 0] == [
            await count(status=status)
            for status in (
                DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.PENDING, DeliveryStatus.SENDING,
                DeliveryStatus.CANCELLED,
            )
        ]  # fmt: skip
        assert [4, 2, 0, 0] == [await count(event=name) for name in EventName]
        assert [4, 2] == [await count(since=then), await count(until=then)], "since is included, until is not"
        assert 0 == await count(since=then, until=then)
        assert 1 == await count(channel_id=second.id, run_id=run.id, event=EventName.STARTED, until=then)
        assert ([], None) == await site.do(list_deliveries, site.organization_id + 1, limit=100)

    play(scenario)


def test_the_filters_of_runs(play: Play) -> None:
    """Project, status, result, source and what the asker may see narrow the list, each alone and together."""

    async def scenario(site: Site) -> None:
        other = await site.project()
        await site.run(source=Source.K6)
        ended = await site.run()
        await site.report(ended, RunStatus.FINISHED, result=Result.PASSED)
        await site.run(project_id=other, status=RunStatus.FAILED_THRESHOLD)

        async def count(projects: frozenset[int] | None = None, **filters: Any) -> int:
            runs, following = await site.do(list_runs, site.organization_id, projects=projects, limit=100, **filters)
            assert following is None
            return len(runs)

        assert [3, 0, 2, 1, 3] == [
            await count(None),
            await count(frozenset()),
            await count(frozenset({site.project_id})),
            await count(frozenset({other, 987})),
            await count(frozenset({other, site.project_id})),
        ]
        assert [2, 1] == [await count(project_id=project) for project in (site.project_id, other)]
        assert [1, 1, 1, 0] == [await count(status=RunStatus(code)) for code in (2, 3, 12, 4)]
        assert [1, 1, 0] == [await count(result=result) for result in Result]
        assert [1, 2] == [await count(source=source) for source in (Source.K6, Source.REST)]
        assert 0 == await count(frozenset({other}), project_id=site.project_id)
        assert 1 == await count(frozenset({other}), status=RunStatus(12), result=Result.FAILED, source=Source.REST)

    play(scenario)
