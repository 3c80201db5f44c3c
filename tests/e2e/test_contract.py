"""The legacy contract on the wire: what a receiver of LoadImpact 3.0 notifications sees, byte for byte."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from loadbell.testing.receiver import Received, ScriptedReceiver
from tests.support.server import Client, Server, set_up

FINAL = {
    3: "Finished",
    4: "Timed out",
    6: "Aborted by user",
    8: "Aborted by system",
    9: "Aborted by script error",
    11: "Aborted by threshold",
    12: "Failed threshold",
}
"""Codes and texts of the documentation's table "Status codes", written out."""


@dataclass(frozen=True)
class Site:
    """A server with one WebHook channel that leads to a receiver."""

    client: Client
    receiver: ScriptedReceiver
    made: dict[str, Any]
    channel: dict[str, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for the tests of this module."""
    data_dir = tmp_path_factory.mktemp("contract")
    body = set_up(data_dir)
    with ScriptedReceiver() as receiver, Server(data_dir) as server:
        client = Client(server.url, body["token"])
        channel = client.ok(
            "POST",
            f"/organizations/{body['organization_id']}/channels",
            {
                "kind": "webhook",
                "name": "receiver",
                "settings": {"url": f"{receiver.url}hook?key=s3cret-key", "headers": {"X-Team": "performance-team"}},
            },
        )
        yield Site(client, receiver, body, channel)


def _expected(site: Site, run: dict[str, Any], status: int, text: str, event: str) -> bytes:
    """The documented body, white space aside."""
    return (
        f'{{"status":{status},"status_text":"{text}","user_id":{site.made["user_id"]},"name":"Load test",'
        f'"organization_id":{site.made["organization_id"]},"load_test_id":{run["test_id"]},'
        f'"load_test_run_id":{run["id"]},"project_id":{site.made["project_id"]},"event":"{event}"}}'
    ).encode()


def _check_headers(request: Received, event: str) -> None:
    spelled = dict(request.headers)
    assert event == spelled["X-LoadImpact-Event"]
    assert spelled["X-LoadImpact-ID"] == str(uuid.UUID(spelled["X-LoadImpact-ID"]))
    assert spelled["User-Agent"].startswith("LoadImpactWebHook")
    assert "application/json" == spelled["Content-Type"]
    assert spelled["webhook-id"] == spelled["X-LoadImpact-ID"]
    assert "performance-team" == spelled["X-Team"]
    assert {"Expect", "Accept-Encoding", "Cookie"}.isdisjoint(spelled)


@pytest.mark.parametrize("status", FINAL)
def test_a_run_is_told_as_documented(site: Site, status: int) -> None:
    """Start and end carry the documented headers and the documented body, for every final status."""
    before = len(site.receiver.requests)
    run = site.client.ok("POST", "/runs", {"name": "Load test"})
    site.client.ok("PATCH", f"/runs/{run['id']}", {"status": status})
    started, finished = site.receiver.wait_for(before + 2)[before:]

    assert _expected(site, run, 2, "Running", "test.started") == started.body
    assert _expected(site, run, status, FINAL[status], "test.finished") == finished.body
    assert ["POST", "POST"] == [started.method, finished.method]
    _check_headers(started, "test.started")
    _check_headers(finished, "test.finished")
    assert started.header("X-LoadImpact-ID") != finished.header("X-LoadImpact-ID")


def test_the_test_hook_is_told_as_documented(site: Site) -> None:
    """Test Hook posts the documented body, the event's name and nothing else, and answers with the exchange."""
    before = len(site.receiver.requests)
    delivery = site.client.ok("POST", f"/channels/{site.channel['id']}/test")
    (request,) = site.receiver.wait_for(before + 1)[before:]

    assert b'{"event":"test.notification_channel"}' == request.body
    _check_headers(request, "test.notification_channel")
    assert "delivered" == delivery["status"]
    assert delivery["id"] == request.header("X-LoadImpact-ID")
    (attempt,) = delivery["attempts"]
    assert ("test", "ok", 200) == (attempt["cause"], attempt["reason"], attempt["status_code"])


def test_a_receiver_can_verify_the_signature(site: Site) -> None:
    """The public Standard Webhooks library accepts every request, with the secret shown when the channel was made."""
    before = len(site.receiver.requests)
    run = site.client.ok("POST", "/runs", {"name": "Ünïcode \u202e name 🔔"})
    (request,) = site.receiver.wait_for(before + 1)[before:]
    verified = standardwebhooks.Webhook(site.channel["signing_secret"]).verify(request.body, dict(request.headers))

    assert run["id"] == verified["load_test_run_id"]
    assert "Ünïcode \u202e name 🔔" == json.loads(request.body)["name"]


def test_the_log_shows_no_secret(site: Site) -> None:
    """Neither the URL's path and query nor a custom header's value is in any answer of the API."""
    site.client.ok("POST", f"/channels/{site.channel['id']}/test")
    data = site.client.call("GET", f"/organizations/{site.made['organization_id']}/channels").body
    deliveries = site.client.ok("GET", f"/channels/{site.channel['id']}/deliveries")["items"]
    items = [data] + [site.client.call("GET", f"/deliveries/{item['id']}").body for item in deliveries]

    assert len(items) > 1
    assert [] == [body for body in items if b"s3cret-key" in body or b"/hook" in body or b"performance-team" in body]


def test_stopping_ends_well(tmp_path: Path) -> None:
    """SIGTERM lets what is in flight end and exits with 0."""
    set_up(tmp_path)
    with Server(tmp_path) as server:
        assert server.stop() == 0
