"""Pausing with a worker, a real sender and real receivers, on both stores."""

import asyncio
import json
from collections.abc import Callable

import pytest

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.notify import deliveries
from loadbell.notify.channels import Held, pause, resume
from loadbell.notify.worker.capacity import MAX_PER_CHANNEL
from loadbell.testing import Behaviour, FakeHipChat, FakeSlack, ScriptedReceiver, hang, respond
from tests.support.leasing import delivery_rows
from tests.support.stores import Site
from tests.support.working import event_names, run_with_worker, wait_for_end, wait_for_rows

RUNS_ONLY = Subscription(events=(EventName.STARTED, EventName.FINISHED))


async def _paused(site: Site, channel_id: int) -> str | None:
    (row,) = await site.rows("SELECT paused_reason FROM channels WHERE id = :id", id=channel_id)
    reason: str | None = row["paused_reason"]
    return reason


@pytest.mark.parametrize("answer", [respond(410), respond(200, {"webhook-delivery": "disable"})])
def test_a_webhook_that_is_gone_is_paused_after_one_refused_event(store_url: str, answer: Behaviour) -> None:
    """Later events are held, the other channel is told, a Test Hook resumes nothing; resume delivers in order."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([answer]) as scripted_receiver, ScriptedReceiver() as well:
            channel = await site.channel(scripted_receiver.url, name="gone", subscription=RUNS_ONLY)
            await site.channel(well.url, subscription=Subscription(events=(EventName.CHANNEL_PAUSED,)))
            await site.run(name="refused")
            (notice,) = await asyncio.to_thread(well.wait_for, 1)
            for number in range(4):
                await site.run(name=f"held {number}")
            scripted_receiver.play([respond()])
            await site.do(deliveries.test_saved, site.owner, channel.id)
            await wait_for_rows(site, lambda rows: rows[-1]["status"] == "delivered")
            body = json.loads(notice.body)
            still = await _paused(site, channel.id)

            assert ["test.started", "test.notification_channel"] == event_names(scripted_receiver.requests)
            assert ("channel.paused", "gone", still) == (body["event"], body["name"], body["reason"])
            await site.do(resume, site.owner, channel.id, Held.DELIVER)
            await asyncio.to_thread(scripted_receiver.wait_for, 6)
            names = [json.loads(request.body)["name"] for request in scripted_receiver.requests[2:]]
            assert [f"held {number}" for number in range(4)] == names
            assert 1 == len(well.requests)

    run_with_worker(store_url, scenario)


def _room(kind: str) -> tuple[FakeSlack | FakeHipChat, Callable[[], str]]:
    """A provider without a rate, and what gives its URL once it runs."""
    if kind == "slack":
        slack = FakeSlack(per_second=1000, burst=1000)
        return slack, lambda: slack.webhook_url
    hipchat = FakeHipChat(per_minute=60_000)
    return hipchat, lambda: hipchat.notification_url


UNAUTHORIZED = b'{"error": {"code": 401, "type": "Unauthorized", "message": "Invalid OAuth session"}}'


@pytest.mark.parametrize(
    ("kind", "status", "body", "words"),
    [
        ("slack", 404, b"no_service", "no_service"),
        ("slack", 403, b"action_prohibited", "action_prohibited"),
        ("hipchat", 401, UNAUTHORIZED, "401"),
    ],
)
def test_a_room_that_is_gone_is_paused_after_one_refused_event(
    store_url: str, kind: str, status: int, body: bytes, words: str
) -> None:
    """The provider's own word is in the reason, the URL is not; later events are held and delivered on resume."""

    async def scenario(site: Site) -> None:
        fake, url = _room(kind)
        with fake, ScriptedReceiver() as well:
            fake.answer_with(status, body)
            settings = {"url": url()}
            channel = await site.channel(kind=kind, name="room", settings=settings, subscription=RUNS_ONLY)
            await site.channel(well.url, subscription=Subscription(events=(EventName.CHANNEL_PAUSED,)))
            await site.run(name="refused")
            (notice,) = await asyncio.to_thread(well.wait_for, 1)
            await site.run(name="held")
            await site.run(name="held, too")
            reason = await _paused(site, channel.id) or ""
            refused = len(fake.requests)
            fake.answer_with(None)
            await site.do(resume, site.owner, channel.id, Held.DELIVER)
            await asyncio.to_thread(fake.wait_for, 3)
            posted = [json.dumps(message) for message in fake.posted]

            assert (1, reason) == (refused, json.loads(notice.body)["reason"])
            assert words in reason
            assert url().split("/", 3)[3] not in reason
            assert [True, True] == [name in text for name, text in zip(("held", "held, too"), posted, strict=True)]

    run_with_worker(store_url, scenario)


