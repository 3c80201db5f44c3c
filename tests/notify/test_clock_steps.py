"""A worker whose clock is set, or which stands still for a while: due times follow, and nothing is sent twice."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from loadbell.domain.errors import Unavailable
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.token_bucket import TokenBucket
from loadbell.notify.worker.due_times import BATCH, DueTimes
from loadbell.store.clock_steps import follow_step_back, skip_gap
from loadbell.store.engine.db import Database, Work
from loadbell.store.engine.statements import Statement
from loadbell.store.outbox import reap
from loadbell.store.rate_limits import take_token
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.support.crowds import hold_deliveries
from tests.support.leasing import BROKEN, completion, delivery_rows, lease, lease_all, limited, record
from tests.support.stores import DAY, Play, Site, WallClock, open_store, settle
from tests.support.working import TIMEOUT_S, reasons, start_worker, wait_for_rows, wait_for_status

HOUR: Micros = 3600 * SECOND


class _SetClock(WallClock):
    """The system's clock, as somebody sets it."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead: Micros = 0

    def __call__(self) -> Micros:
        """The present instant."""
        return super().__call__() + self.ahead


class _Clocks:
    """Both clocks of a process."""

    def __init__(self) -> None:
        self.system, self.steady = _SetClock(), _SetClock()

    def stand_still(self, span: Micros) -> None:
        """As if the process had been stopped for so long."""
        self.system.ahead += span
        self.steady.ahead += span


def _at_work(url: str, scenario: Callable[[Site, _Clocks], Coroutine[Any, Any, None]], schedule: str = "1s") -> None:
    async def whole() -> None:
        async with open_store(url) as database:
            site, clocks = await settle(database), _Clocks()
            site.clock = clocks.system
            async with start_worker(database, schedule, clock=clocks.system, monotonic=clocks.steady):
                await scenario(site, clocks)

    asyncio.run(asyncio.wait_for(whole(), 3 * TIMEOUT_S))


