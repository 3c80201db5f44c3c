"""The unit of work: what a use case is given."""

from dataclasses import replace

import pytest

from loadbell.domain.orgs import Principal
from loadbell.store.engine.db import Transaction
from loadbell.store.unit_of_work import UnitOfWork, exclusive
from tests.support.stores import NOON, Play, Site, unit_of


@exclusive
async def _change_exclusively(unit: UnitOfWork[Principal]) -> int:
    return unit.principal.organization_id


def test_what_changes_alone_runs_only_alone(play_on_sqlite: Play) -> None:
    """A caller that forgot to lock the organization is told, whatever it calls in between."""

    async def scenario(site: Site) -> None:
        async def shared(tx: Transaction) -> int:
            return await _change_exclusively(replace(unit_of(tx, site.owner), is_exclusive=False))

        with pytest.raises(RuntimeError, match="_change_exclusively is exclusive"):
            await site.database.write(shared)

        assert site.organization_id == await site.do(_change_exclusively, site.owner)

    play_on_sqlite(scenario)


def test_a_unit_of_work_has_one_time_and_makes_ids_of_it(play: Play) -> None:
    """However long it takes: each id is of the instant at which it began, and no two are the same."""

    async def scenario(site: Site) -> None:
        async def work(unit: UnitOfWork[Principal]) -> tuple[set[int], int]:
            before = unit.now
            site.clock.advance(1_000_000)
            ids = {unit.new_uuid() for _ in range(100)}
            return {before, unit.now, *(uuid.int >> 80 for uuid in ids)}, len(ids)

        times, ids = await site.do(work, site.owner)

        assert ({NOON, NOON // 1000}, 100) == (times, ids)

    play(scenario)
