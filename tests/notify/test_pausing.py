"""Pausing: what results do to their channels, and who is told, on both stores. Time is the test's."""

import asyncio
import json

import pytest

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import Result, Trigger
from loadbell.notify import deliveries
from loadbell.notify.channels import Held, pause, resume, update_channel
from loadbell.notify.worker.channel_health import apply_results
from loadbell.outbound.messages import NoReply, Reply
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.outbox import Completion, complete
from tests.support.leasing import (
    BROKEN,
    GONE,
    LIMITED,
    OK,
    SILENT,
    completion,
    delivery_rows,
    end_deliveries,
    lease,
    lease_all,
    statuses,
)
from tests.support.stores import DAY, PAUSE_AFTER, Play, Site, column_values

PAUSED = EventName.CHANNEL_PAUSED.value


async def record(site: Site, *completions: Completion) -> None:
    """Records attempts as the worker does."""

    async def work(tx: Transaction) -> None:
        await site.call(apply_results, tx, list(completions), pause_after=PAUSE_AFTER)
        await complete(tx, list(completions))

    await site.database.write(work)


async def attempt(site: Site, answer: Reply | NoReply) -> None:
    """One run is told to all channels, and each gives this answer; every other delivery is done with."""
    await end_deliveries(site, "cancelled", "status = 'pending'")
    await site.run()
    await record(site, *[completion(site, leased, answer) for leased in await lease(site)])


async def channels(site: Site) -> list[Row]:
    """Every channel, oldest first."""
    return await site.rows("SELECT * FROM channels ORDER BY id")


async def list_pause_events(site: Site) -> list[tuple[int, str]]:
    """Which channels are told of which pauses: channel, and the name of the paused one."""
    rows = await site.rows(
        "SELECT d.channel_id, e.payload FROM deliveries d JOIN events e ON e.id = d.event_id "
        "WHERE d.event = 'channel.paused' ORDER BY d.channel_id, d.id"
    )
    return [(row["channel_id"], json.loads(row["payload"])["name"]) for row in rows]


def test_a_refusal_for_good_pauses_at_once_and_tells_the_others(play: Play) -> None:
    """One 410 pauses the channel in words that say what to do; the audit log names no user; the others are told."""

    async def scenario(site: Site) -> None:
        channel = await site.channel(name="gone", subscription=Subscription(events=(EventName.STARTED,)))
        await site.run()
        (leased,) = await lease(site)
        other = await site.channel("http://127.0.0.1:9/secret", name="other")
        await record(site, completion(site, leased, GONE))
        row, _ = await channels(site)
        (event,) = await site.rows("SELECT * FROM events WHERE name = :name", name=PAUSED)
        (entry,) = await site.rows("SELECT * FROM audit_entries WHERE action = :name", name=PAUSED)
        reason = (
            "On 2027-01-15 08:00 UTC: The receiver answered 410 Gone: this webhook no longer exists. "
            "Fix this, then resume the channel."
        )

        assert (site.clock.now, reason) == column_values(row, "paused_at", "paused_reason")
        assert [(other.id, "gone")] == await list_pause_events(site)
        assert json.loads(event["payload"]) == {
            "organization_id": site.organization_id,
            "channel_id": channel.id,
            "name": "gone",
            "reason": reason,
            "event": PAUSED,
        }
        assert reason in json.loads(event["notice"])["why"]
        assert f"/channels/{channel.id}" in event["notice"]
        assert site.organization_id == entry["organization_id"]
        assert (None, None, f"channel {channel.id}") == column_values(entry, "user_id", "token_id", "subject")
        assert json.loads(entry["changes"]) == {"name": "gone", "paused_reason": {"before": None, "after": reason}}
        assert ["failed", "pending"] == await statuses(site)

    play(scenario)


def test_only_those_who_want_to_hear_of_pauses_are_told(play: Play) -> None:
    """Told are enabled channels of the organization that are not paused and whose events name it, or none at all."""

    async def scenario(site: Site) -> None:
        await site.channel(name="gone")
        await site.run()
        leased = await lease(site)
        quiet = Subscription(projects=(site.project_id,), results=(Result.FAILED,), triggers=(Trigger.CI,))
        wanted = [
            await site.channel(subscription=Subscription(events=(EventName.CHANNEL_PAUSED,))),
            await site.channel(subscription=quiet),
        ]
        await site.channel(subscription=Subscription(events=(EventName.FINISHED,)))
        await site.channel(enabled=False)
        paused = await site.channel()
        await site.do(pause, site.owner, paused.id)
        await record(site, *[completion(site, item, GONE) for item in leased])

        assert [(channel.id, "gone") for channel in wanted] == await list_pause_events(site)

    play(scenario)


