"""Pausing and resuming by hand: who may, and what becomes of what was held; on both stores."""

import json
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import pytest

from loadbell.domain.deliveries import Delivery
from loadbell.domain.errors import Forbidden, NotFound
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role, Scope
from loadbell.domain.runs import RunStatus
from loadbell.notify import deliveries
from loadbell.notify.channels import Held, get_channel, pause, resume
from loadbell.store.channels import Throttle, throttle_channels
from tests.support.leasing import (
    BROKEN,
    OK,
    SILENT,
    completion,
    delivery_rows,
    lease,
    lease_all,
    record,
    statuses,
)
from tests.support.stores import DAY, Play, Site, column_values


def test_a_person_pauses_and_resumes_with_an_entry_in_the_audit_log(play: Play) -> None:
    """The reason names who did it; what is so already stays as it is, without another entry."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.channel()
        admin = await site.person(Role.ADMIN)
        resumed = await site.do(resume, admin, channel.id, Held.DROP)
        paused = await site.do(pause, admin, channel.id)
        again = await site.do(pause, site.owner, channel.id)
        await site.run()
        after = await site.do(resume, admin, channel.id, Held.DELIVER)
        entries = await site.rows("SELECT * FROM audit_entries WHERE subject LIKE 'channel %' ORDER BY id")

        assert (None, "Paused by Ann.", None) == (resumed.paused_reason, paused.paused_reason, after.paused_reason)
        assert paused == again
        assert ["channel.created"] * 2 + ["channel.paused", "channel.resumed"] == [row["action"] for row in entries]
        assert {admin.user_id} == {row["user_id"] for row in entries[2:]}
        assert {"paused_reason": {"before": None, "after": "Paused by Ann."}} == json.loads(entries[2]["changes"])
        assert json.loads(entries[3]["changes"]) == {
            "paused_reason": {"before": "Paused by Ann.", "after": None},
            "held": "deliver",
            "deliveries": 1,
        }
        assert [] == await site.rows("SELECT id FROM events WHERE name = 'channel.paused'"), "by hand: nobody is told"

    play(scenario)


def test_only_owner_and_admins_pause_and_resume(play: Play) -> None:
    """A member and a token of scope read are refused; a channel of another organization is not found."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        member, reader = await site.person(Role.MEMBER), await site.person(Role.OWNER, scope=Scope.READ)
        for asker in (member, reader):
            with pytest.raises(Forbidden):
                await site.do(pause, asker, channel.id)
            with pytest.raises(Forbidden):
                await site.do(resume, asker, channel.id, Held.DROP)
        with pytest.raises(NotFound):
            await site.do(pause, site.owner, 987_654)
        with pytest.raises(NotFound):
            await site.do(resume, site.owner, 987_654, Held.DROP)

        assert (await site.do(get_channel, site.owner, channel.id)).paused_reason is None

    play(scenario)


def test_what_was_held_is_delivered_one_by_one_in_order(play: Play) -> None:
    """Retries and first attempts alike become due in the order of their events; each waits for the one before."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        retried = await site.run()
        await record(site, *[completion(site, item, BROKEN) for item in await lease(site)])
        await site.do(pause, site.owner, channel.id)
        for _ in range(3):
            site.clock.advance(SECOND)
            await site.run()
        site.clock.advance(SECOND)
        await site.report(retried, RunStatus.FINISHED)
        held = [row["id"] for row in await delivery_rows(site)]
        site.clock.advance(DAY)
        nothing = await lease_all(site)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        order = []
        while leased := await lease_all(site):
            order.append([str(item.id) for item in leased])
            await record(site, *[completion(site, item, BROKEN if len(order) == 2 else OK) for item in leased])

        assert [] == nothing
        assert [[item] for item in held] == order
        assert ["delivered", "pending", "delivered", "delivered", "delivered"] == await statuses(site)

    play(scenario)


def test_what_is_being_sent_goes_first(play: Play) -> None:
    """An attempt that was under way when the channel was paused is waited for, so that the order holds."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        (flying,) = await lease(site)
        await site.do(pause, site.owner, channel.id)
        site.clock.advance(SECOND)
        await site.run()
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        nothing = await lease(site)
        await record(site, completion(site, flying, SILENT))
        still_nothing = await lease(site)
        site.clock.advance(100 * SECOND)
        (again,) = await lease_all(site)
        await record(site, completion(site, again, OK))
        (second,) = await lease(site)

        assert ([], []) == (nothing, still_nothing)
        assert flying.id == again.id != second.id

    play(scenario)