@pytest.mark.parametrize("answer", [respond(500), respond(429, {"Retry-After": "1"})], ids=["failure", "rate-limit"])
@pytest.mark.parametrize("back", [HOUR, 400 * DAY])
def test_a_clock_that_is_set_back_makes_no_retry_later(store_url: str, answer: Any, back: Micros) -> None:
    """It comes after the wait that the schedule or the receiver asked for, as if nobody had set the clock."""

    async def scenario(site: Site, clocks: _Clocks) -> None:
        with ScriptedReceiver([answer, respond()]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            await wait_for_rows(site, lambda rows: rows[0]["attempts_started"] == 1 and rows[0]["status"] == "pending")
            clocks.system.ahead -= back
            await wait_for_status(site, "delivered")

            assert 2 == len(receiver.requests)

    _at_work(store_url, scenario, "3s")


class _SettingBack:
    """A database that sets the clock back as soon as it has committed a failed attempt, before the worker goes on."""

    def __init__(self, database: Database, clock: _SetClock) -> None:
        self._database = database
        self._clock = clock
        self._left = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Work[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As the database does."""
        result = await self._database.write(work, *args, **kwargs)
        failed = await self._database.read(lambda tx: tx.all(_FAILED))
        if self._left and failed:
            self._left = 0
            self._clock.ahead -= HOUR
        return result


_FAILED = Statement("SELECT delivery_id FROM outbox WHERE lease_owner IS NULL AND attempts_started = 1")


def test_a_clock_that_is_set_back_in_the_middle_of_a_turn(store_url: str) -> None:
    """The worker notices it with its next look, and does not sleep for as long as the clock was set back."""

    async def whole() -> None:
        async with open_store(store_url) as database:
            site, clocks = await settle(database), _Clocks()
            site.clock = clocks.system
            setting_back: Any = _SettingBack(database, clocks.system)
            with ScriptedReceiver([respond(500), respond()]) as receiver:
                await site.channel(receiver.url)
                await site.run()
                async with start_worker(setting_back, "3s", clock=clocks.system, monotonic=clocks.steady):
                    await wait_for_status(site, "delivered")

                assert 2 == len(receiver.requests)

    asyncio.run(asyncio.wait_for(whole(), 3 * TIMEOUT_S))


def test_what_is_under_way_while_the_process_stands_still_is_not_sent_again(store_url: str) -> None:
    """Its lease ran out meanwhile, but nobody else has taken it: the answer counts."""

    async def scenario(site: Site, clocks: _Clocks) -> None:
        with ScriptedReceiver([respond(delay=3), respond()]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            await asyncio.to_thread(receiver.wait_for, 1)
            clocks.stand_still(HOUR)
            (row,) = await wait_for_status(site, "delivered")

            assert [("scheduled", "ok")] == await reasons(site, row)
            assert 1 == len(receiver.requests)

    _at_work(store_url, scenario)


def test_a_channel_does_not_fail_while_nobody_sends(store_url: str) -> None:
    """A failure before six days of standing still and one after them are not five days of failures."""

    async def scenario(site: Site, clocks: _Clocks) -> None:
        with ScriptedReceiver([respond(500)]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            await wait_for_rows(site, lambda rows: rows[0]["reason"] == "http_5xx")
            clocks.stand_still(6 * DAY)
            await wait_for_status(site, "failed")
            (channel,) = await site.rows("SELECT * FROM channels")

            assert 2 == len(receiver.requests)
            assert channel["paused_at"] is None
            assert channel["failing_since"] is not None

    _at_work(store_url, scenario, "4s")


def test_all_that_lies_ahead_follows(play: Play) -> None:
    """By as much as the clock was set back, once, and nothing else."""

    async def scenario(site: Site) -> None:
        owner = await site.database.enlist_worker()
        await site.channel()
        for _ in range(3):
            await site.run()
            site.clock.advance(SECOND)
        first, second, third = await lease(site)
        await record(site, completion(site, first, BROKEN), completion(site, second, limited(600)))
        await site.run_sql("UPDATE channels SET failing_since = :at, health_since = :at", at=site.clock.now - SECOND)
        before = {row["id"]: row for row in await delivery_rows(site)}
        (channel,) = await site.rows("SELECT * FROM channels")
        site.clock.advance(-HOUR)
        followed = await site.do(follow_step_back, owner=owner, back=HOUR, now=site.clock())
        await DueTimes(HOUR, site.clock.now).follow(site.database)
        after = {row["id"]: row for row in await delivery_rows(site)}
        (moved,) = await site.rows("SELECT * FROM channels")

        assert followed
        for leased in (first, second):
            was = before[str(leased.id)]
            assert after[str(leased.id)] == {**was, "due_at": was["due_at"] - HOUR}
        assert before[str(third.id)] == after[str(third.id)]
        for column in ("throttled_until", "failing_since", "throttled_since"):
            assert channel[column] - HOUR == moved[column]
        assert site.clock.now == moved["health_since"]
        again = await site.do(follow_step_back, owner=owner, back=0, now=site.clock())
        await DueTimes(0, site.clock.now).follow(site.database)
        assert again
        assert after == {row["id"]: row for row in await delivery_rows(site)}

    play(scenario)


class _Stumbling:
    """A database that is away for a moment before some of its transactions, and notes how many rows they changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.changed: list[int] = []
        self._away = False

    async def read(self, work: Work[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As the database does."""
        return await self._database.read(work, *args, **kwargs)

    async def write(self, work: Work[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As the database does, each second time."""
        self._away = not self._away
        if self._away:
            raise Unavailable("away")
        before = await self._database.read(lambda tx: tx.all(_DUE))
        await self._database.write(work, *args, **kwargs)
        after = await self._database.read(lambda tx: tx.all(_DUE))
        self.changed.append(sum(row != other for row, other in zip(before, after, strict=True)))


_DUE = Statement("SELECT delivery_id, due_at FROM outbox ORDER BY delivery_id")


def test_many_due_times_follow_a_few_at_a_time(play_on_sqlite: Play) -> None:
    """Each transaction moves a limited number, and each is moved once, although some transactions fail."""

    async def scenario(site: Site) -> None:
        count = 3 * BATCH + 50
        channel = await site.channel()
        await hold_deliveries(site.database, site.organization_id, channel.id, count, site.clock.now + HOUR)
        stumbling: Any = _Stumbling(site.database)
        due_times, failed = DueTimes(HOUR, site.clock.now), 0
        while True:
            try:
                await due_times.follow(stumbling)
            except Unavailable:
                failed += 1
            else:
                break
        due = {row["due_at"] for row in await site.database.read(lambda tx: tx.all(_DUE))}

        assert {site.clock.now} == due
        assert [BATCH, BATCH, BATCH, 50] == stumbling.changed
        assert 4 == failed

    play_on_sqlite(scenario)


def test_one_of_several_workers_follows_and_only_if_it_is_right(postgres_store: str) -> None:
    """The one with the lowest number, if it agrees with the database; beside others a wrong clock moves nothing."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as two:
            site = await settle(database)
            site.clock = WallClock()
            workers = sorted([await database.enlist_worker(), await two.enlist_worker()])
            right = [await site.do(follow_step_back, owner=owner, back=HOUR, now=site.clock()) for owner in workers]
            wrong = [
                await site.do(follow_step_back, owner=owner, back=HOUR, now=site.clock() - HOUR) for owner in workers
            ]

            assert ([True, False], [False, False]) == (right, wrong)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_leases_hold_after_standing_still(play: Play) -> None:
    """They are renewed before anything is taken back; another worker's are not."""

    async def scenario(site: Site) -> None:
        owner = await site.database.enlist_worker()
        await site.channel()
        for _ in range(2):
            await site.run()
        mine = await lease(site, owner=owner, total=1)
        await lease(site, owner=owner + 1)
        site.clock.advance(HOUR)
        await site.do(skip_gap, owner=owner, gap=HOUR, now=site.clock(), until=site.clock.now + 1)
        taken = await site.do(reap, owner=owner)
        rows = {row["id"]: row["status"] for row in await delivery_rows(site)}

        assert (1, "sending") == (taken, rows[str(mine[0].id)])
        site.clock.advance(1)
        assert 1 == await site.do(reap, owner=owner)
        assert 2 == len(await lease_all(site))

    play(scenario)


def test_a_clock_that_is_set_back_locks_nobody_out(play: Play) -> None:
    """Who had one turn left to try a password may try again when the bucket has filled from empty, at the latest."""

    async def scenario(site: Site) -> None:
        bucket = TokenBucket(60 * SECOND, burst=2)
        taken = [await site.do(take_token, "key", bucket) for _ in range(3)]
        site.clock.advance(-400 * DAY)
        waits = await site.do(take_token, "key", bucket)

        assert [0, 0, 60 * SECOND] == taken
        assert 60 * SECOND == waits

    play(scenario)