def test_pauses_end_with_the_last_channel(play: Play) -> None:
    """A notice that is refused pauses its channel in turn; in the end all are paused and nobody is left to tell."""

    async def scenario(site: Site) -> None:
        await site.channel(name="1", subscription=Subscription(events=(EventName.STARTED,)))
        second = await site.channel(name="2", subscription=Subscription(events=(EventName.CHANNEL_PAUSED,)))
        third = await site.channel(name="3", subscription=Subscription(events=(EventName.CHANNEL_PAUSED,)))
        await site.run()
        while leased := await lease(site, total=1):
            await record(site, completion(site, leased[0], GONE))

        assert all(row["paused_at"] for row in await channels(site))
        assert [(second.id, "1"), (third.id, "1"), (third.id, "2")] == sorted(await list_pause_events(site))
        assert ["failed", "failed", "failed", "pending"] == sorted(await statuses(site))

    play(scenario)


def test_without_another_channel_nobody_is_told(play: Play) -> None:
    """The only channel is paused and noted; there is no event that nobody gets."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await attempt(site, GONE)

        assert [True] == [row["paused_at"] is not None for row in await channels(site)]
        assert [] == await site.rows("SELECT id FROM events WHERE name = :name", name=PAUSED)

    play(scenario)


def test_two_workers_that_are_refused_at_once_tell_once(play: Play) -> None:
    """The pause is guarded by the channel's row: one of them pauses and tells, the other one only records."""

    async def scenario(site: Site) -> None:
        channel = await site.channel(name="gone", subscription=Subscription(events=(EventName.STARTED,)))
        for _ in range(6):
            await site.run()
        leased = await lease(site)
        other = await site.channel()
        await asyncio.gather(*(record(site, completion(site, item, GONE)) for item in leased))

        assert [(other.id, "gone")] == await list_pause_events(site)
        assert 1 == len(await site.rows("SELECT id FROM audit_entries WHERE action = :name", name=PAUSED))
        rows = await delivery_rows(site)
        assert ["failed"] * 6 == [row["status"] for row in rows if row["channel_id"] == channel.id]

    play(scenario)


def test_a_pause_and_its_notice_are_one_commit(play: Play) -> None:
    """Whoever dies before the commit has neither paused, told nor recorded; the repeat does all three."""

    async def scenario(site: Site) -> None:
        gone = await site.channel(name="gone", subscription=Subscription(events=(EventName.STARTED,)))
        await site.run()
        (leased,) = await lease(site)
        other = await site.channel()
        result = completion(site, leased, GONE)

        async def dying(tx: Transaction) -> None:
            paused = await site.call(apply_results, tx, [result], pause_after=PAUSE_AFTER)
            await complete(tx, [result])
            assert [gone.id] == [channel.channel_id for channel in paused]
            raise RuntimeError("killed")

        with pytest.raises(RuntimeError):
            await site.database.write(dying)
        nothing = (await channels(site))[0]["paused_at"], await list_pause_events(site), await statuses(site)
        await record(site, result)
        await record(site, result)

        assert (None, [], ["sending"]) == nothing
        assert (await channels(site))[0]["paused_at"] is not None
        assert [(other.id, "gone")] == await list_pause_events(site)

    play(scenario)


def test_failing_for_long_pauses_with_the_last_message(play: Play) -> None:
    """Failures alone for the whole span pause the channel, one microsecond less does not; a pause is not repeated."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await attempt(site, SILENT)
        began = site.clock.now
        site.clock.advance(PAUSE_AFTER - 1)
        await attempt(site, BROKEN)
        (before,) = await channels(site)
        site.clock.advance(1)
        await attempt(site, BROKEN)
        (after,) = await channels(site)

        assert (began, None) == column_values(before, "failing_since", "paused_at")
        assert site.clock.now == after["paused_at"]
        assert after["paused_reason"] == (
            "Every attempt since 2027-01-15 08:00 UTC has failed. Last result: The receiver answered 500 Internal "
            "Server Error. Fix the receiver or the channel's settings, then resume the channel."
        )
        assert "pending" in await statuses(site), "what failed last is held, not lost"

    play(scenario)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_success_in_between_begins_the_count_anew(play: Play, mixed: bool) -> None:
    """The clock starts again with the first failure after it, also when both are in one batch of results."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await attempt(site, BROKEN)
        site.clock.advance(4 * DAY)
        if mixed:
            for _ in range(3):
                await site.run()
            leased = await lease(site)
            await record(
                site, *[completion(site, item, way) for item, way in zip(leased, (BROKEN, OK, BROKEN), strict=True)]
            )
        else:
            await attempt(site, OK)
            cleared = (await channels(site))[0]["failing_since"]
            await attempt(site, BROKEN)
            assert cleared is None
        again = site.clock.now
        site.clock.advance(4 * DAY)
        await attempt(site, BROKEN)

        assert (again, None) == column_values((await channels(site))[0], "failing_since", "paused_at")
        site.clock.advance(DAY)
        await attempt(site, BROKEN)
        assert (await channels(site))[0]["paused_at"] is not None

    play(scenario)


