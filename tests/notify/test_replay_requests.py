"""Asking for replays: what is counted, refused and kept."""

import asyncio
from typing import Any

import pytest

from loadbell.domain.errors import Conflict, Forbidden, Invalid, NotFound
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role, Scope
from loadbell.notify.replay import get_replay, start_replay
from tests.support.replaying import (
    CANCELLED,
    DELIVERED,
    FAILED,
    carry_out,
    create_ended,
    end,
    replay,
    replays,
)
from tests.support.stores import NOON, Play, Site, as_dict


def test_a_dry_run_counts_and_changes_nothing(play: Play) -> None:
    """Not a row is different, and it is answered for a paused channel and beside another replay too."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await create_ended(site, FAILED, DELIVERED, FAILED, CANCELLED)
        await replay(site, channel.id, CANCELLED)
        await site.run_sql("UPDATE channels SET paused_reason = 'x', paused_at = 1")

        async def everything() -> list[object]:
            tables = ("replays", "deliveries", "audit_entries", "channels")
            return [[dict(as_dict(row)) for row in await site.rows(f"SELECT * FROM {name}")] for name in tables]

        before = await everything()
        answers = [
            await replay(site, channel.id, *statuses, dry_run=True)
            for statuses in ((FAILED,), (FAILED, FAILED, DELIVERED), (FAILED, DELIVERED, CANCELLED))
        ]

        assert [(None, 2), (None, 3), (None, 4)] == answers
        assert before == await everything()

    play(scenario)


def test_one_replay_of_a_channel_at_a_time(play: Play) -> None:
    """Of five requests at once one is taken; the others name it. Another channel, and a later one, are not refused."""

    async def scenario(site: Site) -> None:
        channel, other = await site.channel(), await site.channel()
        await ended_for_both(site)
        asked = [replay(site, channel.id) for _ in range(5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        items = [answer for answer in answers if not isinstance(answer, BaseException)]
        refused = [str(answer) for answer in answers if isinstance(answer, Conflict)]
        beside = await replay(site, other.id)
        await carry_out(site, 3)
        site.clock.advance(SECOND)
        later = await replay(site, channel.id, DELIVERED)

        assert (1, 4, 1, 1) == (len(items), len(refused), beside[1], later[1])
        assert all(f"Replay {items[0][0]} of this channel is still running." in text for text in refused)

    async def ended_for_both(site: Site) -> None:
        await site.run()
        for row in await site.rows("SELECT id FROM deliveries"):
            await end(site, row["id"], FAILED)
        site.clock.advance(SECOND)

    play(scenario)


def test_a_replay_of_nothing_is_finished(play: Play) -> None:
    """Nothing goes on, and the channel is free for the next one."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        first, count = await replay(site, channel.id)
        second, _ = await replay(site, channel.id)
        assert first is not None
        shown = await site.do(get_replay, site.owner, channel.id, first)

        assert (0, 0, site.clock.now) == (count, shown.done, shown.finished_at)
        assert second != first

    play(scenario)


def test_a_span_that_can_not_be_is_refused(play: Play) -> None:
    """The field is named; nothing is kept."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        now = site.clock.now
        wrong = [
            ({"since": now + 1}, "since"),
            ({"since": now, "until": now}, "until"),
            ({"since": now, "until": now - 1}, "until"),
        ]
        for body, field in wrong:
            with pytest.raises(Invalid, match=f"^{field}: "):
                await replay(site, channel.id, **body)
        with pytest.raises(Invalid, match=r"^statuses: "):
            await site.do(start_replay, site.owner, channel.id, since=NOON, until=None, statuses=(), dry_run=False)
        kept = [
            (await replay(site, channel.id, since=since, until=until))[0]
            for since, until in ((-62_135_647_200_000_000, None), (-2, -1), (now, 253_402_351_200_000_000))
        ]

        assert kept == [row["id"] for row in await replays(site)]

    play(scenario)


def test_only_who_may_redeliver_may_replay(play: Play) -> None:
    """A member and a token that only reads are forbidden; somebody else's channel is not there; leads are noted."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        admin = await site.person(Role.ADMIN)
        reader = await site.person(Role.ADMIN, scope=Scope.READ)
        member = await site.person(Role.MEMBER, (site.project_id,))
        body: dict[str, Any] = {"since": NOON, "until": None, "statuses": (FAILED,)}
        for principal in (reader, member):
            for dry_run in (True, False):
                with pytest.raises(Forbidden):
                    await site.do(start_replay, principal, channel.id, **body, dry_run=dry_run)
        with pytest.raises(NotFound):
            await site.do(start_replay, site.owner, channel.id + 1, **body, dry_run=True)
        replay_id, _ = await site.do(start_replay, admin, channel.id, **body, dry_run=False)
        assert replay_id is not None
        with pytest.raises(Forbidden):
            await site.do(get_replay, member, channel.id, replay_id)
        other = await site.channel()
        with pytest.raises(NotFound):
            await site.do(get_replay, site.owner, other.id, replay_id)
        shown = await site.do(get_replay, reader, channel.id, replay_id)
        (entry,) = await site.rows("SELECT * FROM audit_entries WHERE action = 'channel.replayed'")

        assert replay_id == shown.id
        assert (admin.user_id, f"channel {channel.id}") == (entry["user_id"], entry["subject"])

    play(scenario)
