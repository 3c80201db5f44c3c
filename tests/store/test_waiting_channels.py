"""A channel whose receiver has too many requests: how long it waits, that it says so, and that it never hammers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise
from uuid import UUID

import pytest

from loadbell.domain.channels import Waiting
from loadbell.domain.deliveries import Delivery
from loadbell.domain.ids import SECOND, Micros, to_datetime
from loadbell.domain.retry import RetrySchedule
from loadbell.domain.runs import RunStatus
from loadbell.notify.channel_notices import waiting_channels
from loadbell.notify.channels import Held, get_channel, pause, resume, update_channel
from loadbell.notify.deliveries import get_delivery, list_log, redeliver
from loadbell.notify.sweeper import expire_held, find_late
from loadbell.outbound.messages import NoReply, Reply
from tests.support.leasing import BROKEN, LIMITED, OK, SILENT, attempts, completion, lease, lease_all, limited, record
from tests.support.stores import DAY, HOLD_FOR, Play, Site

HOUR: Micros = 3600 * SECOND
MINUTE: Micros = 60 * SECOND
DEFAULT = RetrySchedule.parse("5s,30s,2m,10m,30m,2h,5h,10h,10h")


def _asking_to_wait(
    value: Callable[[Micros], str], name: str = "Retry-After", status: int = 429
) -> Callable[[Site], Reply]:
    return lambda site: replace(LIMITED, status=status, headers=((name, value(site.clock.now)),))


def _always(answer: Reply | NoReply) -> Callable[[Site], Reply | NoReply]:
    return lambda _: answer


def _date(now: Micros, ahead: timedelta) -> str:
    return format_datetime(to_datetime(now) + ahead, usegmt=True)


WISHES: dict[str, Callable[[Site], Reply]] = {
    "nothing": lambda _: LIMITED,
    "zero": _asking_to_wait(lambda _: "0"),
    "a fraction": _asking_to_wait(lambda _: "0.001"),
    "a date in the past": _asking_to_wait(lambda now: _date(now, timedelta(days=-1))),
    "the present": _asking_to_wait(lambda now: _date(now, timedelta())),
    "an instant since 1970": _asking_to_wait(lambda now: str(now // SECOND)),
    "a date in a year": _asking_to_wait(lambda now: _date(now, timedelta(days=365))),
    "what nobody can read": _asking_to_wait(lambda _: "soon"),
}


async def _attempt(site: Site, answer: Callable[[Site], Reply | NoReply]) -> int:
    """Makes an attempt of all that is due, as one worker does of a channel that fails; gives how many."""
    leased = await lease(site, per_channel=1) or await lease(site, is_retry=True, per_channel=1)
    await record(site, *(completion(site, item, answer(site), waits=DEFAULT) for item in leased))
    return len(leased)


async def _log(site: Site) -> list[Delivery]:
    """The deliveries as the log shows them, oldest first."""
    deliveries, _ = await site.do(list_log, site.owner, organization_id=site.organization_id, limit=200)
    return deliveries[::-1]


@pytest.mark.parametrize("wish", WISHES)
def test_a_week_of_rate_limits_makes_few_attempts(play_on_sqlite: Play, wish: str) -> None:
    """Whatever the receiver asks for, and however much waits: fewer than 30 in all, then what waited is given up."""

    async def scenario(site: Site) -> None:
        await site.channel()
        for _ in range(30):
            await site.run()
        begun, starts = site.clock.now, []
        while site.clock.now < begun + HOLD_FOR:
            made = await _attempt(site, WISHES[wish])
            assert made <= 1
            starts += [site.clock.now] * made
            due = [delivery.next_attempt_at for delivery in await _log(site) if delivery.next_attempt_at is not None]
            site.clock.now = max(min(due), site.clock.now + SECOND)
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        slow = [at_least <= gap for at_least, gap in zip(DEFAULT.waits[2:], gaps[2:], strict=False)]

        assert all(slow), "from the third on in the steps of the schedule"
        assert len(starts) < 30
        assert len(starts) == len(await attempts(site))
        await _attempt(site, WISHES[wish])
        late = await site.do(find_late, hold_for=HOLD_FOR)
        assert await site.do(expire_held, late, hold_for=HOLD_FOR)

    play_on_sqlite(scenario)


@pytest.mark.parametrize("status", [503, 500, 408])
@pytest.mark.parametrize("value", ["0", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "1800000000"])
def test_a_failure_with_a_wish_keeps_to_the_schedule(play_on_sqlite: Play, status: int, value: str) -> None:
    """A wish only lengthens a wait, up to an hour: ten attempts, none sooner than the schedule has it."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        waits = []
        while await _attempt(site, _asking_to_wait(lambda _: value, status=status)):
            (delivery,) = await _log(site)
            if delivery.next_attempt_at is None:
                break
            waits.append(delivery.next_attempt_at - site.clock.now)
            site.clock.now = delivery.next_attempt_at

        asked = HOUR if value == "1800000000" else 0
        assert [max(wait, asked) for wait in DEFAULT.waits] == waits

    play_on_sqlite(scenario)


