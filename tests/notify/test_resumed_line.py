"""The line that a resume makes of what was held, and what becomes of it when a person takes one out; on both stores."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import pytest

from loadbell.domain.deliveries import Delivery
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.notify.channels import Held, pause, resume
from loadbell.notify.sweeper import Sweeper
from loadbell.store import sweeps
from loadbell.store.cancellation import cancel_one
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.enqueue import lock_delivery
from loadbell.store.outbox import complete
from tests.support.leasing import OK, SILENT, completion, delivery_rows, lease_all, record
from tests.support.stores import HOLD_FOR, Play, Site

LOCK = Statement("SELECT delivery_id FROM outbox WHERE delivery_id = :id FOR UPDATE")
SOMEBODY_WAITS_FOR_US = Statement(
    "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
)


async def line(site: Site, *, ended: bool = True) -> list[UUID]:
    """Another run's start, a run's start, its end if it has ``ended``, and another run's start again; resumed."""
    channel = await site.channel()
    await site.do(pause, site.owner, channel.id)
    await site.run()
    site.clock.advance(SECOND)
    run = await site.run()
    site.clock.advance(SECOND)
    if ended:
        await site.report(run, RunStatus.FINISHED)
        site.clock.advance(SECOND)
    await site.run()
    site.clock.advance(SECOND)
    await site.do(resume, site.owner, channel.id, Held.DELIVER)
    return [UUID(row["id"]) for row in await delivery_rows(site)]


async def lease_ids(site: Site) -> list[UUID]:
    """What a worker leases now and gets answered."""
    leased_items = sorted(await lease_all(site), key=lambda item: item.id)
    await record(site, *[completion(site, item, OK) for item in leased_items])
    return [item.id for item in leased_items]


@pytest.mark.parametrize("back", [5, 20])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, sweeps.BATCH])
def test_a_clock_that_was_set_back_turns_no_run_round(
    play: Play, monkeypatch: pytest.MonkeyPatch, batch_size: int, back: int
) -> None:
    """The end of a run follows its start though its event looks older; the other events keep their order.

    However many of them are put in line at once: the end may be at the end of one batch and the start in the next.
    """
    monkeypatch.setattr(sweeps, "BATCH", batch_size)

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(pause, site.owner, channel.id)
        await site.run()
        site.clock.advance(10 * SECOND)
        run = await site.run()
        site.clock.advance(-back * SECOND)
        await site.report(run, RunStatus.FINISHED)
        site.clock.advance(30 * SECOND)
        await site.run()
        site.clock.advance(SECOND)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        sweeper = Sweeper(site.database, hold_for=HOLD_FOR)
        while await sweeper.sweep_all():
            pass
        first, finished, started, last = [UUID(row["id"]) for row in await delivery_rows(site)]
        if back > 10:
            first, finished = finished, first
        order = [await lease_ids(site) for _ in range(5)]

        assert [[first], [started], [finished], [last], []] == order

    play(scenario)


def test_a_redelivered_start_keeps_its_end_behind_it(play: Play) -> None:
    """It goes at once; the end of its run waits for its answer, and what is behind them for what was before them."""

    async def scenario(site: Site) -> None:
        first, started, finished, last = await line(site)
        (head,) = await lease_all(site)
        await site.do(deliveries.redeliver, site.owner, started)
        (again,) = await lease_all(site)
        await record(site, completion(site, again, SILENT))
        nothing = await lease_ids(site)
        await record(site, completion(site, head, OK))
        after_the_head = await lease_ids(site)
        site.clock.advance(100 * SECOND)
        then = [await lease_ids(site) for _ in range(2)]

        assert (first, started, []) == (head.id, again.id, nothing)
        assert ([last], [[started], [finished]]) == (after_the_head, then)

    play(scenario)


