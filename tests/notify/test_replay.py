"""What a replay sends, how much at a time, and what it leaves alone; without a worker, step by step."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from loadbell.domain.errors import Conflict
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.notify.channels import delete_channel, update_channel
from loadbell.notify.replay import MAX_PENDING, get_replay
from tests.support.leasing import BROKEN, OK, completion, delivery_rows, lease_all, limited, record
from tests.support.replaying import (
    CANCELLED,
    DELIVERED,
    FAILED,
    carry_out,
    create_ended,
    end,
    lease_in_order,
    list_open,
    replay,
    replays,
    run_replayer,
)
from tests.support.stores import Play, Site


async def _give_back(site: Site, where: str = "TRUE", **values: Any) -> None:
    await site.run_sql(
        "UPDATE outbox SET lease_owner = NULL, lease_until = NULL, leased_at = NULL, "
        f"attempts_started = attempts_started - 1 WHERE lease_owner IS NOT NULL AND {where}",
        **values,
    )


def test_exactly_what_ended_so_in_the_span_is_sent_again(play: Play) -> None:
    """Other statuses, other channels, Test Hooks and what lies outside of the span are left alone; each goes once."""

    async def scenario(site: Site) -> None:
        other = await site.channel()
        (elsewhere,) = await create_ended(site, FAILED)
        await site.do(update_channel, site.owner, other.id, enabled=False)
        channel = await site.channel()
        ids = await create_ended(site, FAILED, FAILED, DELIVERED, CANCELLED, FAILED, DELIVERED, FAILED, FAILED)
        hook = await site.do(deliveries.test_saved, site.owner, channel.id)
        await end(site, str(hook), FAILED)
        (pending,) = await create_ended(site, "pending")
        await site.run_sql("UPDATE outbox SET due_at = :now WHERE delivery_id = :id", now=2**60, id=pending)
        created = {row["id"]: row["created_at"] for row in await site.rows("SELECT id, created_at FROM deliveries")}
        since, until = created[ids[1]], created[ids[7]]
        _, count = await replay(site, channel.id, FAILED, CANCELLED, since=since, until=until)
        sent = await carry_out(site, 6)
        rows = {row["id"]: row["status"] for row in await site.rows("SELECT id, status FROM deliveries")}

        assert 4 == count
        assert [ids[1], ids[3], ids[4], ids[6]] == sent
        assert ["delivered"] * 4 == [rows[key] for key in sent]
        assert ("failed", "failed", "failed", "failed", "pending") == (
            rows[ids[0]], rows[ids[7]], rows[elsewhere], rows[str(hook)], rows[pending],
        )  # fmt: skip

    play(scenario)


def test_a_few_at_a_time_oldest_first(play: Play) -> None:
    """No more than two are open; the next one goes when one of them has ended, and the end is noted."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        ids = await create_ended(site, *[FAILED] * 5)
        replay_id, _ = await replay(site, channel.id)
        assert replay_id is not None
        for _ in range(3):
            await run_replayer(site)
            assert ids[:MAX_PENDING] == await list_open(site)
        first, second = await lease_in_order(site)
        await record(site, completion(site, second, BROKEN))
        await run_replayer(site)
        between = await site.do(get_replay, site.owner, channel.id, replay_id)

        assert [ids[0], ids[2]] == await list_open(site)
        assert (5, 1, None) == (between.count, between.done, between.finished_at)

        await record(site, completion(site, first))
        await carry_out(site, 5)
        after = await site.do(get_replay, site.owner, channel.id, replay_id)
        statuses = [row["status"] for row in await site.rows("SELECT status FROM deliveries ORDER BY id")]

        assert (5, site.clock.now) == (after.done, after.finished_at)
        assert ["delivered", "failed", "delivered", "delivered", "delivered"] == statuses

    play(scenario)


