"""A worker's part on the store, step by step, without the worker: lease, get an answer, record it."""

from collections.abc import Mapping
from dataclasses import replace

from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.retry import RetrySchedule
from loadbell.notify.deliver import conclude, prepare
from loadbell.outbound.contract import NoReply, Reply
from loadbell.store.completions import Completion, complete_batch
from loadbell.store.db import Row
from loadbell.store.leases import Leased, Room, lease_due
from tests.support.stores import Site

WAITS = RetrySchedule((10 * SECOND, 100 * SECOND))
LEASE: Micros = 45 * SECOND

BASE_URL = "https://loadbell.example.org"
OK = Reply(200, (), b"", truncated=False, duration=5_000)
BROKEN = replace(OK, status=500)
GONE = replace(OK, status=410)
LIMITED = replace(OK, status=429)
SILENT = NoReply(Reason.CONNECT, "The connection was refused.", 5_000)


def limited(seconds: int) -> Reply:
    """An answer that asks the sender to wait so long."""
    return replace(LIMITED, headers=(("Retry-After", str(seconds)),))


async def lease(  # noqa: PLR0913 - what a worker asks for, with what most tests mean
    site: Site,
    *,
    owner: int = 1,
    retrying: bool = False,
    total: int = 100,
    in_lane: int = 100,
    left: Mapping[int, int] | None = None,
) -> list[Leased]:
    """Leases what is due now."""
    look = await site.do(
        lease_due, retrying=retrying, room=Room(total, in_lane, left or {}), owner=owner, until=site.clock.now + LEASE
    )
    return look.leased


async def lease_all(site: Site, *, owner: int = 1) -> list[Leased]:
    """Leases first attempts and retries."""
    return await lease(site, owner=owner) + await lease(site, owner=owner, retrying=True)


def done(
    site: Site,
    leased: Leased,
    answer: Reply | NoReply = OK,
    *,
    waits: RetrySchedule = WAITS,
    started_at: Micros | None = None,
) -> Completion:
    """What becomes of a leased delivery when this answer comes now, to an attempt that began then (None: now)."""
    now = site.clock.now
    prepared = prepare(leased, now if started_at is None else started_at, BASE_URL)
    return conclude(prepared, answer, schedule=waits, now=now, chance=0.5)


async def record(site: Site, *completions: Completion) -> None:
    """Records what became of attempts."""
    await site.do(complete_batch, list(completions))


async def deliveries(site: Site) -> list[Row]:
    """Every delivery, oldest first."""
    return await site.rows("SELECT * FROM deliveries ORDER BY id")


async def attempts(site: Site) -> list[Row]:
    """Every attempt, by delivery and number."""
    return await site.rows("SELECT * FROM attempts ORDER BY delivery_id, number")


async def statuses(site: Site) -> list[str]:
    """The status of each delivery, oldest first."""
    return [row["status"] for row in await deliveries(site)]
