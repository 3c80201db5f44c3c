"""Replays over REST: count, start, watch."""

import uuid
from typing import Any

from loadbell.domain.orgs import Role, Scope
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite
from tests.support.server import wait_until

SINCE = "2020-01-01T00:00:00Z"
KEYS = ["id", "channel_id", "statuses", "count", "done", "created_at", "finished_at"]
FAILED = {"since": SINCE, "statuses": ["failed"]}


def _fail_pending(site: ApiSite, channel_id: int) -> None:
    """Lets what is pending for the channel have failed."""
    site.sql("DELETE FROM outbox WHERE channel_id = :id AND lease_owner IS NULL", id=channel_id)
    site.sql(
        "UPDATE deliveries SET status = 'failed', finished_at = created_at WHERE channel_id = :id "
        "AND status = 'pending' AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.delivery_id = deliveries.id)",
        id=channel_id,
    )


def _fail_delivery(site: ApiSite, receiver: ScriptedReceiver, count: int) -> tuple[dict[str, Any], list[str]]:
    """A channel with so many failed deliveries, whose receiver is well again; their ids, oldest first."""
    receiver.play([respond(410)])
    channel = site.channel(receiver.url)
    for _ in range(count):
        site.client.ok("POST", "/runs", {"name": "n"})
        site.client.ok("POST", f"/channels/{channel['id']}/test", {})
    path = f"/channels/{channel['id']}/deliveries?event=test.started"
    wait_until(lambda: any(item["status"] == "failed" for item in site.client.ok("GET", path)["items"]))
    _fail_pending(site, channel["id"])
    site.sql("UPDATE channels SET paused_at = NULL, paused_reason = NULL WHERE id = :id", id=channel["id"])
    receiver.play([respond()])
    return channel, [item["id"] for item in site.client.ok("GET", path)["items"]][::-1]


def test_count_then_replay_then_watch(site: ApiSite) -> None:
    """A dry run counts; the replay sends each failed one again under its id, and says how far it has come."""
    with ScriptedReceiver() as receiver:
        channel, ids = _fail_delivery(site, receiver, 3)
        path = f"/channels/{channel['id']}/replay"
        before = len(receiver.requests)
        dry = site.client.call("POST", path, {**FAILED, "dry_run": True})
        started = site.client.call("POST", path, {**FAILED, "dry_run": False})
        shown_at = f"/channels/{channel['id']}/replays/{started.json['id']}"
        wait_until(lambda: site.client.ok("GET", shown_at)["finished_at"] is not None)
        shown = site.client.ok("GET", shown_at)
        sent = [request.header("X-LoadImpact-ID") for request in receiver.requests[before:]]
        again = site.client.call("POST", path, {**FAILED, "dry_run": True})

    assert (200, {"count": 3}) == (dry.status, dry.json)
    assert (202, ["id", "count"], 3) == (started.status, list(started.json), started.json["count"])
    assert KEYS == list(shown)
    assert (channel["id"], ["failed"], 3, 3) == tuple(shown[key] for key in ("channel_id", "statuses", "count", "done"))
    assert set(ids) == set(sent)
    assert len(ids) == len(sent)
    assert {"count": 0} == again.json


def test_the_same_request_starts_one_replay(still_site: ApiSite) -> None:
    """An Idempotency-Key gives the same answer again; without one, a second replay is 409 and names the first."""
    site = still_site
    channel = site.channel("http://127.0.0.1:9/")
    site.client.ok("POST", "/runs", {"name": "n"})
    _fail_pending(site, channel["id"])
    path, key = f"/channels/{channel['id']}/replay", {"Idempotency-Key": str(uuid.uuid4())}
    first, second = (site.client.call("POST", path, FAILED, headers=key) for _ in range(2))
    other = site.client.call("POST", path, FAILED)
    another_body = site.client.call("POST", path, {**FAILED, "statuses": ["cancelled"]}, headers=key)
    shown = site.client.ok("GET", f"/channels/{channel['id']}/replays/{first.json['id']}")

    assert (202, 202) == (first.status, second.status)
    assert first.json == second.json
    assert (409, "conflict") == (other.status, other.json["code"])
    assert f"Replay {first.json['id']} of this channel is still running." in other.json["detail"]
    assert 409 == another_body.status
    assert (1, 0, None) == (shown["count"], shown["done"], shown["finished_at"])


def test_a_stopped_channel_is_not_replayed(still_site: ApiSite) -> None:
    """Paused or turned off: 409 with what to do; a dry run counts all the same."""
    site = still_site
    said = []
    for change in ("enabled", "paused"):
        channel = site.channel("http://127.0.0.1:9/")
        path = f"/channels/{channel['id']}"
        if change == "enabled":
            site.client.ok("PATCH", path, {"enabled": False})
        else:
            site.client.ok("POST", f"{path}/pause", {})
        refused = site.client.call("POST", f"{path}/replay", FAILED)
        said.append((refused.status, refused.json["code"], refused.json["detail"]))
        assert 200 == site.client.call("POST", f"{path}/replay", {**FAILED, "dry_run": True}).status

    assert [
        (409, "conflict", "The channel is turned off. Turn it on, then replay."),
        (409, "conflict", "The channel is paused. Resume it, then replay."),
    ] == said


def test_who_may_replay(still_site: ApiSite) -> None:
    """Leads with a manage token; leads who read may watch. Nobody of another organization finds it."""
    site = still_site
    channel = site.channel("http://127.0.0.1:9/")
    path = f"/channels/{channel['id']}"
    admin = site.with_token(role=Role.ADMIN)
    replay = admin.ok("POST", f"{path}/replay", FAILED)["id"]
    reader = site.with_token(scope=Scope.READ)
    member = site.with_token(role=Role.MEMBER, projects=(site.ours.project_id,))
    reporter = site.with_token(scope=Scope.REPORT)
    clients = (admin, reader, member, reporter, site.their_client)

    assert [202, 403, 403, 403, 404] == [client.call("POST", f"{path}/replay", FAILED).status for client in clients]
    assert [200, 200, 403, 403, 404] == [client.call("GET", f"{path}/replays/{replay}").status for client in clients]
