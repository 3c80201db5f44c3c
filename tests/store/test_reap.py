"""Taking over from the dead: what a killed worker held is due again, what a living one holds is left alone."""

import asyncio
from typing import Any

import pytest

from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.store.engine.db import Database
from loadbell.store.engine.statements import Statement
from loadbell.store.outbox import reap
from tests.support.leasing import (
    BROKEN,
    LEASE,
    OK,
    attempts,
    completion,
    delivery_rows,
    end_deliveries,
    lease,
    lease_all,
    record,
    statuses,
)
from tests.support.stores import Play, Site, open_store, settle

LOCKS = Statement("SELECT 1 AS one FROM pg_locks WHERE locktype = 'advisory' AND objid = :worker AND granted")
TERMINATE = Statement(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = :worker AND granted"
)


async def _lease_as(site: Site, owner: int) -> Any:
    await site.channel()
    await site.run()
    (leased,) = await lease(site, owner=owner)
    return leased


def test_an_expired_lease_is_taken_back(play: Play) -> None:
    """Due again at once, at its step, with the interrupted attempt noted; not a microsecond before."""

    async def scenario(site: Site) -> None:
        me = await site.database.enlist_worker()
        leased = await _lease_as(site, me)
        site.clock.advance(LEASE - 1)
        early = await site.do(reap, owner=me)
        site.clock.advance(1)
        taken = await site.do(reap, owner=me)
        (row,), (entry,) = await delivery_rows(site), await attempts(site)

        assert (0, 1) == (early, taken)
        assert ("pending", site.clock.now, 0, 1, None) == (
            row["status"], row["due_at"], row["retry_index"], row["attempts_started"], row["lease_owner"],
        )  # fmt: skip
        assert (1, "internal", "scheduled") == (entry["number"], entry["reason"], entry["cause"])
        assert "X-LoadImpact-ID" in entry["message"]
        assert [(leased.id, 2)] == [(item.id, item.number) for item in await lease(site, owner=me)]

    play(scenario)


def test_the_lease_of_a_living_worker_is_left_alone(play: Play) -> None:
    """Neither one's own nor, on PostgreSQL, that of another worker whose session stands."""

    async def scenario(site: Site) -> None:
        me = await site.database.enlist_worker()
        await _lease_as(site, me)

        assert 0 == await site.do(reap, owner=me)
        if site.database.dialect == "postgresql":
            assert 0 == await site.do(reap, owner=me + 1)
        assert ["sending"] == await statuses(site)

    play(scenario)


def test_sqlite_takes_back_at_once_what_it_did_not_lease_itself(play_on_sqlite: Play) -> None:
    """The file's lock proves that nobody else lives, so that a restart waits for no lease to expire."""

    async def scenario(site: Site) -> None:
        me = await site.database.enlist_worker()
        await _lease_as(site, me + 1)

        assert 1 == await site.do(reap, owner=me)
        assert ["pending"] == await statuses(site)

    play_on_sqlite(scenario)