def test_a_redelivered_one_that_fails_again_holds_up_nothing(play: Play) -> None:
    """It returns to its former end without an answer, and what was to follow it goes on."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await record(site, *[completion(site, item, OK) for item in await lease(site)])
        (first,) = await delivery_rows(site)
        await site.do(deliveries.redeliver, site.owner, UUID(first["id"]))
        await site.do(pause, site.owner, channel.id)
        site.clock.advance(SECOND)
        await site.run()
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        (manual,) = await lease(site)
        await record(site, completion(site, manual, SILENT))
        (second,) = await lease(site)

        assert str(manual.id) == first["id"] != str(second.id)
        assert ["delivered", "sending"] == await statuses(site)

    play(scenario)


def test_what_was_held_is_dropped_with_a_word(play: Play) -> None:
    """Everything pending is cancelled and says why; a Redeliver returns to its end; what comes later is sent."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await record(site, *[completion(site, item, OK) for item in await lease(site)])
        (first,) = await delivery_rows(site)
        await site.do(deliveries.redeliver, site.owner, UUID(first["id"]))
        await site.do(pause, site.owner, channel.id)
        run = await site.run()
        await site.report(run, RunStatus.FINISHED)
        hook = await site.do(deliveries.test_saved, site.owner, channel.id)
        await site.do(resume, site.owner, channel.id, Held.DROP)
        rows = {row["id"]: row for row in await delivery_rows(site)}
        test, again = rows.pop(str(hook)), rows.pop(first["id"])
        site.clock.advance(SECOND)
        await site.run()

        assert ("pending", "delivered") == (test["status"], again["status"])
        assert column_values(again, "finished_at", "message") == (first["finished_at"], "The receiver answered 200 OK.")
        assert ["cancelled"] * 2 == [row["status"] for row in rows.values()]
        assert {None} == {row["after"] for row in rows.values()}
        assert all("queued notifications were dropped" in row["message"] for row in rows.values())
        assert 2 == len(await lease(site)), "the Test Hook and the new run"

    play(scenario)


def test_a_resume_clears_failures_and_the_throttle(play: Play) -> None:
    """The channel begins again as if it had never failed, and waits for no Retry-After of before."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(
            throttle_channels,
            {channel.id: Throttle(site.clock.now + DAY, site.clock.now + DAY, site.clock.now, "Slow.", 3)},
        )
        await site.run_sql("UPDATE channels SET failing_since = 1")
        await site.run()
        await site.do(pause, site.owner, channel.id)
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        (row,) = await site.rows("SELECT * FROM channels")

        assert (None, None, None, 0, 0) == column_values(
            row, "paused_at", "paused_reason", "failing_since", "throttled_until", "bucket_full_at"
        )
        assert 1 == len(await lease(site))

    play(scenario)


@pytest.mark.parametrize("action", [deliveries.redeliver, deliveries.cancel])
def test_the_order_stands_when_one_is_taken_out_of_the_line(
    play: Play, action: Callable[..., Coroutine[Any, Any, Delivery]]
) -> None:
    """Who redelivers or cancels the second of three does not let the third go before the first was answered."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.do(pause, site.owner, channel.id)
        for _ in range(3):
            site.clock.advance(SECOND)
            await site.run()
        await site.do(resume, site.owner, channel.id, Held.DELIVER)
        first, second, third = [UUID(row["id"]) for row in await delivery_rows(site)]
        await record(site, *[completion(site, item, SILENT) for item in await lease(site)])
        await site.do(action, site.owner, second)
        leased_items = await lease(site)
        await record(site, *[completion(site, item, OK) for item in leased_items])
        nothing = await lease(site)
        site.clock.advance(100 * SECOND)
        again = await lease_all(site)
        await record(site, *[completion(site, item, OK) for item in again])
        last = await lease_all(site)

        assert [item.id for item in leased_items] == ([second] if action is deliveries.redeliver else [])
        assert ([], [first], [third]) == (nothing, [item.id for item in again], [item.id for item in last])

    play(scenario)
