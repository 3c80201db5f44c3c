"""Holding an organization on PostgreSQL: who shares it, who has it alone, and in which order they come."""

import asyncio

from loadbell.store.engine.db import Transaction
from loadbell.store.engine.locks import ORGANIZATION_LOCKS, lock_organization
from tests.support.stores import Play, Site
from tests.support.working import TIMEOUT_S

_WAITING = "SELECT 1 AS one FROM pg_locks WHERE locktype = 'advisory' AND classid = :locks AND NOT granted"


async def _wait_for(site: Site, count: int) -> None:
    """Returns once so many transactions wait for an organization."""
    end = asyncio.get_running_loop().time() + TIMEOUT_S
    while len(await site.rows(_WAITING, locks=ORGANIZATION_LOCKS)) != count:
        assert asyncio.get_running_loop().time() < end, f"{count} don't wait"
        await asyncio.sleep(0.01)


def test_whoever_wants_it_alone_is_not_passed(play_on_postgresql: Play) -> None:
    """Reports that come while a change waits go after it, so that it waits only for those under way."""

    async def scenario(site: Site) -> None:
        order: list[str] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def under_way(tx: Transaction) -> None:
            await lock_organization(tx, site.organization_id, exclusive=False)
            order.append("under way")
            begun.set()
            await go_on.wait()

        async def unit(tx: Transaction, name: str, *, alone: bool) -> None:
            await lock_organization(tx, site.organization_id, exclusive=alone)
            order.append(name)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(site.database.write(under_way))
            await begun.wait()
            await site.database.write(unit, "beside", alone=False)
            tasks.create_task(site.database.write(unit, "change", alone=True))
            await _wait_for(site, 1)
            tasks.create_task(site.database.write(unit, "after", alone=False))
            await _wait_for(site, 2)
            go_on.set()

        assert ["under way", "beside", "change", "after"] == order

    play_on_postgresql(scenario)
