"""Replays while workers run: real senders and receivers, on both stores."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from loadbell.domain.channels import Channel
from loadbell.domain.replays import Replay
from loadbell.notify.channels import delete_channel
from loadbell.notify.replay import MAX_PENDING, get_replay
from loadbell.testing.receiver import Behaviour, Received, ScriptedReceiver, respond
from tests.support.leasing import delivery_rows
from tests.support.replaying import FAILED, create_ended, list_open, replay
from tests.support.stores import Site, WallClock, open_store, settle
from tests.support.working import TIMEOUT_S, reasons, start_worker, wait_for_rows

Scenario = Callable[[Site, Channel, list[str]], Coroutine[Any, Any, None]]


def fail_deliveries(url: str, receiver: ScriptedReceiver, count: int, scenario: Scenario) -> None:
    """Plays ``scenario`` with a channel to ``receiver`` that has ``count`` failed deliveries, and no worker yet."""

    async def whole() -> None:
        async with open_store(url) as database:
            site = await settle(database)
            site.clock = WallClock()
            channel = await site.channel(receiver.url)
            await scenario(site, channel, await create_ended(site, *[FAILED] * count))

    asyncio.run(asyncio.wait_for(whole(), 3 * TIMEOUT_S))


async def finished(site: Site, channel: Channel, replay_id: int | None) -> Replay:
    """The replay, once it has finished."""
    assert replay_id is not None
    end = asyncio.get_running_loop().time() + TIMEOUT_S
    while True:
        found = await site.do(get_replay, site.owner, channel.id, replay_id)
        if found.finished_at is not None:
            return found
        assert asyncio.get_running_loop().time() < end, found
        await asyncio.sleep(0.02)


def sent(receiver: ScriptedReceiver) -> list[str | None]:
    """The id of each request, in order of arrival."""
    return [request.header("X-LoadImpact-ID") for request in receiver.requests]


def test_a_replay_goes_on_beside_live_news(store_url: str) -> None:
    """Each failed one arrives once under its own id, about in order, and what happens meanwhile does not wait."""

    async def scenario(site: Site, channel: Channel, ids: list[str]) -> None:
        async with start_worker(site.database):
            replay_id, count = await replay(site, channel.id, since=0)
            await asyncio.to_thread(receiver.wait_for, 5)
            await site.run(name="live")
            rows = await wait_for_rows(site, lambda rows: rows[-1]["status"] == "delivered")
            there = len(receiver.requests)
            found = await finished(site, channel, replay_id)
            live = rows[-1]["id"]
            replayed = [key for key in sent(receiver) if key != live]

            assert (60, 60) == (count, found.done)
            assert there < 61
            assert Counter([*ids, live]) == Counter(sent(receiver))
            assert all(abs(ids.index(str(key)) - position) < MAX_PENDING for position, key in enumerate(replayed))
            assert [("manual", "ok")] == await reasons(site, ids[0])

    with ScriptedReceiver() as receiver:
        fail_deliveries(store_url, receiver, 60, scenario)


def test_a_rate_limited_replay_gets_through(store_url: str) -> None:
    """Every third request is refused with 429; each delivery keeps its turn and is delivered in the end."""
    items: set[str | None] = set()

    def choose(request: Received) -> Behaviour:
        key = request.header("X-LoadImpact-ID")
        first = key not in items
        items.add(key)
        return respond(429, {"Retry-After": "1"}) if first and len(items) % 3 == 0 else respond()

    async def scenario(site: Site, channel: Channel, ids: list[str]) -> None:
        async with start_worker(site.database):
            replay_id, _ = await replay(site, channel.id, since=0)
            found = await finished(site, channel, replay_id)
            rows = await site.rows("SELECT status FROM deliveries")

            assert 7 == found.done
            assert {"delivered"} == {row["status"] for row in rows}
            assert set(ids) == set(sent(receiver))
            assert 9 == len(receiver.requests)

    with ScriptedReceiver(choose) as receiver:
        fail_deliveries(store_url, receiver, 7, scenario)


def test_what_fails_again_is_tried_once(store_url: str) -> None:
    """With a receiver that is still broken each delivery stays failed, with one attempt more, and the replay ends."""

    async def scenario(site: Site, channel: Channel, ids: list[str]) -> None:
        async with start_worker(site.database):
            replay_id, _ = await replay(site, channel.id, since=0)
            found = await finished(site, channel, replay_id)
            rows = await delivery_rows(site)

            assert 8 == found.done == len(receiver.requests)
            assert {("failed", 1, None)} == {(row["status"], row["attempts_started"], row["due_at"]) for row in rows}

    with ScriptedReceiver([respond(500)]) as receiver:
        fail_deliveries(store_url, receiver, 8, scenario)


def test_a_replay_goes_on_with_the_next_worker(store_url: str) -> None:
    """A worker that stops in the middle leaves the rest to the one that starts later; nothing is sent twice."""

    async def scenario(site: Site, channel: Channel, ids: list[str]) -> None:
        async with start_worker(site.database) as worker:
            replay_id, _ = await replay(site, channel.id, since=0)
            await asyncio.to_thread(receiver.wait_for, 10)
            await worker.stop(5)
        before = len(receiver.requests)
        async with start_worker(site.database):
            found = await finished(site, channel, replay_id)

        assert 10 <= before < 40
        assert 40 == found.done
        assert Counter(ids) == Counter(sent(receiver))

    with ScriptedReceiver() as receiver:
        fail_deliveries(store_url, receiver, 40, scenario)


def test_two_workers_share_a_replay(postgres_store: str) -> None:
    """Each delivery is sent by one of them, and never more are open than one alone would have."""

    async def scenario(site: Site, channel: Channel, ids: list[str]) -> None:
        async with open_store(postgres_store) as other, start_worker(site.database), start_worker(other):
            replay_id, _ = await replay(site, channel.id, since=0)
            most = 0
            while len(receiver.requests) < 50:
                most = max(most, len(await list_open(site)))
            found = await finished(site, channel, replay_id)

            assert 50 == found.done
            assert Counter(ids) == Counter(sent(receiver))
            assert 0 < most <= MAX_PENDING

    with ScriptedReceiver() as receiver:
        fail_deliveries(postgres_store, receiver, 50, scenario)


def test_deleting_the_channel_stops_its_replay(store_url: str) -> None:
    """What was not sent yet stays as it was, and nothing more is."""

    async def scenario(site: Site, channel: Channel, ids: list[str]) -> None:
        async with start_worker(site.database):
            await replay(site, channel.id, since=0)
            await asyncio.to_thread(receiver.wait_for, 3)
            await site.do(delete_channel, site.owner, channel.id)
            rows = await wait_for_rows(site, lambda rows: {row["status"] for row in rows} == {"delivered", "failed"})
            count = sum(row["status"] == "delivered" for row in rows)

            assert [] == await site.rows("SELECT id FROM replays")
            assert {None} == {row["delivery_id"] for row in rows}, "nothing is left to do"
            assert count == len(receiver.requests) < len(ids)

    with ScriptedReceiver() as receiver:
        fail_deliveries(store_url, receiver, 60, scenario)
