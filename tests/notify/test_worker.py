"""The worker with a real sender and real receivers, on both stores: what goes well."""

import asyncio
import json
from collections import Counter
from itertools import pairwise

from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.notify.worker.capacity import MAX_PER_CHANNEL
from loadbell.testing.receiver import Behaviour, Received, ScriptedReceiver, hang, respond
from tests.support.leasing import delivery_rows
from tests.support.stores import Site, WallClock, open_store, settle
from tests.support.working import (
    event_names,
    reasons,
    run_with_worker,
    start_worker,
    wait_for_end,
    wait_for_rows,
    wait_for_status,
)

STARTED, FINISHED = "test.started", "test.finished"


def test_news_arrives_with_one_attempt_each(store_url: str) -> None:
    """Start and end of a run reach the receiver in order, each once, and the log says so."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver() as receiver:
            await site.channel(receiver.url)
            run = await site.run(name="Ünïcode 🔔")
            await site.report(run, RunStatus.FINISHED)
            rows = await wait_for_status(site, "delivered", "delivered")

            assert [STARTED, FINISHED] == event_names(receiver.requests)
            assert [row["id"] for row in rows] == [each.header("X-LoadImpact-ID") for each in receiver.requests]
            assert ["Ünïcode 🔔"] * 2 == [json.loads(each.body)["name"] for each in receiver.requests]
            assert [[("scheduled", "ok")]] * 2 == [await reasons(site, row) for row in rows]

    run_with_worker(store_url, scenario)


def test_a_failure_is_retried_as_the_schedule_says(store_url: str) -> None:
    """Each wait is kept, the id stays, and the signature is new; then it is delivered."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(503), respond(302), respond(404), respond(200)]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            (row,) = await wait_for_status(site, "delivered")
            arrived = [each.arrived_at for each in receiver.requests]

            assert ["http_5xx", "http_3xx", "http_4xx", "ok"] == [reason for _, reason in await reasons(site, row)]
            assert {row["id"]} == {each.header("X-LoadImpact-ID") for each in receiver.requests}
            assert 1 == len({each.body for each in receiver.requests})
            waits = [later - earlier for earlier, later in pairwise(arrived)]
            assert all(took >= 0.95 * wait * SECOND for took, wait in zip(waits, (0.1, 0.2, 1.2), strict=True))

    run_with_worker(store_url, scenario, "100ms,200ms,1200ms")


def test_the_end_of_the_schedule_is_the_end(store_url: str) -> None:
    """After the last attempt the delivery failed, and nothing more is sent."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500)]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            (row,) = await wait_for_status(site, "failed")

            assert 3 == len(receiver.requests) == len(await reasons(site, row))
            assert ("http_5xx", None) == (row["reason"], row["due_at"])

    run_with_worker(store_url, scenario, "50ms,50ms")


def test_a_rate_limit_slows_one_channel_as_a_whole(store_url: str) -> None:
    """Neither retries nor news of that channel come before its Retry-After; other channels are not touched."""

    async def scenario(site: Site) -> None:
        limit = respond(429, {"Retry-After": "600"})
        with ScriptedReceiver([limit, respond()]) as slow, ScriptedReceiver() as quick:
            await site.channel(slow.url)
            await site.run()
            await wait_for_rows(site, lambda rows: rows[0]["reason"] == "rate_limited")
            await site.channel(quick.url)
            await site.run()
            await wait_for_rows(site, lambda rows: sum(row["status"] == "delivered" for row in rows) == 1)
            (channel, _) = await site.rows("SELECT * FROM channels ORDER BY id")
            alone = len(slow.requests)
            await site.run_sql("UPDATE channels SET throttled_until = 0")  # the time is over
            await site.run_sql("UPDATE outbox SET due_at = 0")
            await wait_for_end(site, 3)

            assert (1, 1, 3) == (alone, len(quick.requests), len(slow.requests))
            assert channel["throttled_until"] >= slow.requests[0].arrived_at + 600 * SECOND

    run_with_worker(store_url, scenario)


def test_a_channel_that_hangs_holds_up_no_other(store_url: str) -> None:
    """While one receiver never answers, all news of another is delivered."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([hang()]) as dead, ScriptedReceiver() as well:
            await site.channel(dead.url)
            healthy = await site.channel(well.url)
            for _ in range(20):
                await site.run()
            await wait_for_rows(site, lambda rows: 20 == sum(row["status"] == "delivered" for row in rows))
            rows = await site.rows("SELECT channel_id FROM deliveries WHERE status = 'delivered'")

            assert {healthy.id} == {row["channel_id"] for row in rows}
            assert len(dead.requests) <= 4

    run_with_worker(store_url, scenario)


def test_a_test_hook_does_not_queue_behind_a_busy_channel(store_url: str) -> None:
    """It is made at once although every place of its channel is taken, and changes nothing there."""

    async def scenario(site: Site) -> None:
        def choose(request: Received) -> Behaviour:
            return respond() if event_names([request]) == ["test.notification_channel"] else hang()

        with ScriptedReceiver() as receiver:
            channel = await site.channel(receiver.url)
            await site.run()
            await wait_for_status(site, "delivered")
            receiver.play(choose)
            for _ in range(10):
                await site.run()
            await asyncio.to_thread(receiver.wait_for, 1 + MAX_PER_CHANNEL)
            hook = await site.do(deliveries.test_saved, site.owner, channel.id)
            rows = await wait_for_rows(site, lambda rows: rows[-1]["status"] == "delivered")

            assert str(hook) == rows[-1]["id"]
            assert [("test", "ok")] == await reasons(site, hook)
            assert {"pending", "sending"} == {row["status"] for row in rows[1:-1]}

    run_with_worker(store_url, scenario)


