"""Channels over REST: what is shown, what is kept secret, and Test Hook."""

import json
import time
from typing import Any

import pytest

from loadbell.channels import channel_types
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role, Scope
from loadbell.entry import polling
from loadbell.testing.receiver import ScriptedReceiver, hang, respond
from tests.api.site import ApiSite

CHANNEL_KEYS = [
    "id", "organization_id", "kind", "name", "settings", "subscription", "enabled", "paused_reason", "created_at",
    "waiting",
]  # fmt: skip
ALL = {
    "events": [], "statuses": [], "results": [], "projects": [], "triggers": [],
    "only_on_change": False, "only_failures": False,
}  # fmt: skip


def _path(site: ApiSite) -> str:
    return f"/organizations/{site.ours.organization_id}/channels"


def test_a_new_channel_is_answered_whole(site: ApiSite) -> None:
    """Every key in its order, the URL masked, header values masked, and the signing secret this once."""
    settings = {"url": "https://hooks.example.org:8443/secret/path?key=1", "headers": {"X-Key": "secret-value"}}
    answer = site.client.call("POST", _path(site), {"kind": "webhook", "name": "Team", "settings": settings})
    made = answer.json
    secret = made.pop("signing_secret")

    assert 201 == answer.status
    assert CHANNEL_KEYS == list(made)
    assert {
        "id": made["id"],
        "organization_id": site.ours.organization_id,
        "kind": "webhook",
        "name": "Team",
        "settings": {"url": "https://hooks.example.org:8443/…", "headers": {"X-Key": "…"}},
        "subscription": ALL,
        "enabled": True,
        "paused_reason": None,
        "created_at": made["created_at"],
        "waiting": None,
    } == made
    assert secret.startswith("whsec_")
    assert made == site.client.ok("GET", f"/channels/{made['id']}")
    assert b"secret" not in answer.body.replace(secret.encode(), b"").replace(b"signing_secret", b"")


def test_a_subscription_is_kept_and_replaced_whole(site: ApiSite) -> None:
    """What a channel wants is kept as sent, twice is once; a PATCH of it forgets the rest of it."""
    body = {
        "events": ["test.finished"],
        "statuses": [12, 12, 9],
        "results": ["failed"],
        "projects": [site.ours.project_id],
        "triggers": ["ci", "scheduled"],
        "only_on_change": True,
        "only_failures": True,
    }
    channel = site.channel("https://hooks.example.org", subscription=body, enabled=False)
    path = f"/channels/{channel['id']}"
    changed = site.client.ok("PATCH", path, {"subscription": {"statuses": [3]}})

    assert {**body, "statuses": [12, 9]} == channel["subscription"]
    assert channel["enabled"] is False
    assert {**ALL, "statuses": [3]} == changed["subscription"]
    assert changed == site.client.ok("GET", path)


