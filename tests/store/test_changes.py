"""Changes: whoever watches is told after a commit which organizations it has changed, in every process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from loadbell.accounts.members import remove_member
from loadbell.domain.orgs import Role
from loadbell.domain.runs import RunStatus
from loadbell.notify import channels, deliveries
from loadbell.runs.lifecycle import abort_run, end_silent_run, heartbeat
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.outbox import reap
from tests.support.leasing import OK, completion, lease, record
from tests.support.stores import WATCHDOG, Play, Site, open_store

Told = asyncio.Queue[frozenset[int] | None]
Step = Callable[[Site], Coroutine[Any, Any, Any]]

CUT = Statement(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[Told]:
    """What a watcher of ``database`` is told from now on."""
    told: Told = asyncio.Queue()
    await database.watch_changes(told.put_nowait)
    while not told.empty():  # a session that has just begun says that anything may have changed
        told.get_nowait()
    yield told


async def news(told: Told) -> frozenset[int] | None:
    """The next thing that is told."""
    return await asyncio.wait_for(told.get(), 30)


async def _change(database: Database, *organizations: int) -> None:
    async def unit(tx: Transaction) -> None:
        for organization in organizations:
            tx.changed(organization)

    await database.write(unit)


def test_a_commit_tells_and_a_rollback_does_not(play: Play) -> None:
    """A unit that fails tells nothing of what it would have changed; each organization of a commit is told once."""

    async def scenario(site: Site) -> None:
        async def failing(tx: Transaction) -> None:
            tx.changed(1)
            raise LookupError

        async with watching(site.database) as told:
            with pytest.raises(LookupError):
                await site.database.write(failing)
            await _change(site.database, 2, 3, 2)

            assert frozenset({2, 3}) == await news(told)
            assert told.empty()

    play(scenario)


def test_nothing_is_told_of_a_commit_that_changed_nothing(play: Play) -> None:
    """Writing by itself is no news: sign-ins, leases and the like leave pages alone."""

    async def scenario(site: Site) -> None:
        async with watching(site.database) as told:
            await site.run_sql("UPDATE organizations SET name = name")
            await _change(site.database, 7)

            assert frozenset({7}) == await news(told)

    play(scenario)


def test_several_watchers_are_told(play: Play) -> None:
    """Each one hears of everything."""

    async def scenario(site: Site) -> None:
        async with watching(site.database) as one, watching(site.database) as other:
            await _change(site.database, 7)

            assert frozenset({7}) == await news(one) == await news(other)

    play(scenario)


def test_every_process_is_told(postgres_store: str) -> None:
    """On PostgreSQL a process hears of what another one has committed."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as other, watching(other) as told:
            await _change(database, 7)

            assert frozenset({7}) == await news(told)

    asyncio.run(scenario())


def test_more_than_a_notification_carries_is_told_as_anything(postgres_store: str) -> None:
    """PostgreSQL takes 8,000 bytes: beyond that the watcher is told that anything may have changed."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, watching(database) as told:
            fitting = range(10_000, 11_333)  # five digits and a comma each: 7,997 bytes
            await _change(database, *fitting)
            assert frozenset(fitting) == await news(told)
            await _change(database, *fitting, 11_333)
            assert await news(told) is None

    asyncio.run(scenario())


def test_a_lost_session_is_told_as_anything(postgres_store: str) -> None:
    """While the listening session was away something may have been missed; afterwards it hears again."""

    async def scenario() -> None:
        async with (
            open_store(postgres_store) as database,
            open_store(postgres_store) as other,
            watching(database) as told,
        ):
            await other.write(lambda tx: tx.all(CUT))
            assert await news(told) is None
            await _change(other, 7)
            assert frozenset({7}) == await news(told)

    asyncio.run(scenario())


async def _begin(site: Site) -> None:
    await site.run()


async def _report(site: Site) -> None:
    await site.report(await site.run(), RunStatus.FINISHED)


async def _note(site: Site) -> None:
    await site.report(await site.run(), note="half way")


async def _heartbeat(site: Site) -> None:
    run = await site.run()
    await site.do(heartbeat, site.owner, run.id, {"rps": 5.0})


async def _abort(site: Site) -> None:
    run = await site.run()
    await site.do(abort_run, site.owner, run.id)


async def _silence(site: Site) -> None:
    run = await site.run(watchdog=WATCHDOG)
    site.clock.advance(WATCHDOG)
    assert await site.do(end_silent_run, site.organization_id, run.id)


async def _result(site: Site) -> None:
    await site.channel()
    await site.run()
    (leased,) = await lease(site)
    await record(site, completion(site, leased, OK))


async def _lost_worker(site: Site) -> None:
    await site.channel()
    await site.run()
    await lease(site, owner=1)
    assert await site.do(reap, owner=2) == 1


async def _test_hook(site: Site) -> None:
    channel = await site.channel()
    await site.do(deliveries.test_saved, site.owner, channel.id)


async def _channel(site: Site) -> None:
    await site.channel()


async def _pause(site: Site) -> None:
    channel = await site.channel()
    await site.do(channels.pause, site.owner, channel.id)


@pytest.mark.parametrize(
    ("steps", "told_of"),
    [
        (_begin, 1),
        (_report, 2),
        (_note, 2),
        (_heartbeat, 2),
        (_abort, 2),
        (_silence, 2),
        (_channel, 1),
        (_pause, 2),
        (_test_hook, 2),
        (_result, 3),
        (_lost_worker, 3),
    ],
)
def test_what_people_see_is_told(play: Play, steps: Step, told_of: int) -> None:
    """Each step that changes what a page of the organization shows tells of that organization."""

    async def scenario(site: Site) -> None:
        async with watching(site.database) as told:
            await steps(site)
            await _change(site.database, 0)
            heard = []
            while (one := await news(told)) != frozenset({0}):
                heard.append(one)

            assert [frozenset({site.organization_id})] * told_of == heard

    play(scenario)


def test_a_heartbeat_without_metrics_is_no_news(play: Play) -> None:
    """Sources send one every few seconds: pages need not be looked at for that."""

    async def scenario(site: Site) -> None:
        run = await site.run()
        async with watching(site.database) as told:
            await site.do(heartbeat, site.owner, run.id, None)
            await _change(site.database, 0)

            assert frozenset({0}) == await news(told)

    play(scenario)


def test_a_changed_member_is_told(play: Play) -> None:
    """So that whoever lost a right stops seeing at once."""

    async def scenario(site: Site) -> None:
        person = await site.person(Role.MEMBER)
        async with watching(site.database) as told:
            await site.do(remove_member, site.owner, site.organization_id, person.user_id)

            assert frozenset({site.organization_id}) == await news(told)

    play(scenario)
