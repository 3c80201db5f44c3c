"""Completions: what the result of an attempt moves, and what it does not."""

from dataclasses import replace
from uuid import UUID

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.notify import deliveries
from loadbell.notify.channels import delete_channel
from loadbell.outbound.messages import NoReply, Reply
from loadbell.store.outbox import give_back, reap
from tests.support.leasing import (
    BROKEN,
    LEASE,
    LIMITED,
    OK,
    SILENT,
    attempts,
    completion,
    delivery_rows,
    lease,
    lease_all,
    record,
    statuses,
)
from tests.support.stores import Play, Site, as_dict

STARTS = Subscription(events=(EventName.STARTED,))


def test_a_result_twice_counts_once(play: Play) -> None:
    """Recording a batch again, as after a COMMIT whose answer was lost, changes nothing more."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(4):
            await site.run()
        leased = await lease(site)
        answers: list[Reply | NoReply] = [OK, BROKEN, SILENT, LIMITED]
        results = [completion(site, item, answer) for item, answer in zip(leased, answers, strict=True)]
        await record(site, *results)
        rows, log = await delivery_rows(site), await attempts(site)
        site.clock.advance(SECOND)
        await record(site, *results)

        assert [as_dict(row) for row in rows] == [as_dict(row) for row in await delivery_rows(site)]
        assert [as_dict(row) for row in log] == [as_dict(row) for row in await attempts(site)]
        assert ["delivered", "pending", "pending", "pending"] == sorted(row["status"] for row in rows)

    play(scenario)


def test_a_result_that_comes_too_late_moves_nothing(play: Play) -> None:
    """A worker that lost its lease to another one may note what it did; the delivery is the other one's."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (stale,) = await lease(site, owner=1)
        await site.run_sql("UPDATE outbox SET lease_owner = NULL, lease_until = NULL, leased_at = NULL")
        (fresh,) = await lease(site, owner=2)
        await record(site, completion(site, stale, OK))
        row = (await delivery_rows(site))[0]

        assert (1, 2) == (stale.number, fresh.number)
        assert ("sending", 2, None) == (row["status"], row["lease_owner"], row["reason"])
        assert [(1, "ok")] == [(entry["number"], entry["reason"]) for entry in await attempts(site)]
        await record(site, completion(site, fresh, BROKEN))
        assert ["pending"] == await statuses(site)
        assert [(1, "ok"), (2, "http_5xx")] == [(entry["number"], entry["reason"]) for entry in await attempts(site)]

    play(scenario)


def test_a_result_of_another_worker_with_the_same_number_moves_nothing(play: Play) -> None:
    """What was given back keeps its number, so the owner is part of the fence."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (stale,) = await lease(site, owner=1)
        await site.do(give_back, 1)
        (fresh,) = await lease(site, owner=2)
        await record(site, completion(site, stale, OK))

        assert stale.number == fresh.number
        assert ["sending"] == await statuses(site)

    play(scenario)


def test_a_result_of_an_older_attempt_of_the_same_worker_moves_nothing(play: Play) -> None:
    """A worker whose lease ran out may have leased the same delivery anew, so the attempt's number is in the fence."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (older,) = await lease(site, owner=1)
        site.clock.advance(LEASE)
        await site.do(reap, owner=1)
        (newer,) = await lease_all(site, owner=1)
        await record(site, completion(site, older, OK))
        (row,) = await delivery_rows(site)

        assert (older.owner, older.number + 1) == (newer.owner, newer.number)
        assert ("sending", 1, 2) == (row["status"], row["lease_owner"], row["attempts_started"])
        await record(site, completion(site, newer, BROKEN))
        assert ["pending"] == await statuses(site)

    play(scenario)


def test_a_result_of_a_deleted_channel_is_still_recorded(play: Play) -> None:
    """The attempt was made; its delivery ends as it says."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await site.run()
        leased, other = await lease(site)
        await site.do(delete_channel, site.owner, channel.id)
        await record(site, completion(site, leased, OK), completion(site, other, BROKEN))
        site.clock.advance(10 * SECOND)

        assert [] == await lease_all(site), "a retry has nowhere to go"
        assert sorted(["delivered", "cancelled"]) == sorted(await statuses(site))
        assert [None] * 2 == [row["lease_owner"] for row in await delivery_rows(site)]

    play(scenario)


def test_a_log_row_of_a_delivery_that_is_gone_is_dropped(play: Play) -> None:
    """When its organization was deleted meanwhile, the other results of the batch are recorded all the same."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (leased,) = await lease(site)
        ghost = completion(site, replace(leased, id=UUID(int=1)))
        await record(site, ghost, completion(site, leased, OK))

        assert ["delivered"] == await statuses(site)
        assert 1 == len(await attempts(site))

    play(scenario)


def test_a_failure_after_its_channel_was_deleted_is_not_retried(play: Play) -> None:
    """The attempt under way is recorded, and the delivery is cancelled at once instead of waiting for a retry."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        (leased,) = await lease(site)
        await site.do(delete_channel, site.owner, channel.id)
        await record(site, completion(site, leased, BROKEN))
        (row,) = await delivery_rows(site)

        assert ("cancelled", None, "http_5xx") == (row["status"], row["due_at"], row["reason"])
        assert row["finished_at"] is not None
        assert 1 == len(await attempts(site))

    play(scenario)


def test_what_a_batch_cancels_ends_at_the_present(play: Play) -> None:
    """Not when the first attempt of the batch began, which may be before the cancelled delivery was even made."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        (old,) = await lease(site)
        begun = site.clock.now
        site.clock.advance(10 * SECOND)
        await site.run()
        (young,) = await lease(site)
        await site.do(delete_channel, site.owner, channel.id)
        site.clock.advance(SECOND)
        await record(site, completion(site, old, BROKEN, started_at=begun), completion(site, young, BROKEN))

        assert [("cancelled", site.clock.now)] * 2 == [
            (row["status"], row["finished_at"]) for row in await delivery_rows(site)
        ]

    play(scenario)


def test_a_manual_attempt_leaves_the_schedule_alone(play: Play) -> None:
    """After a Redeliver that failed, the next scheduled attempt comes when it would have come without."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (leased,) = await lease(site)
        await record(site, completion(site, leased, BROKEN))
        (before,) = await delivery_rows(site)
        for _ in range(2):
            site.clock.advance(SECOND)
            await site.do(deliveries.redeliver, site.owner, UUID(before["id"]))
            (manual,) = await lease(site)
            await record(site, completion(site, manual, BROKEN))
        (after,) = await delivery_rows(site)

        assert (before["due_at"], before["retry_index"]) == (after["due_at"], after["retry_index"])
        assert ["scheduled", "manual", "manual"] == [row["cause"] for row in await attempts(site)]

    play(scenario)
