"""Which attempts a worker makes at the same time, and that it looks for work as soon as there is some."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import pytest

from loadbell.domain.ids import SECOND
from loadbell.notify import channels, deliveries
from loadbell.notify.channels import update_channel
from loadbell.notify.worker import capacity, loop
from loadbell.testing.receiver import ScriptedReceiver, hang
from tests.support.stores import Site, WallClock, open_store, settle
from tests.support.working import TIMEOUT_S, run_with_worker, start_worker, wait_for_end, wait_for_rows

MAX_IN_FLIGHT = 8


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with so few places that a few deliveries fill it."""
    for name, places in {
        "MAX_IN_FLIGHT": MAX_IN_FLIGHT,
        "RESERVED_FOR_FIRST": 3,
        "RESERVED_FOR_RETRIES": 2,
        "MAX_UNPROVEN": 99,
    }.items():
        monkeypatch.setattr(capacity, name, places)


def _filling(url: str, scenario: Callable[[Site, str], Coroutine[Any, Any, None]]) -> None:
    """Plays ``scenario``, which starts a worker, with a receiver that never answers."""

    async def whole() -> None:
        with ScriptedReceiver([hang()]) as silent:
            async with open_store(url) as database:
                site = await settle(database)
                site.clock = WallClock()
                await scenario(site, silent.url)

    asyncio.run(asyncio.wait_for(whole(), 3 * TIMEOUT_S))


async def _due(site: Site, url: str, count: int, *, retries: bool = False) -> None:
    """Makes so many deliveries due, each of a channel that was never heard of before."""
    await site.run_sql("UPDATE channels SET enabled = :no", no=False)
    for _ in range(count):
        await site.channel(url)
    await site.run()
    if retries:
        await site.run_sql("UPDATE outbox SET is_retry = 1, attempts_started = 1")


async def _sending(site: Site, at_least: int) -> tuple[int, int]:
    """How many first attempts and how many retries are made at once, when there are so many in all."""
    rows = await wait_for_rows(site, lambda rows: sum(row["status"] == "sending" for row in rows) >= at_least)
    kinds = [row["is_retry"] for row in rows if row["status"] == "sending"]
    return kinds.count(0), kinds.count(1)


@pytest.mark.usefixtures("few_places")
def test_channels_not_known_to_answer_get_half_of_the_places(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them hang, the other places are kept for those that answer."""
    monkeypatch.setattr(capacity, "MAX_UNPROVEN", MAX_IN_FLIGHT // 2)

    async def scenario(site: Site, silent: str) -> None:
        await _due(site, silent, MAX_IN_FLIGHT)
        async with start_worker(site.database):
            assert (MAX_IN_FLIGHT // 2, 0) == await _sending(site, 1)  # one look leases all that it may

    _filling(store_url, scenario)


@pytest.mark.usefixtures("few_places")
def test_retries_leave_places_for_first_attempts(store_url: str) -> None:
    """However many are due, what is new is told at once."""

    async def scenario(site: Site, silent: str) -> None:
        await _due(site, silent, MAX_IN_FLIGHT + 2, retries=True)
        async with start_worker(site.database):
            before = await _sending(site, 1)
            await _due(site, silent, MAX_IN_FLIGHT)

            assert [(0, 5), (3, 5)] == [before, await _sending(site, 6)]

    _filling(store_url, scenario)


@pytest.mark.usefixtures("few_places")
def test_first_attempts_leave_places_for_retries(store_url: str) -> None:
    """However many are due, what failed before has its turn."""

    async def scenario(site: Site, silent: str) -> None:
        await _due(site, silent, MAX_IN_FLIGHT + 2, retries=True)
        await _due(site, silent, MAX_IN_FLIGHT + 2)
        async with start_worker(site.database):
            assert (6, 2) == await _sending(site, 1)

    _filling(store_url, scenario)


async def _publish(site: Site, _channel: int, _delivery: UUID) -> None:
    await site.run()


async def _redeliver(site: Site, _channel: int, delivery: UUID) -> None:
    await site.do(deliveries.redeliver, site.owner, delivery)


async def _test(site: Site, channel: int, _delivery: UUID) -> None:
    await site.do(deliveries.test_saved, site.owner, channel)


async def _resume(site: Site, channel: int, _delivery: UUID) -> None:
    await site.do(channels.pause, site.owner, channel)
    await site.run()
    await site.do(channels.resume, site.owner, channel, channels.Held.DELIVER)


async def _change(site: Site, channel: int, _delivery: UUID) -> None:
    far = site.clock() + 3600 * SECOND
    await site.run_sql("UPDATE channels SET throttled_until = :far", far=far)
    await site.run()
    await site.do(update_channel, site.owner, channel, settings={"headers": {"X-New": "yes"}})


@pytest.mark.parametrize("make_due", [_publish, _redeliver, _test, _resume, _change])
def test_what_becomes_due_wakes_the_worker(
    store_url: str, monkeypatch: pytest.MonkeyPatch, make_due: Callable[[Site, int, UUID], Coroutine[Any, Any, None]]
) -> None:
    """It doesn't wait for its next look, which is only a backstop, and here an hour away."""
    monkeypatch.setattr(loop, "_LOOK_EVERY", 3600 * SECOND)

    async def scenario(site: Site) -> None:
        with ScriptedReceiver() as receiver:
            channel = await site.channel(receiver.url)
            await site.run()
            (row,) = await wait_for_end(site, 1)
            await make_due(site, channel.id, UUID(row["id"]))
            await asyncio.to_thread(receiver.wait_for, 2)

    run_with_worker(store_url, scenario)
