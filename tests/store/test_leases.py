"""Leases: who may make the next attempt of what."""

import asyncio
from uuid import UUID

import pytest

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.notify.worker.capacity import Room
from loadbell.notify.worker.fetch import lease_due
from loadbell.outbound.messages import NoReply, Reply
from loadbell.store.outbox import give_back
from tests.support.leasing import (
    BROKEN,
    LEASE,
    LIMITED,
    OK,
    SILENT,
    completion,
    delivery_rows,
    lease,
    lease_all,
    limited,
    record,
)
from tests.support.stores import Play, Site

STARTS = Subscription(events=(EventName.STARTED,))


def test_two_workers_never_lease_one_delivery(play: Play) -> None:
    """However many ask at the same time, each delivery is leased once."""

    async def scenario(site: Site) -> None:
        for _ in range(5):
            await site.channel()
        for _ in range(8):
            await site.run()
        batches = await asyncio.gather(*(lease(site, owner=owner, total=7) for owner in range(1, 9)))
        ids = [item.id for batch in batches for item in batch]

        assert len(set(ids)) == len(ids)
        rest = await lease(site, owner=99)
        assert 40 == len({*ids, *(item.id for item in rest)}) == len(ids) + len(rest)
        assert [] == await lease(site, owner=100)
        assert all(item.owner == owner for owner, batch in enumerate(batches, 1) for item in batch)

    play(scenario)


def test_a_lease_carries_all_that_the_attempt_needs(play: Play) -> None:
    """Payload, settings, signing secret, number and cause, as they stand now."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        run = await site.run()
        (leased,) = await lease(site, owner=7)

        assert (channel.id, "webhook", "test.started", 1, 7, 0, None, "scheduled") == (
            leased.channel_key, leased.kind, leased.event, leased.number, leased.owner, leased.retry_index,
            leased.final, leased.cause,
        )  # fmt: skip
        assert channel.settings == leased.settings
        assert f'"load_test_run_id":{run.id}'.encode() in leased.payload
        assert leased.secrets[0].startswith("whsec_")
        assert site.clock.now == leased.occurred_at

    play(scenario)


def test_a_channel_gets_its_share_only(play: Play) -> None:
    """No more than the cap of each channel, less what is in flight for it; nothing at all for a full one."""

    async def scenario(site: Site) -> None:
        channels = [await site.channel() for _ in range(3)]
        for _ in range(6):
            await site.run()
        busy = {channels[1].id: 1, channels[2].id: 0}
        leased = await lease(site, per_channel=4, left=busy)
        keys = [item.channel_key for item in leased]

        assert [4, 1, 0] == [keys.count(channel.id) for channel in channels]

    play(scenario)


def test_a_worker_is_told_which_channels_held_more(play: Play) -> None:
    """Where more was due than there was room for, it looks again when one of that channel is done."""

    async def scenario(site: Site) -> None:
        full, idle, busy = [(await site.channel()).id for _ in range(3)]
        await site.run_sql("UPDATE channels SET enabled = (id <> :id)", id=idle)
        for _ in range(3):
            await site.run()
        room = Room(100, 2, {busy: 3})
        lease_result = await site.do(lease_due, is_retry=False, room=room, owner=1, until=site.clock.now + LEASE)
        rest = await site.do(lease_due, is_retry=False, room=Room(0, 2, {}), owner=1, until=site.clock.now + LEASE)

        assert [full] * 2 + [busy] * 3 == sorted(
            (item.channel_key for item in lease_result.leased), key=[full, busy].index
        )
        assert {full, busy} == lease_result.held, "as much as there was room for: there may be more"
        assert not lease_result.full
        assert ([], frozenset(), True) == (rest.leased, rest.held, rest.full)

    play(scenario)


def test_healthy_channels_go_first(play: Play) -> None:
    """Channels that are not known to answer come last, and together get no more than their places."""

    async def scenario(site: Site) -> None:
        *others, healthy = [(await site.channel()).id for _ in range(4)]
        await site.run()
        room = Room(100, 1, {healthy: 4}, healthy={healthy}, unproven=2)
        lease_result = await site.do(lease_due, is_retry=False, room=room, owner=1, until=site.clock.now + LEASE)
        keys = [item.channel_key for item in lease_result.leased]

        assert {healthy, *others[:2]} == set(keys)
        assert lease_result.full, "the third of the others was left"

    play(scenario)


def test_the_total_is_not_exceeded(play: Play) -> None:
    """A worker gets no more than it has room for, and nothing when it has none."""

    async def scenario(site: Site) -> None:
        for _ in range(4):
            await site.channel()
        for _ in range(4):
            await site.run()

        assert [] == await lease(site, total=0) + await lease(site, total=-3)
        assert [5, 5, 5, 1] == [len(await lease(site, total=5, per_channel=4)) for _ in range(4)]

    play(scenario)


def test_what_has_waited_longest_goes_first(play: Play) -> None:
    """Channels are served by the age of what is due for them, and so is what is due for one."""

    async def scenario(site: Site) -> None:
        late, early = await site.channel(enabled=False), await site.channel()
        first = await site.run()
        site.clock.advance(SECOND)
        await site.run_sql("UPDATE channels SET enabled = (id = :id)", id=late.id)
        await site.run()
        await site.run()
        site.clock.advance(SECOND)
        (oldest,) = await lease(site, total=1)
        second, third, *_ = await lease(site, total=2)

        assert (early.id, f'"load_test_run_id":{first.id},'.encode() in oldest.payload) == (oldest.channel_key, True)
        assert {late.id} == {second.channel_key, third.channel_key}

    play(scenario)


def test_first_attempts_and_retries_are_leased_apart(play: Play) -> None:
    """So that a crowd of retries can leave room for news."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (leased,) = await lease(site)
        await record(site, completion(site, leased, BROKEN))
        site.clock.advance(10 * SECOND)
        await site.run()
        again, first = await lease(site, is_retry=True), await lease(site)

        assert [leased.id] == [item.id for item in again]
        assert [2, 1] == [again[0].number, first[0].number]
        assert leased.id != first[0].id

    play(scenario)


