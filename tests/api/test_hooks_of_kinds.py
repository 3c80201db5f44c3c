"""Test Hook on each kind of channel: the provider's real answer, in place and in the log."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from loadbell.testing import FakeHipChat, FakeSlack, ScriptedReceiver, respond
from tests.api.site import ApiSite

HIPCHAT_401 = b'{"error": {"code": 401, "type": "Unauthorized", "message": "Invalid OAuth session"}}'
FAILURES = [
    ("webhook", 410, b"no more", "gone"),
    ("webhook", 500, b"broken", "http_5xx"),
    ("webhook", 302, b"", "http_3xx"),
    ("slack", 404, b"no_service", "gone"),
    ("slack", 403, b"action_prohibited", "http_4xx"),
    ("slack", 400, b"invalid_payload", "bad_payload"),
    ("slack", 200, b"<html>login</html>", "rejected"),
    ("slack", 429, b'{"ok":false,"error":"rate_limited","retry_after":1}', "rate_limited"),
    ("hipchat", 401, HIPCHAT_401, "http_4xx"),
    ("hipchat", 404, b"", "gone"),
    ("hipchat", 400, b"{}", "bad_payload"),
    ("hipchat", 429, b"", "rate_limited"),
    ("hipchat", 503, b"away", "http_5xx"),
]


@contextmanager
def provider(kind: str, answer: tuple[int, bytes] | None = None) -> Iterator[tuple[ScriptedReceiver, str]]:
    """A server of ``kind`` that judges by itself, or always gives ``answer``; with the URL to paste."""
    if kind == "slack":
        with FakeSlack() as slack:
            slack.answer_with(*(answer or (None,)))
            yield slack, slack.webhook_url
    elif kind == "hipchat":
        with FakeHipChat() as hipchat:
            hipchat.answer_with(*(answer or (None,)))
            yield hipchat, hipchat.notification_url
    else:
        status, body = answer or (200, b"")
        with ScriptedReceiver([respond(status, body=body)]) as receiver:
            yield receiver, f"{receiver.url}hook-sentinel"


def press(site: ApiSite, kind: str, url: str, *, saved: bool) -> dict[str, Any]:
    """Test Hook on a channel of ``kind`` that writes to ``url``; the delivery that it answers with."""
    settings = {"kind": kind, "settings": {"url": url}}
    at = f"/organizations/{site.ours.organization_id}/channels"
    if saved:
        channel = site.client.ok("POST", at, {**settings, "name": kind})
        delivery: dict[str, Any] = site.client.ok("POST", f"/channels/{channel['id']}/test", {})
        assert None is site.client.ok("GET", f"/channels/{channel['id']}")["paused_reason"]
    else:
        delivery = site.client.ok("POST", f"{at}/test", settings)
    assert delivery == site.client.ok("GET", f"/deliveries/{delivery['id']}")
    return delivery


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize(("kind", "status"), [("webhook", 200), ("slack", 200), ("hipchat", 204)])
def test_a_hook_that_is_taken(site: ApiSite, kind: str, status: int, *, saved: bool) -> None:
    """Each kind's own server takes the Test Hook, saved or not, and its answer is shown and logged."""
    with provider(kind) as (fake, url):
        delivery = press(site, kind, url, saved=saved)

        assert ("delivered", "ok", kind) == (delivery["status"], delivery["reason"], delivery["kind"])
        assert [status] == [attempt["status_code"] for attempt in delivery["attempts"]]
        assert [delivery["id"]] == [request.header("X-LoadImpact-ID") for request in fake.requests]


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize(("kind", "status", "body", "reason"), FAILURES)
def test_a_hook_that_is_refused(  # noqa: PLR0913 - each row of the table has so many columns
    site: ApiSite, kind: str, status: int, body: bytes, reason: str, *, saved: bool
) -> None:
    """Each kind of failure is told with the provider's real answer; nothing is retried and nothing paused."""
    with provider(kind, (status, body)) as (fake, url):
        delivery = press(site, kind, url, saved=saved)

        (attempt,) = delivery["attempts"]
        assert ("failed", reason) == (delivery["status"], delivery["reason"])
        assert (status, body.decode()) == (attempt["status_code"], attempt["response"]["body"])
        assert 1 == len(fake.requests)
        assert url.rpartition("/")[2] not in json.dumps(delivery)
