"""Deliveries over REST: the log and its filters, one with its attempts, redeliver and cancel."""

import uuid
from typing import Any

from loadbell.domain.orgs import Role
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite
from tests.support.server import wait_until

DELIVERY_KEYS = [
    "id", "channel_id", "kind", "event_id", "event", "run_id", "status", "reason", "message", "attempt_count",
    "next_attempt_at", "created_at", "finished_at",
]  # fmt: skip
ATTEMPT_KEYS = [
    "number", "cause", "started_at", "duration_ms", "reason", "message", "status_code", "request", "response",
]  # fmt: skip


def _deliver_run(site: ApiSite, channel: dict[str, Any], status: str = "delivered") -> dict[str, Any]:
    """A run's start, told to the channel with that outcome; its delivery as a list shows it."""
    run = site.client.ok("POST", "/runs", {"name": "n"})
    found: list[dict[str, Any]] = []

    def ended() -> bool:
        items = site.client.ok("GET", f"/runs/{run['id']}/deliveries")["items"]
        found[:] = [item for item in items if item["channel_id"] == channel["id"] and item["status"] == status]
        return bool(found)

    wait_until(ended)
    return found[0]


def test_a_delivery_is_shown_whole(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Every key in its order, in lists without attempts, by itself with them, oldest first."""
    channel = site.channel(receiver.url, settings={"url": receiver.url, "headers": {"X-Key": "value"}})
    body = _deliver_run(site, channel)
    whole = site.client.ok("GET", f"/deliveries/{body['id']}")
    (attempt,) = whole.pop("attempts")

    assert DELIVERY_KEYS == list(body)
    assert body == whole
    assert ("webhook", "test.started", "ok", 1, None) == (
        whole["kind"], whole["event"], whole["reason"], whole["attempt_count"], whole["next_attempt_at"],
    )  # fmt: skip
    assert whole["finished_at"] >= whole["created_at"]
    assert ATTEMPT_KEYS == list(attempt)
    assert ["method", "url", "headers", "body"] == list(attempt["request"])
    assert ["headers", "body", "truncated"] == list(attempt["response"])
    assert ("POST", "…", "LoadImpactWebHook") == (
        attempt["request"]["method"],
        attempt["request"]["headers"]["X-Key"],
        attempt["request"]["headers"]["User-Agent"],
    )
    assert attempt["request"]["url"].startswith("http://127.0.0.1:")
    assert attempt["request"]["url"].endswith("/…")
    assert 0 < attempt["duration_ms"] < 5000
    assert str(uuid.UUID(whole["id"])) == whole["id"]
    assert whole["id"] != whole["event_id"]


def test_attempts_are_shown_oldest_first(site: ApiSite) -> None:
    """A delivery that took three attempts shows each with its own reason; the delivery's is the last one's."""
    with ScriptedReceiver([respond(503, body=b"busy"), respond(404), respond(200)]) as receiver:
        channel = site.channel(receiver.url)
        whole = site.client.ok("GET", f"/deliveries/{_deliver_run(site, channel)['id']}")

    assert [(1, "http_5xx", 503), (2, "http_4xx", 404), (3, "ok", 200)] == [
        (attempt["number"], attempt["reason"], attempt["status_code"]) for attempt in whole["attempts"]
    ]
    assert ("ok", 3) == (whole["reason"], whole["attempt_count"])
    assert "busy" == whole["attempts"][0]["response"]["body"]


def test_a_failed_delivery_is_redelivered_by_hand(site: ApiSite) -> None:
    """Redeliver answers 202; one manual attempt with the same id follows, and its success settles the delivery.

    While the channel is paused, as the 410 has paused it, the answer is 409.
    """
    with ScriptedReceiver([respond(410), respond(200)]) as receiver:
        channel = site.channel(receiver.url)
        failed = _deliver_run(site, channel, "failed")
        refused = site.client.call("POST", f"/deliveries/{failed['id']}/redeliver")
        site.client.ok("POST", f"/channels/{channel['id']}/resume", {"held": "drop"})
        answer = site.client.call("POST", f"/deliveries/{failed['id']}/redeliver")
        path = f"/deliveries/{failed['id']}"
        wait_until(lambda: site.client.ok("GET", path)["attempt_count"] == 2)
        whole = site.client.ok("GET", path)
        ids = {request.header("X-LoadImpact-ID") for request in receiver.requests}

    assert (409, "conflict") == (refused.status, refused.json["code"])
    assert (202, failed["id"], "pending") == (answer.status, answer.json["id"], answer.json["status"])
    assert [*DELIVERY_KEYS, "attempts"] == list(answer.json)
    assert ["scheduled", "manual"] == [attempt["cause"] for attempt in whole["attempts"]]
    assert ("delivered", {failed["id"]}) == (whole["status"], ids)


def test_pending_is_cancelled_once(still_site: ApiSite) -> None:
    """Cancel answers 200 with the cancelled delivery; a second one is 409 illegal_move."""
    site = still_site
    delivery = _deliver_run(site, site.channel("http://127.0.0.1:9"), "pending")
    first = site.client.call("POST", f"/deliveries/{delivery['id']}/cancel", {})
    second = site.client.call("POST", f"/deliveries/{delivery['id']}/cancel")

    assert (200, "cancelled") == (first.status, first.json["status"])
    assert (409, "illegal_move") == (second.status, second.json["code"])


def test_what_is_being_sent_is_left_alone(still_site: ApiSite) -> None:
    """While an attempt is under way, redeliver and cancel are 409 conflict."""
    site = still_site
    delivery = _deliver_run(site, site.channel("http://127.0.0.1:9"), "pending")
    sending = "UPDATE outbox SET lease_owner = 1, attempts_started = 1, lease_until = :until WHERE delivery_id = :id"
    site.sql(sending, id=delivery["id"], until=2**62)
    responses = [site.client.call("POST", f"/deliveries/{delivery['id']}/{verb}") for verb in ("redeliver", "cancel")]

    assert [(409, "conflict")] * 2 == [(answer.status, answer.json["code"]) for answer in responses]
    assert 0 == site.client.ok("GET", f"/deliveries/{delivery['id']}")["attempt_count"]


def test_the_log_is_filtered_and_paged(still_site: ApiSite) -> None:
    """Status, event and time narrow the log of an organization and of a channel; pages have no gap and no repeat."""
    site = still_site
    channel = site.channel("http://127.0.0.1:9")
    other = site.channel("http://127.0.0.1:9")
    runs = [site.client.ok("POST", "/runs", {"name": "n"})["id"] for _ in range(3)]
    site.client.ok("PATCH", f"/runs/{runs[0]}", {"status": 3})
    path = f"/channels/{channel['id']}/deliveries"
    started = [item["run_id"] for item in site.client.ok("GET", f"{path}?event=test.started")["items"]]
    whole = site.client.ok("GET", path)["items"]
    pages = [site.client.ok("GET", f"{path}?limit=3")]
    pages.append(site.client.ok("GET", f"{path}?limit=3&cursor={pages[0]['next_cursor']}"))
    log = f"/organizations/{site.ours.organization_id}/deliveries"
    middle = whole[1]["created_at"]

    assert runs[::-1] == started
    assert 4 == len(whole)
    assert whole == [item for page in pages for item in page["items"]]
    assert [] == site.client.ok("GET", f"{path}?status=delivered")["items"]
    assert whole == site.client.ok("GET", f"{path}?status=pending&since=2020-01-01T00:00:00Z")["items"]
    assert [] == site.client.ok("GET", f"{path}?until=2020-01-01T00:00:00%2B02:00")["items"]
    assert {item["id"] for item in whole} == {
        item["id"]
        for part in (f"since={middle}", f"until={middle}")
        for item in site.client.ok("GET", f"{path}?{part}")["items"]
    }
    assert {channel["id"], other["id"]} <= {item["channel_id"] for item in site.client.ok("GET", log)["items"]}


def test_a_member_sees_deliveries_without_bodies(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """In an assigned project a member sees who was told, but neither bodies nor addresses, and may not act."""
    channel = site.channel(receiver.url)
    delivery = _deliver_run(site, channel)
    member = site.with_token(role=Role.MEMBER, projects=(site.ours.project_id,))
    stranger = site.with_token(role=Role.MEMBER)
    path = f"/deliveries/{delivery['id']}"
    (attempt,) = member.ok("GET", path)["attempts"]

    assert (None, None, None) == (attempt["request"]["url"], attempt["request"]["body"], attempt["response"]["body"])
    assert 200 == attempt["status_code"]
    assert [403, 403, 403, 403] == [
        member.call("POST", f"{path}/redeliver").status,
        member.call("POST", f"{path}/cancel").status,
        member.call("GET", f"/organizations/{site.ours.organization_id}/deliveries").status,
        member.call("GET", f"/channels/{channel['id']}/deliveries").status,
    ]
    assert [404, 404] == [stranger.call("GET", path).status, stranger.call("POST", f"{path}/redeliver").status]
