"""What persons do with deliveries while a worker runs: redeliver in every status, cancel, delete the channel."""

import asyncio
from uuid import UUID

import pytest

from loadbell.domain.errors import Conflict, IllegalMove
from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify import channels, deliveries
from loadbell.notify.channels import delete_channel, update_channel
from loadbell.store.engine.db import Transaction
from loadbell.testing.receiver import ScriptedReceiver, close, hang, respond
from tests.support.leasing import delivery_rows, end_deliveries
from tests.support.stores import Play, Site
from tests.support.working import reasons, run_with_worker, wait_for_rows, wait_for_status

MANUAL, SCHEDULED = "manual", "scheduled"


@pytest.mark.parametrize("status", [200, 500, 410, 429])
def test_redelivering_what_was_delivered(store_url: str, status: int) -> None:
    """One manual attempt under the same id; it stays delivered whatever the receiver says."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(), respond(status)]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            (before,) = await wait_for_status(site, "delivered")
            await site.do(deliveries.redeliver, site.owner, UUID(before["id"]))
            await wait_for_rows(
                site, lambda rows: rows[0]["attempts_started"] == 2 and rows[0]["status"] == "delivered"
            )
            (after,) = await wait_for_status(site, "delivered")

            assert 2 == len(receiver.requests)
            assert {before["id"]} == {each.header("X-LoadImpact-ID") for each in receiver.requests}
            assert [SCHEDULED, MANUAL] == [cause for cause, _ in await reasons(site, after)]
            assert (before["finished_at"], None) == (after["finished_at"], after["due_at"])

    run_with_worker(store_url, scenario)


@pytest.mark.parametrize(("status", "end"), [(200, "delivered"), (500, "failed")])
def test_redelivering_what_failed(store_url: str, status: int, end: str) -> None:
    """While its channel is paused that is refused; then it stays failed, with no retries, unless it succeeds."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(410), respond(status)]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            (before,) = await wait_for_status(site, "failed")
            with pytest.raises(Conflict, match="paused"):
                await site.do(deliveries.redeliver, site.owner, UUID(before["id"]))
            await site.do(channels.resume, site.owner, before["channel_id"], channels.Held.DROP)
            await site.do(deliveries.redeliver, site.owner, UUID(before["id"]))
            await wait_for_rows(site, lambda rows: rows[0]["attempts_started"] == 2 and rows[0]["status"] == end)
            (after,) = await wait_for_status(site, end)

            assert (2, None) == (len(receiver.requests), after["due_at"])
            assert (end == "delivered") == (after["finished_at"] > before["finished_at"])

    run_with_worker(store_url, scenario)


def test_redelivering_what_waits_for_a_retry(store_url: str) -> None:
    """The manual attempt is made at once, and there is one schedule afterwards, not two."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500), respond(500), respond()]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            (row,) = await wait_for_rows(site, lambda rows: rows[0]["reason"] == "http_5xx")
            await site.do(deliveries.redeliver, site.owner, UUID(row["id"]))
            await wait_for_rows(site, lambda rows: rows[0]["attempts_started"] == 2 and rows[0]["status"] == "pending")
            await site.run_sql("UPDATE outbox SET due_at = 0")  # an hour passes
            await wait_for_status(site, "delivered")

            assert [(SCHEDULED, "http_5xx"), (MANUAL, "http_5xx"), (SCHEDULED, "ok")] == await reasons(site, row)
            assert 3 == len(receiver.requests)

    run_with_worker(store_url, scenario, "1h,1h")


def test_redelivering_at_the_same_time_makes_one_attempt(play: Play) -> None:
    """Two persons who press it together make one delivery due, once."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        (row,) = await site.rows("SELECT id FROM deliveries")
        await asyncio.gather(*(site.do(deliveries.redeliver, site.owner, UUID(row["id"])) for _ in range(5)))
        (after,) = await delivery_rows(site)

        assert ("pending", MANUAL, "pending", 0) == (
            after["status"], after["cause"], after["log_status"], after["attempts_started"],
        )  # fmt: skip

    play(scenario)


def test_what_is_being_sent_is_neither_redelivered_nor_cancelled(store_url: str) -> None:
    """Both are refused with what to do instead; the attempt goes on."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([hang()]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            await asyncio.to_thread(receiver.wait_for, 1)
            (row,) = await wait_for_status(site, "sending")
            for action in (deliveries.redeliver, deliveries.cancel):
                with pytest.raises(Conflict, match="is running"):
                    await site.do(action, site.owner, UUID(row["id"]))

    run_with_worker(store_url, scenario)


def test_what_is_cancelled_is_not_sent_until_somebody_redelivers_it(store_url: str) -> None:
    """A retry that was called off never comes; what has ended can't be cancelled; Redeliver sends it."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500), respond()]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            (row,) = await wait_for_rows(site, lambda rows: rows[0]["reason"] == "http_5xx")
            cancelled = await site.do(deliveries.cancel, site.owner, UUID(row["id"]))
            quiet = len(receiver.requests)
            with pytest.raises(IllegalMove):
                await site.do(deliveries.cancel, site.owner, UUID(row["id"]))
            await site.do(deliveries.redeliver, site.owner, UUID(row["id"]))
            await wait_for_status(site, "delivered")

            assert cancelled.next_attempt_at is None
            assert (1, 2) == (quiet, len(receiver.requests))

    run_with_worker(store_url, scenario, "1h")