def test_a_cancelled_start_lets_the_end_of_its_run_go(play: Play) -> None:
    """Live news of the run does not wait for another run's message that gets no answer; the line stands."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(pause, site.owner, channel.id)
        await site.run()
        site.clock.advance(SECOND)
        run = await site.run()
        site.clock.advance(SECOND)
        await site.run()
        site.clock.advance(SECOND)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        await record(site, *[completion(site, item, SILENT) for item in await lease_all(site)])
        await site.report(run, RunStatus.FINISHED)
        first, started, last, finished = [UUID(row["id"]) for row in await delivery_rows(site)]
        await site.do(deliveries.cancel, site.owner, started)
        live = [await lease_ids(site) for _ in range(2)]
        site.clock.advance(100 * SECOND)
        then = [await lease_ids(site) for _ in range(2)]

        assert ([[finished], []], [[first], [last]]) == (live, then)

    play(scenario)


def test_what_is_behind_a_cancelled_run_waits_for_what_was_before_it(play: Play) -> None:
    """The end of the run loses its place with its start, and lets nothing else overtake the head of the line."""

    async def scenario(site: Site) -> None:
        first, started, finished, last = await line(site)
        await record(site, *[completion(site, item, SILENT) for item in await lease_all(site)])
        await site.do(deliveries.cancel, site.owner, started)
        free = [await lease_ids(site) for _ in range(2)]
        site.clock.advance(100 * SECOND)
        then = [await lease_ids(site) for _ in range(2)]

        assert ([[finished], []], [[first], [last]]) == (free, then)

    play(scenario)


@pytest.mark.parametrize("action", [deliveries.redeliver, deliveries.cancel])
def test_events_that_are_of_no_run_have_nothing_to_do_with_each_other(
    play: Play, action: Callable[..., Coroutine[Any, Any, Delivery]]
) -> None:
    """Who takes one out of a line of them lets no other go before the head was answered."""

    async def scenario(site: Site) -> None:
        first, second, third = await line(site, ended=False)
        await site.run_sql("UPDATE deliveries SET run_id = NULL")
        (head,) = await lease_all(site)
        await site.do(action, site.owner, second)
        before = await lease_ids(site)
        await record(site, completion(site, head, OK))

        assert first == head.id
        assert ([second] if action is deliveries.redeliver else [], [third]) == (before, await lease_ids(site))

    play(scenario)


def test_a_cancelled_head_moves_the_line_up(play: Play) -> None:
    """Nothing was before it: the next one goes, and the one behind that still waits."""

    async def scenario(site: Site) -> None:
        first, started, finished, last = await line(site)
        await site.do(deliveries.cancel, site.owner, first)
        await site.do(deliveries.cancel, site.owner, started)
        order = [await lease_ids(site) for _ in range(3)]

        assert [[finished], [last], []] == order

    play(scenario)


def test_a_person_and_a_result_do_not_block_each_other(play_on_postgresql: Play) -> None:
    """A Cancel in the line while the one before is being recorded waits for that, and neither is begun again."""

    async def scenario(site: Site) -> None:
        _, second, third = await line(site, ended=False)
        (head,) = await lease_all(site)
        answered = completion(site, head, OK)
        recording = asyncio.Event()
        begun = []

        async def result(tx: Transaction) -> None:
            begun.append("result")
            await tx.all(LOCK, id=str(head.id))
            recording.set()
            while not await tx.all(SOMEBODY_WAITS_FOR_US):  # noqa: ASYNC110 - only PostgreSQL knows it
                await asyncio.sleep(0.01)
            await complete(tx, [answered])

        async def person(tx: Transaction) -> None:
            begun.append("person")
            await recording.wait()
            assert await lock_delivery(tx, site.organization_id, second) is not None
            await cancel_one(tx, second)

        await asyncio.gather(site.database.write(result), site.database.write(person))
        free = await lease_ids(site)

        assert ["person", "result"] == sorted(begun)
        assert [third] == free

    play_on_postgresql(scenario)