@pytest.mark.parametrize("wish", ["an instant since 1970", "a date in a year"])
def test_a_receiver_that_asks_for_years_is_asked_again_after_an_hour(play: Play, wish: str) -> None:
    """Then it takes what had waited, and the channel waits no more."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        begun = site.clock.now
        await _attempt(site, WISHES[wish])
        waits = await site.do(get_channel, site.owner, channel.id)
        site.clock.advance(HOUR - 1)
        early = await _attempt(site, _always(OK))
        site.clock.advance(1)
        on_time = await _attempt(site, _always(OK))
        after = await site.do(get_channel, site.owner, channel.id)

        expected = Waiting(begun, begun + HOUR, "The receiver answered 429 Too Many Requests.")
        assert (expected, expected, None) == (waits.waiting(begun), waits.last_wait, waits.waiting(begun + HOUR))
        assert (0, 1) == (early, on_time)
        assert after.waiting(site.clock.now) is None

    play(scenario)


def test_a_channel_says_since_when_it_waits(play: Play) -> None:
    """Since the first of the rate limits in a row; after one that was no rate limit a new row begins."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        for _ in range(3):
            await site.run()
        begun, seen = site.clock.now, []
        answers: list[Reply | NoReply] = [
            limited(60),
            limited(60),
            limited(60),
            BROKEN,
            limited(60),
            OK,
            SILENT,
            limited(60),
        ]
        for answer in answers:
            assert await _attempt(site, _always(answer))
            wait = (await site.do(get_channel, site.owner, channel.id)).waiting(site.clock.now)
            seen.append(
                None if wait is None else ((wait.since - begun) // HOUR, (wait.until - site.clock.now) // MINUTE)
            )
            site.clock.advance(HOUR)

        assert [(0, 1), (0, 1), (0, 2), None, (4, 1), None, None, (7, 1)] == seen

    play(scenario)


def test_a_success_that_asks_for_a_wait_is_told_as_one(play: Play) -> None:
    """HipChat says with the last message that it takes that no more are taken for now."""

    async def scenario(site: Site) -> None:
        reset = str(site.clock.now // SECOND + 50)
        spent = replace(OK, status=204, headers=(("X-Ratelimit-Remaining", "0"), ("X-Ratelimit-Reset", reset)))
        channel = await site.channel(kind="hipchat")
        await site.run()
        await _attempt(site, _always(spent))
        wait = (await site.do(get_channel, site.owner, channel.id)).waiting(site.clock.now)

        assert wait == Waiting(
            site.clock.now,
            site.clock.now + 50 * SECOND,
            "The receiver accepted a message but asked loadbell to wait before the next one.",
        )

    play(scenario)


def test_what_ends_a_wait(play: Play) -> None:
    """New settings, and pausing and resuming, end it and its row; a paused channel is not told as one that waits."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        for end in ("settings", "pause"):
            for _ in range(3):
                await _attempt(site, WISHES["an instant since 1970"])
                site.clock.advance(HOUR)
            await _attempt(site, WISHES["an instant since 1970"])
            if end == "settings":
                settings = {"url": "http://127.0.0.1:8/"}
                changed, _ = await site.do(update_channel, site.owner, channel.id, settings=settings)
            else:
                paused = await site.do(pause, site.owner, channel.id)
                assert paused.waiting(site.clock.now) is None
                changed = await site.do(resume, site.owner, channel.id, Held.DELIVER)
            row = (await site.rows("SELECT throttled_until, rate_limits FROM channels"))[0]

            assert (None, 0, 0) == (changed.waiting(site.clock.now), row["throttled_until"], row["rate_limits"])

    play(scenario)


def test_a_long_wait_is_told_on_every_page(play: Play) -> None:
    """From a quarter of an hour on, while it lasts, unless the channel is paused; not to another organization."""

    async def scenario(site: Site) -> None:
        channel = await site.channel(name="slow")
        await site.run()
        begun = site.clock.now
        await _attempt(site, _always(limited(3600)))
        told = {}
        for minute in (0, 14, 15, 59, 60):
            site.clock.now = begun + minute * MINUTE
            waiting_notices = await site.do(waiting_channels, site.owner)
            told[minute] = [
                (waiting_notice.id, waiting_notice.name, waiting_notice.wait.since, waiting_notice.wait.until)
                for waiting_notice in waiting_notices
            ]
        site.clock.now = begun + 20 * MINUTE
        foreign = await site.do(waiting_channels, replace(site.owner, organization_id=site.organization_id + 1))
        await site.do(pause, site.owner, channel.id)

        slow = [(channel.id, "slow", begun, begun + HOUR)]
        assert {0: [], 14: [], 15: slow, 59: slow, 60: []} == told
        assert [[], []] == [foreign, await site.do(waiting_channels, site.owner)]

    play(scenario)


def test_the_next_attempt_is_told_truly(play: Play) -> None:
    """Not before its channel's wait is over; no time while a pause, an earlier delivery or an attempt decides."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        run = await site.run()
        begun = site.clock.now
        site.clock.advance(1)
        await site.report(run, RunStatus.FINISHED)
        new = [delivery.next_attempt_at for delivery in await _log(site)]
        (leased,) = await lease(site)
        sending = [delivery.next_attempt_at for delivery in await _log(site)]
        await record(site, completion(site, leased, limited(600)))
        site.clock.advance(1)
        await site.run()
        later = [delivery.next_attempt_at for delivery in await _log(site)]
        site.clock.advance(DAY)
        overdue = [delivery.next_attempt_at for delivery in await _log(site)]
        await site.do(pause, site.owner, channel.id)
        paused = [delivery.next_attempt_at for delivery in await _log(site)]
        single = [
            (await site.do(get_delivery, site.owner, delivery.id))[0].next_attempt_at for delivery in await _log(site)
        ]

        limit = begun + 1 + 600 * SECOND
        assert ([begun, None], [None, None]) == (new, sending)
        assert [limit, None, limit] == later == overdue
        assert [None] * 3 == paused == single

    play(scenario)


def test_a_redelivery_to_a_waiting_channel_says_when_it_will_be_made(play: Play) -> None:
    """Not at once: when the channel's wait is over."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        await site.run()
        await record(site, *(completion(site, item, OK) for item in await lease(site, total=1)))
        await record(site, *(completion(site, item, limited(600)) for item in await lease_all(site)))
        delivered = next(delivery for delivery in await _log(site) if delivery.next_attempt_at is None)
        again = await site.do(redeliver, site.owner, UUID(str(delivered.id)))

        assert site.clock.now + 600 * SECOND == again.next_attempt_at

    play(scenario)
