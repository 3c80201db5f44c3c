"""What has to be done to very many rows is done a few at a time behind a mark; on both stores."""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import pytest

from loadbell.domain.deliveries import DeliveryStatus
from loadbell.domain.errors import NotFound
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.notify.channels import Held, delete_channel, get_channel, pause, resume
from loadbell.notify.sweeper import Sweeper
from loadbell.runs.lifecycle import get_run, list_runs
from loadbell.store.idempotency import RETENTION, claim_key
from loadbell.store.sweeps import BATCH
from tests.support.counting import Counting
from tests.support.crowds import hold_deliveries, put_keys, put_runs
from tests.support.deleting import delete_organization, delete_project
from tests.support.leasing import OK, completion, delivery_rows, lease_all, record
from tests.support.stores import HOLD_FOR, Play, Site

MAX_CHANGED = 3 * BATCH
"""Rows that one transaction may change: a batch, each of its rows in two tables, and what is said of it."""

MANY = MAX_CHANGED + BATCH + 50
"""More rows than one transaction may change, and no whole number of batches."""


async def sweep(site: Site) -> int:
    """Lets a sweeper look until there is nothing left to do; gives how many times it looked."""
    sweeper, looks = Sweeper(site.database, hold_for=HOLD_FOR), 1
    while await sweeper.sweep_all():
        looks += 1
    return looks


async def statuses(site: Site) -> dict[str, int]:
    """How many deliveries stand in each status."""
    return dict(Counter(row["status"] for row in await delivery_rows(site)))


async def _resume(site: Site, channel_id: int, held: Held) -> None:
    await site.do(pause, site.owner, channel_id)
    await site.do(resume, site.owner, channel_id, held)


async def _drop(site: Site, channel_id: int, _project: int) -> None:
    await _resume(site, channel_id, Held.DROP)


async def _deliver(site: Site, channel_id: int, _project: int) -> None:
    await _resume(site, channel_id, Held.DELIVER)


async def _delete_channel(site: Site, channel_id: int, _project: int) -> None:
    await site.do(delete_channel, site.owner, channel_id)


async def _delete_project(site: Site, _channel: int, project: int) -> None:
    await site.do(delete_project, site.owner, project)


async def _delete_organization(site: Site, _channel: int, _project: int) -> None:
    await site.do(delete_organization, site.owner, site.organization_id)


async def _expire(site: Site, channel_id: int, _project: int) -> None:
    await site.do(pause, site.owner, channel_id)
    site.clock.advance(HOLD_FOR + RETENTION)


OPERATIONS: list[tuple[Callable[[Site, int, int], Coroutine[Any, Any, None]], dict[str, int]]] = [
    (_drop, {"cancelled": MANY}),
    (_deliver, {"pending": MANY}),
    (_delete_channel, {"cancelled": MANY}),
    (_delete_project, {"pending": MANY}),
    (_delete_organization, {"cancelled": MANY}),
    (_expire, {"failed": MANY}),
]


@pytest.mark.parametrize(("operation", "after"), OPERATIONS)
def test_no_transaction_grows_with_the_data(
    play: Play, operation: Callable[[Site, int, int], Coroutine[Any, Any, None]], after: dict[str, int]
) -> None:
    """However much there is, each transaction changes a limited number of rows, and in the end all is done."""

    async def scenario(site: Site) -> None:
        project = await site.project()
        channel = await site.channel()
        await hold_deliveries(site.database, site.organization_id, channel.id, MANY, site.clock())
        await put_runs(site.database, site.organization_id, project, MANY, site.clock())
        counting: Any = Counting(site.database)
        site.database = counting
        await operation(site, channel.id, project)
        looks = await sweep(site)

        assert looks >= 2
        assert max(counting.changed) <= MAX_CHANGED
        assert after == await statuses(site)
        assert [] == await site.rows("SELECT id FROM sweeps")
        body = {} if operation is _delete_project else {"crowd": MANY}
        assert body == {
            row["name"]: row["c"] for row in await site.rows("SELECT name, count(*) AS c FROM runs GROUP BY 1")
        }

    play(scenario)


def test_what_is_dropped_reads_as_cancelled_at_once(play: Play) -> None:
    """Before the sweep has come to it nothing of it is sent, listed as pending, or cancelled a second time."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        items = await hold_deliveries(site.database, site.organization_id, channel.id, MANY, site.clock())
        await _resume(site, channel.id, Held.DROP)
        site.clock.advance(SECOND)
        await site.run()
        unswept = UUID(items[-1])
        read, _ = await site.do(deliveries.get_delivery, site.owner, unswept)
        pending, _ = await site.do(
            deliveries.list_log, site.owner, channel_id=channel.id, status=DeliveryStatus.PENDING, limit=MANY
        )
        leased = await lease_all(site)
        again = await site.do(deliveries.redeliver, site.owner, unswept)
        await sweep(site)
        leased_items = await lease_all(site)

        assert (DeliveryStatus.CANCELLED, None) == (read.status, read.next_attempt_at)
        assert "queued notifications were dropped" in str(read.message)
        assert (1, []) == (len(pending), leased)
        assert DeliveryStatus.PENDING is again.status
        assert {"cancelled": MANY - 1, "sending": 2} == await statuses(site)
        assert 2 == len(leased_items), "what was asked for after the resume"

    play(scenario)


def test_a_long_line_keeps_its_order(play: Play) -> None:
    """What was held is sent one by one in the order of its events, from the first batch to the last."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        early = await site.run()
        site.clock.advance(SECOND)
        items = await hold_deliveries(site.database, site.organization_id, channel.id, MANY, site.clock())
        await site.do(pause, site.owner, channel.id)
        site.clock.advance(SECOND)
        await site.report(early, RunStatus.FINISHED)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        nothing = await lease_all(site)
        await sweep(site)
        rows = await delivery_rows(site)
        follows = {row["after"]: row for row in rows}
        order, place = [], None
        while (row := follows.get(place)) is not None:
            order.append(row["id"])
            place = row["id"]
        (first,) = await lease_all(site)
        await record(site, completion(site, first, OK))
        (second,) = await lease_all(site)

        assert [] == nothing
        assert MANY + 2 == len(order)
        assert items == order[1:-1]
        assert [str(first.id), str(second.id)] == order[:2]

    play(scenario)


