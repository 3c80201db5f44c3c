"""Rotating a WebHook's signing secret over REST: what a receiver that verifies sees during the overlap and after it."""

import json
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from loadbell.domain.ids import SECOND, rfc3339
from loadbell.testing.receiver import Received, ScriptedReceiver
from tests.api.site import ApiSite, clock
from tests.support.server import wait_until


def _rotate(site: ApiSite, channel: dict[str, Any], **body: str) -> dict[str, Any]:
    made: dict[str, Any] = site.client.ok("POST", f"/channels/{channel['id']}/rotate-secret", body)
    return made


def _last_request(site: ApiSite, channel: dict[str, Any], receiver: ScriptedReceiver) -> Received:
    """What a Test Hook of the channel brings to the receiver."""
    site.client.ok("POST", f"/channels/{channel['id']}/test", {})
    return receiver.requests[-1]


def _accepts(secret: str, request: Received, signature: str | None = None) -> bool:
    """Whether the reference library accepts the request, with ``signature`` alone if one is given."""
    headers = {name.lower(): value for name, value in request.headers}
    try:
        Webhook(secret).verify(request.body, {**headers, **({"webhook-signature": signature} if signature else {})})
    except WebhookVerificationError:
        return False
    return True


def test_during_the_overlap_both_secrets_verify(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """The reference library accepts what a real server sent by the new and by the former secret, newest first."""
    channel = site.channel(receiver.url)
    before = _last_request(site, channel, receiver)
    rotated = _rotate(site, channel, overlap="1h")
    during = _last_request(site, channel, receiver)
    old, new = channel["signing_secret"], rotated["signing_secret"]
    first, second = str(during.header("webhook-signature")).split(" ")

    assert ["signing_secret", "previous_expires_at"] == list(rotated)
    assert [True, False] == [_accepts(secret, before) for secret in (old, new)]
    assert [True, True] == [_accepts(secret, during) for secret in (old, new)]
    assert [True, True] == [_accepts(new, during, first), _accepts(old, during, second)]


def test_after_the_overlap_the_former_secret_is_refused(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Without an overlap, and when one is over, there is one signature, and the former secret verifies no more."""
    channel = site.channel(receiver.url)
    old = channel["signing_secret"]
    newer = _rotate(site, channel, overlap="0s")["signing_secret"]
    request = _last_request(site, channel, receiver)
    assert [False, True] == [_accepts(secret, request) for secret in (old, newer)]

    rotated = _rotate(site, channel, overlap="200ms")
    wait_until(lambda: rfc3339(clock()) > rotated["previous_expires_at"])
    request = _last_request(site, channel, receiver)

    assert 1 == len(str(request.header("webhook-signature")).split(" "))
    assert [False, False, True] == [_accepts(one, request) for one in (old, newer, rotated["signing_secret"])]


def test_the_overlap_is_a_day_unless_told(site: ApiSite) -> None:
    """Without ``overlap``, and with null, the former secret ends in 24 hours."""
    channel = site.channel("https://hooks.example.org")
    for body in ({}, {"overlap": None}):
        before = clock()
        made = site.client.ok("POST", f"/channels/{channel['id']}/rotate-secret", body)
        day = 24 * 3600 * SECOND

        assert rfc3339(before + day) <= made["previous_expires_at"] <= rfc3339(clock() + day)
        assert made["signing_secret"].startswith("whsec_")


def test_a_sixth_live_secret_is_refused(site: ApiSite) -> None:
    """409 says what to do, changes nothing, and ending all former ones is always possible."""
    channel = site.channel("https://hooks.example.org")
    for _ in range(4):
        _rotate(site, channel, overlap="7d")
    path = f"/channels/{channel['id']}/rotate-secret"
    before = site.contents()["channels"]
    refused = site.client.call("POST", path, {})

    assert (409, "conflict") == (refused.status, refused.json["code"])
    assert "0s" in refused.json["detail"]
    assert before == site.contents()["channels"]
    assert 200 == site.client.call("POST", path, {"overlap": "0s"}).status
    assert 200 == site.client.call("POST", path, {}).status


def test_a_repeat_rotates_once(still_site: ApiSite) -> None:
    """The same Idempotency-Key gives the same secret again; it is stored sealed."""
    site, key = still_site, {"Idempotency-Key": "rotate"}
    channel = site.channel("https://hooks.example.org")
    path = f"/channels/{channel['id']}/rotate-secret"
    first, again = (site.client.call("POST", path, {}, headers=key) for _ in range(2))

    assert (200, first.body) == (again.status, again.body)
    assert first.json["signing_secret"] not in str(site.contents())


def test_a_rotation_is_in_the_audit_log_without_the_secret(still_site: ApiSite) -> None:
    """Who rotated, which channel and until when the former secret lives are noted; no secret is stored in clear."""
    site = still_site
    channel = site.channel("https://hooks.example.org")
    body = _rotate(site, channel, overlap="2h")
    contents = site.contents()
    entry = str(contents["audit_entries"][-1])

    assert "channel.secret_rotated" in entry
    assert f"channel {channel['id']}" in entry
    assert json.dumps({"previous_expires_at": body["previous_expires_at"]}, separators=(",", ":")) in entry
    assert [False, False] == [item["signing_secret"] in str(contents) for item in (channel, body)]


@pytest.mark.parametrize("overlap", ["8d", "7.000001d", "-1s", "", "24", "tomorrow"])
def test_an_overlap_that_makes_no_sense_is_refused(still_site: ApiSite, overlap: str) -> None:
    """422 names the field."""
    channel = still_site.channel("https://hooks.example.org")
    answer = still_site.client.call("POST", f"/channels/{channel['id']}/rotate-secret", {"overlap": overlap})

    assert (422, ["overlap"]) == (answer.status, [error["field"] for error in answer.json["errors"]])
