"""A worker at work: real store, real sender, real receivers, the system's clock."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from loadbell.domain.deliveries import DeliveryStatus
from loadbell.domain.ids import SECOND, Clock, Micros
from loadbell.domain.retry import RetrySchedule
from loadbell.notify.worker.capacity import MAX_IN_FLIGHT
from loadbell.notify.worker.loop import Worker
from loadbell.outbound.sender import Sender
from loadbell.store.engine.db import Database
from loadbell.testing.receiver import Received
from tests.support.leasing import DeliveryRow, delivery_rows
from tests.support.stores import HOLD_FOR, LOOPBACK, PAUSE_AFTER, Site, WallClock, open_store, settle, use

TIMEOUT_S = 20.0
"""Seconds after which what should happen is believed not to; ten times what it ever takes."""


@asynccontextmanager
async def start_worker(  # noqa: PLR0913 - one argument for each property of a worker
    database: Database,
    schedule: str = "100ms,200ms,400ms",
    deadline: Micros = 5 * SECOND,
    *,
    pause_after: Micros = PAUSE_AFTER,
    hold_for: Micros = HOLD_FOR,
    clock: Clock | None = None,
    monotonic: Clock | None = None,
) -> AsyncIterator[Worker]:
    """A worker on ``database``, with a sender of its own, as one process has them."""
    sender = Sender(policy=LOOPBACK, timeout=deadline, max_in_flight=MAX_IN_FLIGHT)
    sender.start()
    system = clock or WallClock()
    use(database, system, os.urandom)
    worker = Worker(
        database,
        sender,
        schedule=RetrySchedule.parse(schedule),
        send_timeout=deadline,
        base_url="http://loadbell.test",
        pause_after=pause_after,
        hold_for=hold_for,
        clock=system,
        monotonic=monotonic or (lambda: time.monotonic_ns() // 1000),
        chance=lambda: 0.5,
    )
    try:
        await worker.start()
        yield worker
    finally:
        await worker.stop(0.1)
        await sender.close()


def run_with_worker(
    url: str,
    scenario: Callable[[Site], Coroutine[Any, Any, None]],
    schedule: str = "100ms,200ms,400ms",
    **given: Any,
) -> None:
    """Plays ``scenario`` on the store at ``url`` while a worker runs, with these other properties of it."""

    async def whole() -> None:
        async with open_store(url) as database:
            site = await settle(database)
            site.clock = WallClock()
            async with start_worker(database, schedule, **given):
                await scenario(site)

    asyncio.run(asyncio.wait_for(whole(), 3 * TIMEOUT_S))


async def wait_for_rows(site: Site, holds: Callable[[list[DeliveryRow]], bool]) -> list[DeliveryRow]:
    """Every delivery, oldest first, once ``holds`` of them."""
    end = asyncio.get_running_loop().time() + TIMEOUT_S
    while True:
        rows = await delivery_rows(site)
        if holds(rows):
            return rows
        assert asyncio.get_running_loop().time() < end, rows
        await asyncio.sleep(0.02)


async def wait_for_status(site: Site, *expected: str) -> list[DeliveryRow]:
    """Every delivery, oldest first, once their statuses are these."""
    return await wait_for_rows(site, lambda rows: [row["status"] for row in rows] == list(expected))


async def wait_for_end(site: Site, count: int) -> list[DeliveryRow]:
    """Every delivery once there are ``count`` and all have ended."""
    open_ones = {DeliveryStatus.PENDING.value, DeliveryStatus.SENDING.value}
    return await wait_for_rows(
        site, lambda rows: len(rows) == count and not any(row["status"] in open_ones for row in rows)
    )


async def reasons(site: Site, delivery: DeliveryRow | UUID | str) -> list[tuple[str, str]]:
    """Cause and reason of each attempt of a delivery, oldest first."""
    key = str(delivery) if isinstance(delivery, UUID | str) else delivery["id"]
    rows = await site.rows("SELECT cause, reason FROM attempts WHERE delivery_id = :id ORDER BY number", id=key)
    return [(row["cause"], row["reason"]) for row in rows]


def event_names(requests: list[Received]) -> list[str | None]:
    """The event of each request, in order of arrival."""
    return [request.header("X-LoadImpact-Event") for request in requests]


def free_port() -> int:
    """A loopback port on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
