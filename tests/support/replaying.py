"""Replays step by step, without a worker: deliveries that have ended, and a replayer that is told when to look."""

from typing import Any

from loadbell.domain.deliveries import FinalStatus
from loadbell.domain.ids import SECOND
from loadbell.notify.replay import Replayer, start_replay
from loadbell.runs.lifecycle import NewRun, create_run
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.outbox import Leased
from tests.support.leasing import completion, end_deliveries, lease_all, record
from tests.support.stores import NOON, Site, as_of

FAILED, DELIVERED, CANCELLED = FinalStatus.FAILED, FinalStatus.DELIVERED, FinalStatus.CANCELLED


async def create_ended(site: Site, *statuses: FinalStatus | str) -> list[str]:
    """One run for each status, a second after the other, and the ids of their deliveries, which stand in it."""

    async def runs(tx: Transaction) -> None:
        for _ in statuses:
            site.clock.advance(SECOND)
            await site.call(create_run, as_of(tx, site.clock()), site.owner, NewRun("Load test"))

    known = {row["id"] for row in await site.rows("SELECT id FROM deliveries")}
    await site.database.write(runs)
    new = [row["id"] for row in await site.rows("SELECT id FROM deliveries ORDER BY id") if row["id"] not in known]
    for key, status in zip(new, statuses, strict=True):
        await end(site, key, status)
    site.clock.advance(SECOND)
    return new


async def end(site: Site, delivery_id: str, status: FinalStatus | str) -> None:
    """Lets a delivery have ended so, now."""
    if status != "pending":
        await end_deliveries(site, str(status), "id = :id", id=delivery_id)


async def replay(site: Site, channel_id: int, *statuses: FinalStatus, **given: Any) -> tuple[int | None, int]:
    """Asks for a replay of all that ended so, unless told otherwise."""
    body = {"since": NOON, "until": None, "dry_run": False, **given}
    return await site.do(start_replay, site.owner, channel_id, statuses=statuses or (FAILED,), **body)


async def run_replayer(site: Site) -> float:
    """What a replayer does when it looks once."""
    return await Replayer(site.database).advance_all()


async def list_open(site: Site) -> list[str]:
    """The ids of what is pending or being sent, oldest first."""
    return [row["id"] for row in await site.rows("SELECT delivery_id AS id FROM outbox ORDER BY delivery_id")]


async def lease_in_order(site: Site) -> list[Leased]:
    """What a worker leases now, oldest first."""
    return sorted(await lease_all(site), key=lambda leased: leased.id)


async def carry_out(site: Site, rounds: int) -> list[str]:
    """Looks and delivers in turn; the ids of what was sent, in order."""
    sent: list[str] = []
    for _ in range(rounds):
        await run_replayer(site)
        for leased in await lease_in_order(site):
            sent.append(str(leased.id))
            await record(site, completion(site, leased))
    return sent


async def replays(site: Site) -> list[Row]:
    """Every replay as it is stored."""
    return await site.rows("SELECT * FROM replays ORDER BY id")
