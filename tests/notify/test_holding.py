"""What a paused channel holds, or a rate limit keeps back, is given up in the end; on both stores."""

import asyncio
from uuid import UUID

import pytest

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.notify.channels import Held, pause, resume
from loadbell.notify.sweeper import expire_held, find_late
from loadbell.store import pauses
from loadbell.store.channels import Throttle, throttle_channels
from tests.support.leasing import (
    BROKEN,
    LIMITED,
    OK,
    attempts,
    completion,
    delivery_rows,
    lease,
    lease_all,
    limited,
    record,
    statuses,
)
from tests.support.stores import DAY, HOLD_FOR, Play, Site, column_values

STARTS = Subscription(events=(EventName.STARTED,))


async def _expire(site: Site) -> int:
    late = await site.do(find_late, hold_for=HOLD_FOR)
    return await site.do(expire_held, late, hold_for=HOLD_FOR)


def test_what_is_held_too_long_expires(play: Play) -> None:
    """Counted from its creation, retries too; it says so, and nothing else changes: newer news stays held."""

    async def scenario(site: Site) -> None:
        channel = await site.channel(subscription=STARTS)
        await site.channel()  # not paused: nothing of it expires
        await site.run()
        first_ones = await lease(site)
        await record(site, *[completion(site, item, BROKEN) for item in first_ones])
        await site.do(pause, site.owner, channel.id)
        await site.run()
        site.clock.advance(DAY)
        await site.run()
        site.clock.advance(HOLD_FOR - DAY - 1)
        early = await _expire(site)
        site.clock.advance(1)
        late = await _expire(site)
        rows = [row for row in await delivery_rows(site) if row["channel_id"] == channel.id]
        others = [row["status"] for row in await delivery_rows(site) if row["channel_id"] != channel.id]

        assert (0, 2) == (early, late)
        assert ["failed", "failed", "pending"] == [row["status"] for row in rows]
        assert {("expired", site.clock.now, None)} == {
            column_values(row, "reason", "finished_at", "due_at") for row in rows[:2]
        }
        assert all("expired after 7 d in the queue of the paused channel" in row["message"] for row in rows[:2])
        assert ["pending"] * 3 == others
        assert 2 == len(await attempts(site)), "no attempt was made"

    play(scenario)


def test_what_waits_for_what_expires_goes_with_it_or_is_released(play: Play) -> None:
    """A long line expires in one go as far as it is old; the first that is young enough waits for nobody any more."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(pause, site.owner, channel.id)
        for _ in range(20):
            await site.run()
        site.clock.advance(SECOND)
        await site.run()
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        await site.do(pause, site.owner, channel.id)
        site.clock.advance(HOLD_FOR - SECOND)
        expired = await _expire(site)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)

        assert 20 == expired
        assert 1 == len(await lease(site))

    play(scenario)


def test_a_redelivered_one_counts_from_when_it_was_asked_for(play: Play) -> None:
    """Old news that somebody redelivered just before the pause is held as long as new, then returns to its end."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await record(site, *[completion(site, item, OK) for item in await lease(site)])
        site.clock.advance(30 * DAY)
        (row,) = await delivery_rows(site)
        await site.do(deliveries.redeliver, site.owner, UUID(row["id"]))
        await site.do(pause, site.owner, channel.id)
        early = await _expire(site)
        site.clock.advance(HOLD_FOR)
        late = await _expire(site)

        assert (0, 1) == (early, late)
        after = (await delivery_rows(site))[0]
        assert column_values(row, "status", "reason", "message", "finished_at") == column_values(
            after, "status", "reason", "message", "finished_at"
        )

    play(scenario)


def test_what_only_meets_rate_limits_ends_too(play: Play) -> None:
    """In a channel that is not paused; the end of the run, which waited for it, is free to go."""

    async def scenario(site: Site) -> None:
        await site.channel()
        run = await site.run()
        site.clock.advance(SECOND)
        await site.report(run, RunStatus.FINISHED)
        expired = []
        for _ in range(8):
            (leased,) = await lease_all(site)
            await record(site, completion(site, leased, limited(86_400)))
            expired.append(await _expire(site))
            site.clock.advance(DAY)
        start, end = await delivery_rows(site)

        assert [0] * 7 + [1] == expired
        assert ("failed", "expired") == column_values(start, "status", "reason")
        assert "expired after 7 d, because of the receiver's rate limit" in start["message"]
        assert ("pending", None) == column_values(end, "status", "after")

    play(scenario)


def test_a_rate_limit_after_a_long_pause_gives_up_nothing(play: Play) -> None:
    """Old news that was held and is resumed has as long as any other to get past a rate limit."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await record(site, *[completion(site, item, BROKEN) for item in await lease(site)])
        await site.do(pause, site.owner, channel.id)
        site.clock.advance(HOLD_FOR - SECOND)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        await record(site, *[completion(site, item, limited(10)) for item in await lease_all(site)])
        site.clock.advance(2 * SECOND)

        assert 0 == await _expire(site)

    play(scenario)


def test_other_pending_deliveries_never_expire(play: Play) -> None:
    """What waits for its retry, or for its first attempt in a channel that is throttled, is not given up."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await record(site, *[completion(site, item, BROKEN) for item in await lease(site)])
        await site.run()
        site.clock.advance(2 * HOLD_FOR)
        await site.do(throttle_channels, {channel.id: Throttle(site.clock.now + DAY, 0, site.clock.now, "Slow.", 1)})
        await site.do(deliveries.test_saved, site.owner, channel.id)

        assert 0 == await _expire(site)

    play(scenario)


def test_a_batch_is_bounded(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much expires at once, one transaction ends no more than a batch; the next one goes on."""
    monkeypatch.setattr(pauses, "MAX_BATCH_SIZE", 4)

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(pause, site.owner, channel.id)
        for _ in range(10):
            await site.run()
        site.clock.advance(HOLD_FOR)

        assert [4, 4, 2, 0] == [await _expire(site) for _ in range(4)]

    play(scenario)


def test_what_was_resumed_meanwhile_is_not_given_up(play: Play) -> None:
    """Late deliveries are found first and ended afterwards: those of a channel that was resumed in between go out."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(pause, site.owner, channel.id)
        await site.run()
        site.clock.advance(HOLD_FOR)
        late = await site.do(find_late, hold_for=HOLD_FOR)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)

        assert 1 == len(late)
        assert 0 == await site.do(expire_held, late, hold_for=HOLD_FOR)
        assert ["pending"] == await statuses(site)

    play(scenario)


def test_expiry_and_resume_at_once_end_or_deliver_each_once(play: Play) -> None:
    """Whoever comes first has it: nothing that is under way is given up, nothing that is given up is sent."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(pause, site.owner, channel.id)
        for _ in range(30):
            await site.run()
        site.clock.advance(HOLD_FOR)
        await asyncio.gather(
            *(_expire(site) for _ in range(3)), site.do(resume, site.owner, channel.id, Held.DELIVER), _expire(site)
        )
        while leased := await lease_all(site):
            await record(site, *[completion(site, item, OK) for item in leased])
        items = set(await statuses(site))

        assert items in ({"failed"}, {"delivered"})

    play(scenario)


def test_a_rate_limited_one_that_is_being_sent_is_left_alone(play: Play) -> None:
    """Only what waits can be given up."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        await record(site, *[completion(site, item, LIMITED) for item in await lease(site)])
        site.clock.advance(HOLD_FOR)
        await lease_all(site)

        assert 0 == await _expire(site)
        assert ["sending"] == await statuses(site)

    play(scenario)
