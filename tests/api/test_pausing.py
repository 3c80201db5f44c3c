"""Pause and resume over REST: what is answered, and who may."""

from datetime import datetime, timedelta

import pytest

from loadbell.domain.orgs import Role, Scope
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite
from tests.support.server import wait_until


def _runs_only(site: ApiSite, receiver: ScriptedReceiver) -> str:
    channel = site.channel(receiver.url, subscription={"events": ["test.started"]})
    return f"/channels/{channel['id']}"


def test_a_channel_is_paused_and_resumed_by_hand(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Each answers 200 with the channel as it stands then, the second time too; what was held arrives."""
    path = _runs_only(site, receiver)
    paused = site.client.call("POST", f"{path}/pause", {})
    again = site.client.call("POST", f"{path}/pause")
    site.client.ok("POST", "/runs", {"name": "held"})
    held = site.client.ok("GET", f"{path}/deliveries")["items"]
    resumed = site.client.call("POST", f"{path}/resume", {"held": "deliver"})
    once_more = site.client.call("POST", f"{path}/resume", {"held": "drop"})

    assert [200] * 4 == [answer.status for answer in (paused, again, resumed, once_more)]
    assert ("Paused by Ours.", None) == (paused.json["paused_reason"], resumed.json["paused_reason"])
    assert (paused.json, resumed.json) == (again.json, once_more.json)
    assert ["pending"] == [item["status"] for item in held]
    assert held[0]["id"] == receiver.wait_for(1)[0].header("X-LoadImpact-ID")


def test_what_was_held_can_be_dropped(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """It is cancelled and says so; what comes later is sent."""
    path = _runs_only(site, receiver)
    site.client.ok("POST", f"{path}/pause")
    site.client.ok("POST", "/runs", {"name": "dropped"})
    site.client.ok("POST", f"{path}/resume", {"held": "drop"})
    (dropped,) = site.client.ok("GET", f"{path}/deliveries")["items"]
    site.client.ok("POST", "/runs", {"name": "sent"})
    receiver.wait_for(1)

    assert ("cancelled", None, None) == (dropped["status"], dropped["reason"], dropped["next_attempt_at"])
    assert "queued notifications were dropped" in dropped["message"]
    assert 1 == len(receiver.requests)


def test_a_pause_by_an_answer_is_shown_without_secrets(site: ApiSite) -> None:
    """The channel says why, to members too, and shows nothing of the URL but its host."""
    with ScriptedReceiver([respond(410, body=b"sentinel-secret")]) as receiver:
        channel = site.channel(f"{receiver.url}sentinel-secret", subscription={"events": ["test.started"]})
        path = f"/channels/{channel['id']}"
        site.client.ok("POST", "/runs", {"name": "refused"})
        wait_until(lambda: site.client.ok("GET", path)["paused_reason"] is not None)
    answers = [client.call("GET", path) for client in (site.client, site.with_token(role=Role.MEMBER))]

    assert all("The receiver answered 410 Gone" in answer.json["paused_reason"] for answer in answers)
    assert all(b"sentinel" not in answer.body for answer in answers)


@pytest.mark.parametrize(("verb", "body"), [("pause", {}), ("resume", {"held": "deliver"})])
def test_who_may_not(site: ApiSite, receiver: ScriptedReceiver, verb: str, body: dict[str, str]) -> None:
    """403 for members and narrower tokens, 404 for the other organization; an admin may."""
    path = f"{_runs_only(site, receiver)}/{verb}"
    clients = [
        site.with_token(role=Role.MEMBER, projects=(site.ours.project_id,)),
        site.with_token(scope=Scope.READ),
        site.with_token(scope=Scope.REPORT),
        site.their_client,
        site.nobody,
        site.with_token(role=Role.ADMIN),
    ]

    assert [403, 403, 403, 404, 401, 200] == [client.call("POST", path, body).status for client in clients]


def test_what_becomes_of_the_held_must_be_said(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Without `held`, or with another word, resume is 422 and the channel stays paused."""
    path = _runs_only(site, receiver)
    site.client.ok("POST", f"{path}/pause")
    responses = [
        site.client.call("POST", f"{path}/resume", body) for body in ({}, {"held": "keep"}, {"held": None}, None)
    ]

    assert [422] * 4 == [answer.status for answer in responses]
    assert ["held"] * 4 == [answer.json["errors"][0]["field"] for answer in responses]
    assert "Paused by Ours." == site.client.ok("GET", path)["paused_reason"]


def test_a_channel_that_waits_says_so(site: ApiSite) -> None:
    """Since when, until when and why, to members too, without secrets; its deliveries aren't due before."""
    limit = respond(429, {"Retry-After": "1795406706"}, body=b"sentinel-secret")
    with ScriptedReceiver([limit]) as receiver:
        channel = site.channel(f"{receiver.url}sentinel-secret", subscription={"events": ["test.started"]})
        path = f"/channels/{channel['id']}"
        site.client.ok("POST", "/runs", {"name": "limited"})
        wait_until(lambda: site.client.ok("GET", path)["waiting"] is not None)
        site.client.ok("POST", "/runs", {"name": "behind it"})
    clients = [site.client, site.with_token(role=Role.MEMBER)]
    responses = [client.call("GET", path) for client in clients]
    listed = site.client.ok("GET", f"{path}/deliveries")["items"]
    single = [site.client.ok("GET", f"/deliveries/{one['id']}")["next_attempt_at"] for one in listed]
    (wait,) = {tuple(answer.json["waiting"].items()) for answer in responses}
    since, until = (datetime.fromisoformat(dict(wait)[name]) for name in ("since", "until"))

    assert timedelta(hours=1) <= until - since < timedelta(hours=1, minutes=1)
    assert "The receiver answered 429 Too Many Requests." == dict(wait)["reason"]
    assert all(b"sentinel" not in answer.body for answer in responses)
    assert [dict(wait)["until"]] * 2 == [one["next_attempt_at"] for one in listed] == single
    site.client.ok("POST", f"{path}/pause")
    paused = site.client.ok("GET", f"{path}/deliveries")["items"]
    assert (None, [None] * 2) == (
        site.client.ok("GET", path)["waiting"], [one["next_attempt_at"] for one in paused],
    )  # fmt: skip