def test_postgresql_takes_back_at_once_from_a_lost_session(postgres_store: str) -> None:
    """The advisory lock of a dead worker is gone with its session: no lease needs to expire."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as other:
            site = await settle(database)
            me, dying = await database.enlist_worker(), await other.enlist_worker()
            await _lease_as(site, dying)
            before = await site.do(reap, owner=me)
            await other.close()
            await _abandon(database, dying)
            after = await site.do(reap, owner=me)

            assert (0, 1) == (before, after)
            assert ["pending"] == await statuses(site)

    asyncio.run(asyncio.wait_for(scenario(), 30))


async def _abandon(database: Database, worker: int) -> None:
    held = True
    while held:
        await asyncio.sleep(0.01)
        held = await database.read(lambda tx: tx.first(LOCKS, worker=worker)) is not None


def test_a_worker_whose_session_was_cut_comes_back_by_itself(postgres_store: str) -> None:
    """It holds its lock and hears the others' news again, without a restart."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as other:
            me = await database.enlist_worker()
            woken = asyncio.Event()
            database.on_wake(woken.set)
            await other.write(lambda tx: tx.all(TERMINATE, worker=me))
            await woken.wait()  # a session that was opened again wakes its worker: it may have missed news
            row = await other.read(lambda tx: tx.first(LOCKS, worker=me))
            woken.clear()
            await other.write(_waking)
            await woken.wait()

            assert row is not None

    async def _waking(tx: Any) -> None:
        tx.wake_workers()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_workers_that_reap_at_once_take_each_delivery_once(play: Play) -> None:
    """Of several that notice a death together, each lost delivery is taken back by one."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(20):
            await site.run()
        await lease(site, owner=77)
        site.clock.advance(LEASE)
        taken = await asyncio.gather(*(site.do(reap, owner=owner) for owner in range(1, 6)))

        assert 20 == sum(taken)
        assert 20 == len(await attempts(site))
        assert {"pending"} == set(await statuses(site))

    play(scenario)


def test_a_test_hook_is_not_repeated(play: Play) -> None:
    """Nobody waits for it any more: it failed, and the form it tested is forgotten."""

    async def scenario(site: Site) -> None:
        settings = {"url": "http://127.0.0.1:9/hook"}
        await site.do(deliveries.test_form, site.owner, site.organization_id, kind="webhook", settings=settings)
        await lease(site, owner=1)
        site.clock.advance(LEASE)
        await site.do(reap, owner=1)
        (row,) = await delivery_rows(site)

        assert ("failed", "internal", None, None, site.clock.now) == (
            row["status"], row["reason"], row["form"], row["due_at"], row["finished_at"],
        )  # fmt: skip
        assert [] == await lease_all(site)

    play(scenario)


@pytest.mark.parametrize("answer", [OK, BROKEN], ids=["delivered", "failed"])
def test_an_interrupted_redelivery_is_made_again(play: Play, answer: Any) -> None:
    """It is still a manual attempt, and what had ended returns to its end."""

    async def scenario(site: Site) -> None:
        leased = await _lease_as(site, 1)
        ended = completion(site, leased, answer)
        await record(site, ended)
        await end_deliveries(site, "failed", "status = 'pending'")
        end = (await statuses(site))[0]
        await site.do(deliveries.redeliver, site.owner, leased.id)
        await lease_all(site, owner=1)
        site.clock.advance(LEASE)
        await site.do(reap, owner=1)
        (again,) = await lease_all(site, owner=2)

        assert ("manual", end, 3) == (again.cause, again.final, again.number)
        await record(site, completion(site, again, BROKEN))
        assert [end] == await statuses(site)

    play(scenario)


def test_a_late_result_replaces_what_the_reaper_noted(play: Play) -> None:
    """The log takes what really happened; the delivery goes its new way."""

    async def scenario(site: Site) -> None:
        leased = await _lease_as(site, 1)
        site.clock.advance(LEASE)
        await site.do(reap, owner=2)
        await record(site, completion(site, leased, OK))

        assert [(1, "ok")] == [(entry["number"], entry["reason"]) for entry in await attempts(site)]
        assert ["pending"] == await statuses(site)

    play(scenario)


def test_a_late_answer_still_frees_what_waited_for_it(play: Play) -> None:
    """The receiver did answer test.started, whoever holds the lease now."""

    async def scenario(site: Site) -> None:
        await site.channel()
        run = await site.run()
        await site.report(run, RunStatus.FINISHED)
        (started,) = await lease(site, owner=1)
        site.clock.advance(LEASE)
        await site.do(reap, owner=2)
        await record(site, completion(site, started, BROKEN))
        events = sorted(item.event.value for item in await lease(site, owner=2))

        assert ["test.finished", "test.started"] == events

    play(scenario)


def test_reaping_wakes_the_workers(play: Play) -> None:
    """What was taken back is looked for at once; a look that found nothing wakes nobody."""

    async def scenario(site: Site) -> None:
        woken = asyncio.Event()
        await _lease_as(site, 1)
        me = await site.database.enlist_worker()
        site.database.on_wake(woken.set)
        await asyncio.sleep(0.05)
        woken.clear()
        await site.do(reap, owner=1)
        await asyncio.sleep(0.05)
        quiet = not woken.is_set()
        site.clock.advance(LEASE + SECOND)
        await site.do(reap, owner=me)
        await asyncio.wait_for(woken.wait(), 10)

        assert quiet or site.database.dialect == "postgresql", "only SQLite's wake-ups are one process's own"

    play(scenario)
