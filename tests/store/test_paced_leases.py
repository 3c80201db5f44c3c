"""Leases of channels whose provider documents a rate, and of channels that are paused."""

import asyncio
from dataclasses import replace

from loadbell.domain.channels import ChannelKind
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.token_bucket import TokenBucket
from loadbell.notify.worker.capacity import Room
from loadbell.notify.worker.fetch import LeaseResult, lease_due
from tests.support.leasing import LEASE, completion, lease, limited, record
from tests.support.stores import Play, Site

RATE_LIMIT = TokenBucket(interval=SECOND, burst=3)


async def _lease(site: Site, *, owner: int = 1, is_retry: bool = False) -> LeaseResult:
    room = Room(100, 100, {}, rate_limits={ChannelKind("webhook"): RATE_LIMIT})
    return await site.do(lease_due, is_retry=is_retry, room=room, owner=owner, until=site.clock.now + LEASE)


def test_a_burst_goes_at_once_and_the_rest_at_the_rate(play: Play) -> None:
    """Of seven that are due together three are leased now and one each second; the look says when the next one is."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(7):
            await site.run()
        looks: list[tuple[int, Micros | None]] = []
        for _ in range(6):
            lease_result = await _lease(site)
            looks.append((len(lease_result.leased), lease_result.next_due))
            site.clock.advance(SECOND)
        start = site.clock.now - 6 * SECOND

        assert looks == [
            (3, start + SECOND),
            *((1, start + number * SECOND) for number in range(2, 6)),
            (0, None),
        ]

    play(scenario)


def test_two_workers_share_one_bucket(play: Play) -> None:
    """However many look at once, no more is leased than the bucket holds, and who came too late looks again soon."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(20):
            await site.run()
        looks = await asyncio.gather(*(_lease(site, owner=owner) for owner in range(1, 6)))

        assert sum(len(lease_result.leased) for lease_result in looks) == RATE_LIMIT.burst
        assert all(
            lease_result.next_due is not None and lease_result.next_due <= site.clock.now + SECOND
            for lease_result in looks
        )

    play(scenario)


def test_after_a_refusal_the_channel_begins_with_one(play: Play) -> None:
    """A rate-limited answer holds the channel as long as it asks and takes the burst away."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(5):
            await site.run()
        first, *_ = (await _lease(site)).leased
        refused = replace(completion(site, first, limited(10)), rate_limit=RATE_LIMIT)
        await record(site, refused)
        site.clock.advance(10 * SECOND - 1)
        early = await _lease(site)
        site.clock.advance(1)
        in_time = await _lease(site)

        assert early.leased == []
        assert len(in_time.leased) == 1
        assert in_time.next_due == site.clock.now + SECOND

    play(scenario)


def test_a_paused_channel_keeps_what_is_due(play: Play) -> None:
    """Nothing is leased of a paused channel, its retries neither; what others have due is."""

    async def scenario(site: Site) -> None:
        paused, other = await site.channel(), await site.channel()
        await site.run()
        await site.run_sql("UPDATE channels SET paused_at = 1 WHERE id = :id", id=paused.id)
        leased = await lease(site) + await lease(site, is_retry=True)

        assert [item.channel_key for item in leased] == [other.id]
        await site.run_sql("UPDATE channels SET paused_at = NULL WHERE id = :id", id=paused.id)
        assert [item.channel_key for item in await lease(site)] == [paused.id]

    play(scenario)