def test_a_retry_is_not_leased_before_its_time(play: Play) -> None:
    """Not a microsecond early, and the worker is told when to look again."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (leased,) = await lease(site)
        await record(site, completion(site, leased, BROKEN))
        due = site.clock.now + 10 * SECOND
        site.clock.now = due - 1
        lease_result = await site.do(lease_due, is_retry=True, room=Room(9, 9, {}), owner=1, until=due + LEASE)

        assert ([], due) == (lease_result.leased, lease_result.next_due)
        site.clock.now = due
        assert [leased.id] == [item.id for item in await lease(site, is_retry=True)]

    play(scenario)


def test_a_throttled_channel_waits_as_a_whole_and_alone(play: Play) -> None:
    """After a 429 nothing of that channel is leased until its instant; others go on, and the longest wait holds."""

    async def scenario(site: Site) -> None:
        slow, quick = await site.channel(subscription=STARTS), await site.channel(subscription=STARTS)
        await site.run()
        await site.run()
        first, second = [item for item in await lease(site) if item.channel_key == slow.id]
        await record(site, completion(site, first, limited(60)), completion(site, second, limited(20)))
        await site.run()
        news = [item.channel_key for item in await lease(site)]
        site.clock.advance(60 * SECOND - 1)
        early = await lease_all(site)
        site.clock.advance(1)
        late = await lease_all(site)

        assert ([quick.id], []) == (news, early)
        assert [slow.id] * 3 == [item.channel_key for item in late]

    play(scenario)


def test_a_worker_is_told_when_a_throttled_channel_is_free(play: Play) -> None:
    """The next look is when the channel may be sent to, not when its news became due."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (leased,) = await lease(site)
        await record(site, completion(site, leased, limited(60)))
        await site.run()
        until = site.clock.now + 60 * SECOND
        lease_result = await site.do(lease_due, is_retry=False, room=Room(9, 9, {}), owner=1, until=until)

        assert ([], until) == (lease_result.leased, lease_result.next_due)

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "freed"), [(OK, True), (BROKEN, True), (SILENT, False), (LIMITED, False)], ids=["200", "500", "-", "429"]
)
def test_what_waits_is_leased_once_the_first_is_answered(play: Play, answer: Reply | NoReply, freed: bool) -> None:
    """test.finished waits for an answer to test.started; a rate limit or a refused connection is none."""

    async def scenario(site: Site) -> None:
        await site.channel()
        run = await site.run()
        await site.report(run, RunStatus.FINISHED)
        (started,) = await lease(site)
        before = await lease_all(site)
        await record(site, completion(site, started, answer))
        site.clock.advance(SECOND)
        after = await lease(site)

        assert (EventName.STARTED, []) == (started.event, before)
        assert ([EventName.FINISHED] if freed else []) == [item.event for item in after]

    play(scenario)


def test_what_is_given_back_counts_no_attempt(play: Play) -> None:
    """A worker that stops returns only its own, pending and due, as if it had never leased them."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(4):
            await site.run()
        mine, theirs = await lease(site, owner=1, total=2), await lease(site, owner=2, total=2)
        given = await site.do(give_back, 1)
        rows = {row["id"]: row for row in await delivery_rows(site)}

        assert 2 == given
        assert [("pending", 0, None)] * 2 == [
            (rows[str(item.id)]["status"], rows[str(item.id)]["attempts_started"], rows[str(item.id)]["lease_owner"])
            for item in mine
        ]
        assert ["sending"] * 2 == [rows[str(item.id)]["status"] for item in theirs]
        assert {item.id for item in mine} == {item.id for item in await lease(site, owner=3)}

    play(scenario)


def test_a_test_hook_has_a_channel_key_of_its_own(play: Play) -> None:
    """Neither a throttle nor a busy channel holds it up."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        (leased,) = await lease(site)
        await record(site, completion(site, leased, limited(3600)))
        test = await site.do(deliveries.test_saved, site.owner, channel.id)
        hooks = await lease(site, left={channel.id: 0})

        assert [test] == [item.id for item in hooks]
        assert hooks[0].channel_key < 0

    play(scenario)


def test_the_word_of_an_end_outlives_the_channel(play: Play) -> None:
    """What returns to its end because the channel is gone keeps the message of it; what never went says why."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        await record(site, *[completion(site, item) for item in await lease(site)])
        site.clock.advance(SECOND)
        await site.run()
        await site.do(deliveries.redeliver, site.owner, UUID((await delivery_rows(site))[0]["id"]))
        await site.run_sql("DELETE FROM channels")
        nothing = await lease_all(site)
        again, new = await delivery_rows(site)

        assert [] == nothing
        assert ("delivered", "ok", "The receiver answered 200 OK.") == (
            again["status"], again["reason"], again["message"],
        )  # fmt: skip
        assert ("cancelled", "The channel was deleted before this was sent.") == (new["status"], new["message"])

    play(scenario)
