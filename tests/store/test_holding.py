"""Holding an organization on PostgreSQL: who shares it, who has it alone, and in which order they come."""

import asyncio

from loadbell.store.db import Transaction
from loadbell.store.holding import ORGANIZATION_LOCKS, hold_organization
from tests.support.stores import Play, Site


async def _waiting(site: Site, count: int) -> None:
    """Returns once so many transactions wait for an organization."""
    query = "SELECT 1 AS one FROM pg_locks WHERE locktype = 'advisory' AND classid = :locks AND NOT granted"
    async with asyncio.timeout(20):
        while len(await site.rows(query, locks=ORGANIZATION_LOCKS)) != count:
            await asyncio.sleep(0.01)


def test_whoever_wants_it_alone_is_not_passed(play_on_postgresql: Play) -> None:
    """Reports that come while a change waits go after it, so that it waits only for those under way."""

    async def scenario(site: Site) -> None:
        order: list[str] = []
        go_on = asyncio.Event()

        async def under_way(tx: Transaction) -> None:
            await hold_organization(tx, site.organization_id, alone=False)
            order.append("under way")
            await go_on.wait()

        async def unit(tx: Transaction, name: str, *, alone: bool) -> None:
            await hold_organization(tx, site.organization_id, alone=alone)
            order.append(name)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(site.database.write(under_way))
            while not order:
                await asyncio.sleep(0.01)
            tasks.create_task(site.database.write(lambda tx: unit(tx, "beside", alone=False)))
            while len(order) == 1:
                await asyncio.sleep(0.01)
            tasks.create_task(site.database.write(lambda tx: unit(tx, "change", alone=True)))
            await _waiting(site, 1)
            tasks.create_task(site.database.write(lambda tx: unit(tx, "after", alone=False)))
            await _waiting(site, 2)
            go_on.set()

        assert ["under way", "beside", "change", "after"] == order

    play_on_postgresql(scenario)