def test_two_of_one_run_do_not_go_together(play: Play) -> None:
    """The end of a run is sent again when its start has had its turn, so that it does not overtake it."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        run = await site.run()
        site.clock.advance(SECOND)
        await site.report(run, RunStatus.FINISHED)
        for row in await site.rows("SELECT id FROM deliveries"):
            await end(site, row["id"], FAILED)
        site.clock.advance(SECOND)
        started, finished = [row["id"] for row in await site.rows("SELECT id FROM deliveries ORDER BY id")]
        await replay(site, channel.id)
        await run_replayer(site)
        alone = await list_open(site)
        for leased in await lease_all(site):
            await record(site, completion(site, leased))
        await run_replayer(site)

        assert ([started], [finished]) == (alone, await list_open(site))

    play(scenario)


def test_live_news_is_leased_first(play: Play) -> None:
    """Of what is due in a channel, an event that is new goes before what a replay has made due earlier."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await create_ended(site, FAILED, FAILED)
        await replay(site, channel.id)
        await run_replayer(site)
        site.clock.advance(SECOND)
        await site.run()
        leased = await lease_all(site)

        assert [False, True, True] == [item.is_replay for item in leased]

    play(scenario)


def test_what_ends_later_is_not_meant(play: Play) -> None:
    """A delivery that failed after the request is not sent again, and neither is one that a person sent meanwhile."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        ids = await create_ended(site, FAILED, FAILED, FAILED, FAILED, "pending")
        replay_id, count = await replay(site, channel.id)
        site.clock.advance(SECOND)
        await end(site, ids[4], FAILED)
        await run_replayer(site)
        await site.do(deliveries.redeliver, site.owner, UUID(ids[3]))
        by_hand = [leased for leased in await lease_all(site) if str(leased.id) == ids[3]]
        await record(site, *(completion(site, leased) for leased in by_hand))
        await _give_back(site)
        sent = await carry_out(site, 5)
        assert replay_id is not None
        shown = await site.do(get_replay, site.owner, channel.id, replay_id)

        assert (4, ids[:3]) == (count, sent)
        assert [False] == [leased.is_replay for leased in by_hand]
        assert (4, 3, True) == (shown.count, shown.done, shown.finished_at is not None)

    play(scenario)


def test_what_a_person_is_sending_is_not_sent_twice(play: Play) -> None:
    """A Redeliver under way at the request, or made before its turn, is passed over though it returns to its end."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        ids = await create_ended(site, *[FAILED] * 5)
        await site.do(deliveries.redeliver, site.owner, UUID(ids[4]))
        (flying,) = await lease_all(site)
        site.clock.advance(SECOND)
        _, count = await replay(site, channel.id)
        await run_replayer(site)
        await site.do(deliveries.redeliver, site.owner, UUID(ids[3]))
        (by_hand,) = [leased for leased in await lease_in_order(site) if not leased.is_replay]
        await _give_back(site, "replay_id > 0")
        await record(site, completion(site, flying, BROKEN), completion(site, by_hand, BROKEN))
        sent = await carry_out(site, 5)

        assert (4, ids[:3]) == (count, sent)
        assert ids[3] == str(by_hand.id)

    play(scenario)