def test_test_hooks_do_not_wait_for_each_other(store_url: str) -> None:
    """One that nobody answers holds up no other of the same organization."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([hang()]) as silent, ScriptedReceiver() as receiver:
            channel = await site.channel(receiver.url)
            for _ in range(6):
                settings = {"url": silent.url}
                await site.do(deliveries.test_form, site.owner, site.organization_id, kind="webhook", settings=settings)
            await asyncio.to_thread(silent.wait_for, 6)
            await site.do(deliveries.test_saved, site.owner, channel.id)
            rows = await wait_for_rows(site, lambda rows: rows[-1]["status"] == "delivered")

            assert ["sending"] * 6 == [row["status"] for row in rows[:-1]]

    run_with_worker(store_url, scenario)


def test_a_result_that_can_not_be_recorded_stops_no_other(sqlite_store: str) -> None:
    """The rest is recorded, and the one that can't be is let go when it fails alone."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver() as good, ScriptedReceiver() as cursed:
            lost = await site.channel(cursed.url)
            await site.channel(good.url)
            await site.run_sql(
                "CREATE TRIGGER curse BEFORE INSERT ON attempts WHEN new.delivery_id IN "
                f"(SELECT id FROM deliveries WHERE channel_id = {lost.id}) BEGIN SELECT raise(ABORT, 'no'); END"
            )
            for _ in range(3):
                await site.run()
            rows = await wait_for_rows(site, lambda rows: Counter(row["status"] for row in rows)["delivered"] == 3)

            assert {"sending", "pending"} >= {row["status"] for row in rows if row["channel_id"] == lost.id}

    run_with_worker(sqlite_store, scenario)


def test_a_worker_stops_although_a_result_can_not_be_recorded(sqlite_store: str) -> None:
    """It ends without an error; what it could not record is not lost, but made again by whoever works next."""

    async def scenario() -> None:
        async with open_store(sqlite_store) as database:
            site = await settle(database)
            site.clock = WallClock()
            with ScriptedReceiver() as receiver:
                await site.channel(receiver.url)
                await site.run_sql(
                    "CREATE TRIGGER curse BEFORE INSERT ON attempts BEGIN SELECT raise(ABORT, 'no'); END"
                )
                async with start_worker(database):
                    await site.run()
                    await asyncio.to_thread(receiver.wait_for, 1)
                (row,) = await delivery_rows(site)

                # Given back, unless it took so long that the result had been let go: then its lease brings it back.
                assert row["status"] in {"pending", "sending"}
                assert [] == await reasons(site, row)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_test_hook_is_tried_once(store_url: str) -> None:
    """The provider's real answer stands in the log, and no retry follows; an unsaved form leaves no channel."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500, body=b"no such hook")]) as receiver:
            settings = {"url": receiver.url}
            await site.do(deliveries.test_form, site.owner, site.organization_id, kind="webhook", settings=settings)
            (row,) = await wait_for_status(site, "failed")
            (attempt,) = await site.rows("SELECT * FROM attempts")

            assert 1 == len(receiver.requests)
            assert (None, "http_5xx", None) == (row["channel_id"], row["reason"], row["form"])
            assert row["due_at"] is None
            assert "no such hook" in attempt["exchange"]
            assert receiver.url.removeprefix("http://") not in attempt["exchange"].replace("/…", "")

    run_with_worker(store_url, scenario)


def test_two_workers_share_the_work(postgres_store: str) -> None:
    """Two processes on one PostgreSQL deliver everything once, and both take part."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as two:
            site = await settle(database)
            site.clock = WallClock()
            with ScriptedReceiver([respond(delay=0.02)]) as receiver:
                for _ in range(10):
                    await site.channel(receiver.url)
                async with start_worker(database), start_worker(two):
                    for _ in range(20):
                        await site.run()
                    await wait_for_rows(site, lambda rows: 200 == sum(row["status"] == "delivered" for row in rows))
                ids = Counter(each.header("X-LoadImpact-ID") for each in receiver.requests)

                assert (200, {1}) == (len(ids), set(ids.values()))

    asyncio.run(scenario())


def test_many_runs_at_once_are_all_told_in_order(store_url: str) -> None:
    """A hundred runs that start and end at once: nothing is missing, nothing twice, each start before its end."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver() as receiver:
            await site.channel(receiver.url)

            turns = asyncio.Semaphore(20)  # all at once, a busy machine refuses some for want of a connection

            async def one() -> None:
                async with turns:
                    await site.report(await site.run(), RunStatus.FINISHED)

            await asyncio.gather(*(one() for _ in range(100)))
            await wait_for_end(site, 200)
            seen: dict[int, list[str]] = {}
            for request in receiver.requests:
                body = json.loads(request.body)
                seen.setdefault(body["load_test_run_id"], []).append(body["event"])

            assert [[STARTED, FINISHED]] * 100 == list(seen.values())

    run_with_worker(store_url, scenario)