def test_an_end_never_comes_before_its_start(play: Play) -> None:
    """A clock that was set back puts them in different batches; the end waits for its start all the same."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        site.clock.advance(1000 * SECOND)
        run = await site.run()
        site.clock.advance(-999 * SECOND)
        await site.report(run, RunStatus.FINISHED)
        site.clock.advance(SECOND)
        await hold_deliveries(site.database, site.organization_id, channel.id, MANY, site.clock())
        await _resume(site, channel.id, Held.DELIVER)
        await sweep(site)
        rows = await delivery_rows(site)
        start, end = (
            next(row for row in rows if row["run_id"] == run.id and row["event"] == event)
            for event in ("test.started", "test.finished")
        )

        assert end["id"] < start["id"]
        assert end["after"] == start["id"]
        assert 1 == sum(row["after"] is None for row in rows)

    play(scenario)


def test_a_deleted_channel_is_gone_at_once(play: Play) -> None:
    """Nobody finds it, and its log reads as cancelled before the sweep has been through it."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        items = await hold_deliveries(site.database, site.organization_id, channel.id, MANY, site.clock())
        await site.do(delete_channel, site.owner, channel.id)
        with pytest.raises(NotFound):
            await site.do(get_channel, site.owner, channel.id)
        newest, _ = await site.do(deliveries.list_log, site.owner, organization_id=site.organization_id, limit=1)

        assert [] == await lease_all(site)
        assert [(items[-1], "cancelled")] == [(str(delivery.id), delivery.status.value) for delivery in newest]
        assert "channel was deleted" in str(newest[0].message)

    play(scenario)


def test_a_deleted_project_is_gone_at_once(play: Play) -> None:
    """Its runs are in no list and found by nobody before the sweep has been through them."""

    async def scenario(site: Site) -> None:
        project = await site.project()
        await put_runs(site.database, site.organization_id, project, MANY, site.clock())
        await site.do(delete_project, site.owner, project)
        rows = await site.rows("SELECT min(id) AS id, count(*) AS count FROM runs")
        runs, _ = await site.do(list_runs, site.owner, before=None, limit=10)
        with pytest.raises(NotFound):
            await site.do(get_run, site.owner, rows[0]["id"])
        with pytest.raises(NotFound):
            await site.run(project_id=project)

        assert (True, []) == (rows[0]["count"] > 0, runs)

    play(scenario)


def test_what_is_being_sent_during_a_sweep_is_recorded(play: Play) -> None:
    """An attempt that was under way when the channel was dropped keeps its result."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        (flying,) = await lease_all(site)
        site.clock.advance(SECOND)
        await hold_deliveries(site.database, site.organization_id, channel.id, MANY, site.clock())
        await _resume(site, channel.id, Held.DROP)
        await record(site, completion(site, flying, OK))
        await sweep(site)

        assert {"cancelled": MANY, "delivered": 1} == await statuses(site)

    play(scenario)


def test_a_second_resume_waits_for_the_first(play: Play) -> None:
    """Of one channel sweeps go one after the other: what was dropped first is not delivered by the next."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await hold_deliveries(site.database, site.organization_id, channel.id, MANY, site.clock())
        await _resume(site, channel.id, Held.DROP)
        await site.do(pause, site.owner, channel.id)
        site.clock.advance(SECOND)
        await site.run()
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        await sweep(site)

        assert {"cancelled": MANY, "pending": 1} == await statuses(site)
        assert 1 == len(await lease_all(site))

    play(scenario)


def test_old_keys_are_forgotten_a_few_at_a_time(play: Play) -> None:
    """To revoke a token deletes none of its keys; they go when they are too old, and count for nothing before that."""

    async def scenario(site: Site) -> None:
        token = site.owner.token_id
        assert token is not None
        await put_keys(site.database, token, MANY, site.clock())
        site.clock.advance(RETENTION + SECOND)
        counting: Any = Counting(site.database)
        site.database = counting
        claimed = await site.do(claim_key, token, "7", "another request")
        await sweep(site)

        assert claimed is None
        assert max(counting.changed) <= BATCH
        assert ["7"] == [row["key"] for row in await site.rows("SELECT key FROM idempotency_keys")]

    play(scenario)