def test_a_change_keeps_what_it_does_not_name(site: ApiSite) -> None:
    """An absent field, a secret one too, stays; an empty PATCH changes nothing."""
    channel = site.channel("https://one.example.org/a", headers={})
    path = f"/channels/{channel['id']}"
    site.client.ok("PATCH", path, {"settings": {"headers": {"X-Key": "value"}}})
    changed = site.client.ok("PATCH", path, {"name": "Renamed", "enabled": False})

    assert ("Renamed", False) == (changed["name"], changed["enabled"])
    assert {"url": "https://one.example.org/…", "headers": {"X-Key": "…"}} == changed["settings"]
    assert changed == site.client.ok("PATCH", path, {})
    assert "signing_secret" not in changed


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"url": "https://hooks.example.org/…"}, "settings.url"),
        ({"headers": {"X-Key": "…"}}, "settings.headers"),
        ({"url": "http://10.0.0.1/hook"}, "settings.url"),
        ({"url": "http://[::ffff:169.254.169.254]/"}, "settings.url"),
        ({"url": "https://user:s3cr3t@example.org/"}, "settings.url"),
        ({"url": "ftp://example.org/"}, "settings.url"),
        ({"url": "https://discord.com/api/webhooks/1/s3cr3t"}, "settings.url"),
        ({"url": 5}, "settings.url"),
        ({"url": ""}, "settings.url"),
        ({"headers": ["X"]}, "settings.headers"),
        ({"colour": "red"}, "settings.colour"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(site: ApiSite, settings: dict[str, Any], field: str) -> None:
    """422 names the setting, when a channel is added, changed or tested unsaved; a stored channel stays as it was."""
    channel = site.channel("https://hooks.example.org/x")
    body = {"url": "https://hooks.example.org/x", **settings}
    responses = [
        site.client.call("PATCH", f"/channels/{channel['id']}", {"settings": settings}),
        site.client.call("POST", _path(site), {"kind": "webhook", "name": "n", "settings": body}),
        site.client.call("POST", f"{_path(site)}/test", {"kind": "webhook", "settings": body}),
    ]

    assert [(422, field)] * 3 == [(answer.status, answer.json["errors"][0]["field"]) for answer in responses]
    assert all(b"s3cr3t" not in answer.body for answer in responses)
    assert channel["settings"] == site.client.ok("GET", f"/channels/{channel['id']}")["settings"]


@pytest.mark.parametrize("kind", ["Slack", "pager", ""])
def test_a_kind_that_is_not_known_is_refused_with_those_that_are(site: ApiSite, kind: str) -> None:
    """422 on the field ``kind`` names those that there are."""
    answer = site.client.call(
        "POST", _path(site), {"kind": kind, "name": "n", "settings": {"url": "https://a.example"}}
    )

    assert (422, "kind") == (answer.status, answer.json["errors"][0]["field"])
    assert all(channel_kind in answer.json["errors"][0]["message"] for channel_kind in channel_types())


def test_channels_are_listed_a_page_at_a_time(site: ApiSite) -> None:
    """The newest come first; cursors lead to the oldest."""
    made = [site.channel(f"https://{index}.example.org")["id"] for index in range(3)]
    first = site.client.ok("GET", f"{_path(site)}?limit=2")
    second = site.client.ok("GET", f"{_path(site)}?limit=200&cursor={first['next_cursor']}")

    assert made[:0:-1] == [channel["id"] for channel in first["items"]]
    assert made[0] == second["items"][0]["id"]
    assert CHANNEL_KEYS == list(first["items"][0])
    assert second["next_cursor"] is None


def test_a_deleted_channel_is_gone_and_its_log_stays(still_site: ApiSite) -> None:
    """DELETE answers 204 without a body; what was pending is cancelled and stays in the organization's log."""
    site = still_site
    channel = site.channel("http://127.0.0.1:9")
    run = site.client.ok("POST", "/runs", {"name": "n"})
    answer = site.client.call("DELETE", f"/channels/{channel['id']}")
    listed = site.client.ok("GET", f"/organizations/{site.ours.organization_id}/deliveries")["items"]

    assert (204, b"") == (answer.status, answer.body)
    assert 404 == site.client.call("GET", f"/channels/{channel['id']}").status
    assert [("cancelled", channel["id"], run["id"])] == [
        (item["status"], item["channel_id"], item["run_id"]) for item in listed if item["channel_id"] == channel["id"]
    ]


def test_a_member_reads_names_and_no_settings(site: ApiSite) -> None:
    """A member sees that a channel is there, not where it leads, and may not touch it."""
    channel = site.channel("https://hooks.example.org/x")
    member = site.with_token(role=Role.MEMBER)
    path = f"/channels/{channel['id']}"
    shown = member.ok("GET", path)

    assert ("receiver", {}) == (shown["name"], shown["settings"])
    assert b"example.org" not in member.call("GET", _path(site)).body
    assert [403] * 6 == [
        member.call(method, target, body).status
        for method, target, body in (
            ("POST", _path(site), {"kind": "webhook", "name": "n", "settings": {"url": "https://a.example"}}),
            ("PATCH", path, {}),
            ("DELETE", path, None),
            ("POST", f"{path}/test", None),
            ("POST", f"{_path(site)}/test", {"kind": "webhook", "settings": {"url": "https://a.example"}}),
            ("GET", f"{path}/deliveries", None),
        )
    ]


def test_an_admin_may_do_everything_to_channels(site: ApiSite) -> None:
    """An admin adds, reads, changes and deletes a channel like the owner."""
    admin = site.with_token(role=Role.ADMIN)
    channel = admin.ok("POST", _path(site), {"kind": "webhook", "name": "n", "settings": {"url": "https://a.example"}})
    path = f"/channels/{channel['id']}"

    assert "https://a.example/…" == admin.ok("GET", path)["settings"]["url"]
    assert "m" == admin.ok("PATCH", path, {"name": "m"})["name"]
    assert 204 == admin.call("DELETE", path).status


def test_a_saved_channel_is_tested_in_place(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Test Hook answers 200 with the delivery and its one attempt, request and answer as they were."""
    channel = site.channel(f"{receiver.url}secret", enabled=False)
    answer = site.client.call("POST", f"/channels/{channel['id']}/test")
    delivery = answer.json
    (attempt,) = delivery["attempts"]
    (request,) = receiver.wait_for(1)

    assert 200 == answer.status
    assert ("delivered", "ok", channel["id"]) == (delivery["status"], delivery["reason"], delivery["channel_id"])
    assert ("test.notification_channel", None, 1) == (
        delivery["event"], delivery["run_id"], delivery["attempt_count"],
    )  # fmt: skip
    assert ("test", 1, 200) == (attempt["cause"], attempt["number"], attempt["status_code"])
    assert '{"event":"test.notification_channel"}' == attempt["request"]["body"] == request.body.decode()
    assert delivery["id"] == attempt["request"]["headers"]["X-LoadImpact-ID"] == request.header("X-LoadImpact-ID")
    assert b"secret" not in answer.body


@pytest.mark.parametrize("status", [200, 302, 404, 410, 429, 500])
def test_unsaved_settings_are_tested_whatever_the_receiver_says(site: ApiSite, status: int) -> None:
    """The answer is 200 with the receiver's own status and body; nothing is retried, and no channel is named."""
    with ScriptedReceiver([respond(status, {"X-Own": "yes"}, b"said")]) as receiver:
        form = {"kind": "webhook", "settings": {"url": receiver.url}}
        answer = site.client.call("POST", f"{_path(site)}/test", form)
    delivery = answer.json
    (attempt,) = delivery["attempts"]

    assert (200, None) == (answer.status, delivery["channel_id"])
    assert ("delivered" if status == 200 else "failed") == delivery["status"]
    assert (status, "said", "yes") == (
        attempt["status_code"], attempt["response"]["body"], attempt["response"]["headers"]["X-Own"],
    )  # fmt: skip
    assert 1 == len(receiver.requests)


def test_a_test_that_is_not_answered_says_so(site: ApiSite) -> None:
    """A receiver that hangs gives 200 and reason timeout after the sending deadline, with no answer to show."""
    with ScriptedReceiver([hang()]) as receiver:
        form = {"kind": "webhook", "settings": {"url": receiver.url}}
        answer = site.client.call("POST", f"{_path(site)}/test", form)
    (attempt,) = answer.json["attempts"]

    assert (200, "failed", "timeout") == (answer.status, answer.json["status"], answer.json["reason"])
    assert (None, None) == (attempt["status_code"], attempt["response"])
    assert 1900 < attempt["duration_ms"] < 4000


def test_a_refused_address_is_tested_in_words(site: ApiSite) -> None:
    """A name that leads to a refused address ends as blocked_address, in the answer of the Test Hook."""
    with ScriptedReceiver() as receiver:
        port = receiver.url.rsplit(":", 1)[1]
        form = {"kind": "webhook", "settings": {"url": f"http://[::1]:{port}"}}
        answer = site.client.call("POST", f"{_path(site)}/test", form)

    assert (422, "settings.url") == (answer.status, answer.json["errors"][0]["field"])
    assert [] == receiver.requests


def test_without_a_worker_a_test_is_accepted(still_site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """202 with the pending delivery comes once the sending deadline, and the 5 s beyond it, have passed."""
    assert 5 * SECOND == polling.GRACE
    monkeypatch.setattr(polling, "GRACE", SECOND // 2)
    channel = still_site.channel("http://127.0.0.1:9")
    began = time.monotonic()
    answer = still_site.client.call("POST", f"/channels/{channel['id']}/test", {})

    assert (202, "pending", []) == (answer.status, answer.json["status"], answer.json["attempts"])
    assert 2.4 < time.monotonic() - began < 5


def test_scopes_limit_what_a_token_may_do_to_channels(site: ApiSite) -> None:
    """A read token of the owner reads settings masked and changes nothing; a report token sees no channel at all."""
    channel = site.channel("https://hooks.example.org/x")
    read, report = site.with_token(scope=Scope.READ), site.with_token(scope=Scope.REPORT)
    path = f"/channels/{channel['id']}"

    assert "https://hooks.example.org/…" == read.ok("GET", path)["settings"]["url"]
    assert [403, 403, 403, 403] == [
        read.call("DELETE", path).status,
        read.call("POST", f"{path}/test").status,
        report.call("GET", path).status,
        report.call("GET", _path(site)).status,
    ]
    assert json.dumps(channel["name"]) in site.client.call("GET", path).body.decode()


def test_credentials_reach_the_receiver_and_nobody_else(site: ApiSite) -> None:
    """A real receiver gets the user name and password; the log masks them, even where the receiver repeats them."""
    repeated = b"wrong: sentinel-user:sentinel-pass, c2VudGluZWwtdXNlcjpzZW50aW5lbC1wYXNz"
    with ScriptedReceiver([respond(401, {"X-Echo": "sentinel-user"}, repeated)]) as receiver:
        settings = {"url": receiver.url, "username": "sentinel-user", "password": "sentinel-pass"}
        channel = site.client.ok("POST", _path(site), {"kind": "webhook", "name": "n", "settings": settings})
        answer = site.client.call("POST", f"/channels/{channel['id']}/test", {})
        (request,) = receiver.wait_for(1)
    (attempt,) = answer.json["attempts"]

    assert "Basic c2VudGluZWwtdXNlcjpzZW50aW5lbC1wYXNz" == request.header("Authorization")
    assert ("…", "…") == (attempt["request"]["headers"]["Authorization"], attempt["response"]["headers"]["X-Echo"])
    assert "wrong: …:…, …" == attempt["response"]["body"]
    assert {"username": "…", "password": "…"}.items() <= channel["settings"].items()
    for place in (answer.body.decode(), str(site.contents()), site.client.call("GET", _path(site)).body.decode()):
        assert "sentinel" not in place
        assert "c2VudGluZWw" not in place