def test_rate_limits_and_test_hooks_say_nothing_about_a_channel(play: Play) -> None:
    """Neither a rate limit nor a Test Hook, be it refused for good or taken, starts, clears or ends the count."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await attempt(site, LIMITED)
        await site.do(deliveries.test_saved, site.owner, channel.id)
        await record(site, *[completion(site, leased, GONE) for leased in await lease(site)])
        nothing = column_values((await channels(site))[0], "failing_since", "paused_at")
        site.clock.advance(100 * SECOND)
        await attempt(site, BROKEN)
        began = site.clock.now
        site.clock.advance(PAUSE_AFTER)
        await site.do(deliveries.test_saved, site.owner, channel.id)
        await record(site, *[completion(site, leased, OK) for leased in await lease(site)])

        assert (None, None) == nothing
        assert (began, None) == column_values((await channels(site))[0], "failing_since", "paused_at")

    play(scenario)


def test_saved_settings_begin_the_count_anew_and_resume_nothing(play: Play) -> None:
    """What failed before says nothing about the new settings; a pause stands until somebody resumes."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await attempt(site, BROKEN)
        await site.do(update_channel, site.owner, channel.id, name="renamed")
        kept = (await channels(site))[0]["failing_since"]
        await site.do(pause, site.owner, channel.id)
        await site.do(update_channel, site.owner, channel.id, settings={"url": "http://127.0.0.1:9/new"})
        (row,) = await channels(site)

        assert kept is not None
        assert row["failing_since"] is None
        assert row["paused_at"] is not None

    play(scenario)


def test_the_same_settings_again_change_nothing(play: Play) -> None:
    """Saved as they are, they neither end a wait nor forget a failure, and the audit log has nothing to say."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await attempt(site, BROKEN)
        await site.run_sql("UPDATE channels SET throttled_until = 7")
        before = await channels(site)
        entries = await site.rows("SELECT id FROM audit_entries")
        await site.do(update_channel, site.owner, channel.id, settings={"url": channel.settings["url"]})

        columns = ("failing_since", "health_since", "throttled_until", "paused_at")
        assert column_values(before[0], *columns) == column_values((await channels(site))[0], *columns)
        assert len(entries) == len(await site.rows("SELECT id FROM audit_entries"))

    play(scenario)


def test_what_began_before_new_settings_or_a_resume_says_nothing_about_the_channel(play: Play) -> None:
    """An attempt that was on its way to the old address neither pauses the mended channel nor counts as its failure."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        for _ in range(3):
            await site.run()
        refused, late, broken = await lease(site)
        await record(site, completion(site, refused, GONE))
        results = [completion(site, late, GONE), completion(site, broken, BROKEN)]
        site.clock.advance(SECOND)
        await site.do(update_channel, site.owner, channel.id, settings={"url": "http://127.0.0.1:9/new"})
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        await record(site, *results)
        (row,) = await channels(site)

        assert (None, None) == (row["paused_at"], row["failing_since"])
        await attempt(site, GONE)
        assert (await channels(site))[0]["paused_at"] is not None

    play(scenario)


def test_pauses_resumes_and_results_at_once_do_not_block_each_other(play: Play) -> None:
    """Workers with results of several channels, people who pause, resume and save, and reports all come through."""

    async def scenario(site: Site) -> None:
        ids = [(await site.channel()).id for _ in range(4)]
        for _ in range(5):
            await site.run()
        leased = await lease(site)
        shares = [leased[start::4] for start in range(4)]
        ways = (BROKEN, OK, LIMITED, GONE)

        async def save(channel: int) -> None:
            await site.do(update_channel, site.owner, channel, settings={"url": "http://127.0.0.1:9/new"})

        await asyncio.gather(
            *(
                record(site, *[completion(site, item, way) for item in share])
                for share, way in zip(shares, ways, strict=True)
            ),
            *(
                record(site, *[completion(site, item, way) for item in reversed(share)])
                for share, way in zip(shares, ways, strict=True)
            ),
            *(site.do(pause, site.owner, channel) for channel in ids),
            *(site.do(resume, site.owner, channel, Held.DELIVER) for channel in ids),
            *(save(channel) for channel in reversed(ids)),
            *(site.run() for _ in range(4)),
        )
        for channel in ids:
            await site.do(resume, site.owner, channel, Held.DELIVER)
        for _ in range(60):
            site.clock.advance(100 * SECOND)
            for item in await lease_all(site):
                await record(site, completion(site, item, OK))

        assert {"delivered", "failed"} >= set(await statuses(site))

    play(scenario)