def test_calling_off_a_redelivery_leaves_the_end_as_it_was(play: Play) -> None:
    """A delivered one that waits for a manual attempt is delivered again when that is cancelled."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run()
        await end_deliveries(site, "delivered")
        ended_at = site.clock()
        site.clock.advance(SECOND)
        (row,) = await site.rows("SELECT id FROM deliveries")
        redelivered = await site.do(deliveries.redeliver, site.owner, UUID(row["id"]))
        cancelled = await site.do(deliveries.cancel, site.owner, UUID(row["id"]))

        assert ("pending", "delivered", ended_at) == (redelivered.status, cancelled.status, cancelled.finished_at)

    play(scenario)


def test_cancelling_the_start_lets_the_end_go(store_url: str) -> None:
    """test.finished waits no longer for what will not come."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([close(), respond()]) as receiver:
            await site.channel(receiver.url)
            run = await site.run()
            await wait_for_rows(site, lambda rows: rows[0]["reason"] == "protocol")
            receiver.play([close(), respond()])
            await site.report(run, RunStatus.FINISHED)
            rows = await wait_for_rows(
                site, lambda rows: rows[0]["attempts_started"] == 2 and rows[0]["status"] == "pending"
            )
            await site.do(deliveries.cancel, site.owner, UUID(rows[0]["id"]))
            await wait_for_status(site, "cancelled", "delivered")

    run_with_worker(store_url, scenario, "1h,1h")


def test_deleting_a_channel_cancels_what_is_pending(store_url: str) -> None:
    """Its retries never come, its log stays, and a redelivery says why it can't be."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500)]) as receiver:
            channel = await site.channel(receiver.url)
            await site.run()
            (row,) = await wait_for_rows(site, lambda rows: rows[0]["reason"] == "http_5xx")
            await site.do(delete_channel, site.owner, channel.id)
            (body,) = await wait_for_status(site, "cancelled")

            assert body["due_at"] is None
            assert "The channel was deleted before this was sent." == body["message"]
            assert 1 == len(receiver.requests) == len(await reasons(site, row))
            with pytest.raises(Conflict, match="deleted"):
                await site.do(deliveries.redeliver, site.owner, UUID(row["id"]))

    run_with_worker(store_url, scenario, "1h")


def test_deleting_a_channel_in_the_middle_of_an_attempt(store_url: str) -> None:
    """The attempt is recorded; what it would have brought is cancelled."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500, delay=1)]) as receiver:
            channel = await site.channel(receiver.url)
            await site.run()
            await asyncio.to_thread(receiver.wait_for, 1)
            await site.do(delete_channel, site.owner, channel.id)
            (row,) = await wait_for_status(site, "cancelled")

            assert [(SCHEDULED, "http_5xx")] == await reasons(site, row)
            assert 1 == len(receiver.requests) == row["attempts_started"]

    run_with_worker(store_url, scenario, "1h")


def test_a_redelivery_of_a_deleted_channel_returns_to_its_end(play: Play) -> None:
    """It keeps the status and the words that it had."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await site.run_sql("UPDATE deliveries SET status = 'failed', message = 'The receiver answered 500.'")
        await site.run_sql("UPDATE outbox SET cause = 'manual'")
        await site.do(delete_channel, site.owner, channel.id)
        (row,) = await site.rows("SELECT status, message FROM deliveries")

        assert ("failed", "The receiver answered 500.") == (row["status"], row["message"])

    play(scenario)


def test_a_channel_that_is_turned_off_takes_no_redelivery(play: Play) -> None:
    """It says so, instead of sending to a channel that somebody turned off on purpose."""

    async def scenario(site: Site) -> None:
        channel = await site.channel()
        await site.run()
        await site.do(update_channel, site.owner, channel.id, enabled=False)
        (row,) = await site.rows("SELECT id FROM deliveries")
        with pytest.raises(Conflict, match="channel is off"):
            await site.do(deliveries.redeliver, site.owner, UUID(row["id"]))

    play(scenario)


def test_the_test_of_an_unsaved_form_can_not_be_redelivered(play: Play) -> None:
    """Its settings are forgotten."""

    async def scenario(site: Site) -> None:
        form = {"url": "http://127.0.0.1:9/"}
        hook = await site.do(deliveries.test_form, site.owner, site.organization_id, kind="webhook", settings=form)
        with pytest.raises(Conflict, match="unsaved form"):
            await site.do(deliveries.redeliver, site.owner, hook)

    play(scenario)


def test_a_pending_test_hook_that_is_redelivered_is_still_tried_once(store_url: str) -> None:
    """Redeliver does not turn a test into a delivery with retries."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500)]) as receiver:
            channel = await site.channel(receiver.url)

            async def hook_and_redeliver(tx: Transaction) -> None:
                hook = await site.call(deliveries.test_saved, tx, site.owner, channel.id)
                await site.call(deliveries.redeliver, tx, site.owner, hook)

            await site.database.write(hook_and_redeliver)
            await wait_for_status(site, "failed")

            (row,) = await delivery_rows(site)
            assert (1, None) == (len(receiver.requests), row["due_at"])

    run_with_worker(store_url, scenario, "100ms")