def test_a_message_that_slack_calls_invalid_never_pauses(store_url: str) -> None:
    """It is our fault: the delivery fails, the channel goes on however long it lasts."""

    async def scenario(site: Site) -> None:
        with FakeSlack(per_second=1000, burst=1000) as fake:
            fake.answer_with(400, b"invalid_payload")
            settings = {"url": fake.webhook_url}
            channel = await site.channel(kind="slack", settings=settings, subscription=RUNS_ONLY)
            for _ in range(3):
                await site.run()
            await wait_for_end(site, 3)
            (row,) = await site.rows("SELECT * FROM channels WHERE id = :id", id=channel.id)

            assert (None, None) == (row["paused_at"], row["failing_since"])
            assert {("failed", "bad_payload")} == {
                (each["status"], each["reason"]) for each in await delivery_rows(site)
            }

    run_with_worker(store_url, scenario, pause_after=1)


def test_a_channel_that_only_fails_is_paused_after_the_span(store_url: str) -> None:
    """Its retries stop, and what failed is held."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500)]) as broken:
            channel = await site.channel(broken.url)
            await site.run()
            await wait_for_rows(site, lambda rows: rows[0]["attempts_started"] >= 2)
            end = asyncio.get_running_loop().time() + 10
            while await _paused(site, channel.id) is None:
                assert asyncio.get_running_loop().time() < end
                await asyncio.sleep(0.02)
            (row,) = await delivery_rows(site)

            assert ("pending", "http_5xx") == (row["status"], row["reason"])
            assert "Every attempt since" in (await _paused(site, channel.id) or "")

    run_with_worker(store_url, scenario, ",".join(["100ms"] * 50), pause_after=SECOND // 2)


def test_the_worker_gives_up_what_is_held_too_long(store_url: str) -> None:
    """It looks for it by itself, about each second, and sends nothing."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver() as receiver:
            channel = await site.channel(receiver.url)
            await site.do(pause, site.owner, channel.id)
            await site.run()
            (row,) = await wait_for_rows(site, lambda rows: rows[0]["status"] == "failed")

            assert "expired" == row["reason"]
            assert [] == receiver.requests

    run_with_worker(store_url, scenario, hold_for=SECOND)


@pytest.mark.parametrize(("first", "places"), [((200,), MAX_PER_CHANNEL), ((500,), 1), ((200, 500), 1)])
def test_only_a_success_gives_a_channel_several_places(store_url: str, first: tuple[int, ...], places: int) -> None:
    """A receiver whose last answer was a failure gets one message at a time, as one that does not answer at all."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([*map(respond, first), hang()]) as receiver:
            await site.channel(receiver.url)
            for count in range(1, 1 + len(first)):
                await site.run()
                await asyncio.to_thread(receiver.wait_for, count)
                await wait_for_rows(site, lambda rows: all(row["status"] != "sending" for row in rows))
            for _ in range(2 * MAX_PER_CHANNEL):
                await site.run()
            await asyncio.to_thread(receiver.wait_for, len(first) + places)
            settings = {"url": receiver.url}
            await site.do(deliveries.test_form, site.owner, site.organization_id, kind="webhook", settings=settings)
            await asyncio.to_thread(receiver.wait_for, 1 + len(first) + places)  # the worker has looked once more
            sending = await site.rows(
                "SELECT delivery_id FROM outbox WHERE lease_owner IS NOT NULL AND channel_id IS NOT NULL"
            )

            assert places == len(sending)

    run_with_worker(store_url, scenario, "1h")