def test_a_rate_limit_costs_no_turn(play: Play) -> None:
    """A limited attempt stays pending with its former end, as often as it takes, and the replay waits with it."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        ids = await create_ended(site, DELIVERED, DELIVERED, DELIVERED)
        await replay(site, channel.id, DELIVERED)
        await run_replayer(site)
        for _ in range(5):
            limited_ones = await lease_in_order(site)
            await record(site, *(completion(site, leased, limited(30)) for leased in limited_ones))
            await run_replayer(site)
            rows = await delivery_rows(site)

            assert ids[:2] == [str(leased.id) for leased in limited_ones]
            assert [("pending", "delivered", "manual")] * 2 == [
                (row["status"], row["log_status"], row["cause"]) for row in rows[:2]
            ]
            assert "delivered" == rows[2]["status"]
            site.clock.advance(3601 * SECOND)  # the longest wait, whatever the receiver asks for
        sent = await carry_out(site, 4)
        rows = await delivery_rows(site)

        assert ids == sent
        assert ["delivered"] * 3 == [row["status"] for row in rows]

    play(scenario)


def test_a_bucket_that_is_not_full_is_left_to_live_news(play: Play) -> None:
    """A replay takes from a paced channel only what has come in; the look says when that will be."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await create_ended(site, FAILED)
        await replay(site, channel.id)
        await site.run_sql("UPDATE channels SET bucket_full_at = :soon", soon=site.clock.now + SECOND // 2)
        pause = await run_replayer(site)
        before = await list_open(site)
        site.clock.advance(SECOND // 2)
        await run_replayer(site)

        assert (0.5, 0, 1) == (pause, len(before), len(await list_open(site)))

    play(scenario)


@pytest.mark.parametrize("stopped", ["paused_at = 1, paused_reason = 'x'", "enabled = :off"])
def test_a_stopped_channel_stops_its_replay(play: Play, stopped: str) -> None:
    """Paused or turned off before, it is refused with what to do; in the middle, the replay waits and then goes on."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        ids = await create_ended(site, FAILED, FAILED, FAILED)
        values = {"off": False} if ":off" in stopped else {}
        await site.run_sql(f"UPDATE channels SET {stopped}", **values)
        with pytest.raises(Conflict, match=r"paused\. Resume it, then|turned off\. Turn it on, then"):
            await replay(site, channel.id)
        going = "paused_at = NULL, paused_reason = NULL, enabled = :on"
        await site.run_sql(f"UPDATE channels SET {going}", on=True)
        await replay(site, channel.id)
        await run_replayer(site)
        await site.run_sql(f"UPDATE channels SET {stopped}", **values)
        await site.run_sql("DELETE FROM outbox")
        await run_replayer(site)
        waiting = await list_open(site)
        await site.run_sql(f"UPDATE channels SET {going}", on=True)
        await run_replayer(site)

        assert ([], [ids[2]]) == (waiting, await list_open(site))

    play(scenario)


def test_the_end_of_its_channel_ends_a_replay(play: Play) -> None:
    """What waited for its turn keeps its end, what was open returns to its end, and nothing more goes."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await create_ended(site, FAILED, DELIVERED, FAILED, FAILED)
        await replay(site, channel.id, FAILED, DELIVERED)
        await run_replayer(site)
        leased, *_ = await lease_all(site)
        await _give_back(site, "delivery_id <> :id", id=str(leased.id))
        await site.do(delete_channel, site.owner, channel.id)
        await record(site, completion(site, leased, limited(1)))
        await run_replayer(site)
        rows = await delivery_rows(site)

        assert ["failed", "delivered", "failed", "failed"] == [row["status"] for row in rows]
        assert [] == await replays(site)

    play(scenario)


def test_calling_off_a_replayed_one_makes_room(play: Play) -> None:
    """It returns to its end, and the next one goes."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        ids = await create_ended(site, FAILED, FAILED, FAILED)
        await replay(site, channel.id)
        await run_replayer(site)
        cancelled = await site.do(deliveries.cancel, site.owner, UUID(ids[0]))
        await run_replayer(site)

        assert ("failed", ids[1:]) == (cancelled.status, await list_open(site))

    play(scenario)


def test_replayers_share_the_work(play: Play) -> None:
    """However many look at the same time, two are open and each delivery is sent once."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        ids = await create_ended(site, *[FAILED] * 12)
        await replay(site, channel.id)
        sent: list[str] = []
        for _ in range(8):
            await asyncio.gather(*(run_replayer(site) for _ in range(4)))
            assert len(await list_open(site)) <= MAX_PENDING
            for leased in await lease_in_order(site):
                sent.append(str(leased.id))
                await record(site, completion(site, leased, OK))

        assert ids == sent
        assert 12 == (await replays(site))[0]["done"]

    play(scenario)


def test_a_replay_finds_what_is_rare(play: Play) -> None:
    """A few among many that are not meant are all found, by looks that each take in a part."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        statuses = [FAILED if number in {7, 900, 1100} else CANCELLED for number in range(1200)]
        ids = await create_ended(site, *statuses)
        _, count = await replay(site, channel.id)
        sent = await carry_out(site, 10)

        assert (3, [ids[7], ids[900], ids[1100]]) == (count, sent)

    play(scenario)
