"""Saved secrets follow no changed host: what a change of a channel's URL takes, and what its audit entries say."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from loadbell.outbound.signing import sign
from loadbell.testing.receiver import Received, ScriptedReceiver
from tests.api.site import ApiSite
from tests.support.server import Answer

SECRET = "sentinel"
PASSWORD = {"username": f"{SECRET}-user", "password": f"{SECRET}-pass"}
HEADERS = {"headers": {"X-Key": f"{SECRET}-key"}}
TOKEN = {"bearer_token": f"{SECRET}-token"}
OLD = "https://old.example.org/hook"


@pytest.fixture
def new_host() -> Iterator[ScriptedReceiver]:
    """The host that a channel is to lead to."""
    with ScriptedReceiver() as running:
        yield running


def _wrong(answer: Answer) -> dict[str, str]:
    assert 422 == answer.status, answer.body
    return {error["field"]: error["message"] for error in answer.json["errors"]}


def _entries(site: ApiSite) -> list[dict[str, Any]]:
    items = site.client.ok("GET", f"/organizations/{site.ours.organization_id}/audit")["items"]
    assert SECRET not in json.dumps(items)
    found: list[dict[str, Any]] = items
    return found


@pytest.mark.parametrize(
    "settings",
    [HEADERS, TOKEN, PASSWORD, {**HEADERS, **PASSWORD}, {**HEADERS, **TOKEN}],
    ids=["headers", "bearer", "basic", "headers and basic", "headers and bearer"],
)
@pytest.mark.parametrize(
    "url", ["http://old.example.org/hook", "https://new.example.org/hook", "https://old.example.org:8443/hook"]
)
def test_every_secret_is_entered_again(still_site: ApiSite, settings: dict[str, Any], url: str) -> None:
    """When scheme, host or port change, each saved secret that is not sent along is a 422 at its field."""
    site = still_site
    channel = site.channel(OLD, settings={"url": OLD, **settings})
    path = f"/channels/{channel['id']}"
    wrong = _wrong(site.client.call("PATCH", path, {"settings": {"url": url}}))
    text = next(iter(settings))
    rest = {f"settings.{name}" for name in settings if name != text}
    partly = site.client.call("PATCH", path, {"settings": {"url": url, text: settings[text]}}) if rest else None

    assert {f"settings.{name}" for name in settings} == set(wrong)
    assert all("Enter this value again" in message for message in wrong.values())
    assert partly is None or rest == set(_wrong(partly))
    assert channel["settings"] == site.client.ok("GET", path)["settings"]
    assert "channel.created" == _entries(site)[0]["action"]
    moved = site.client.ok("PATCH", path, {"settings": {"url": url, **settings}})
    assert set(settings) <= {name for name, value in moved["settings"].items() if value}


def test_a_secret_that_is_emptied_does_not_move(still_site: ApiSite) -> None:
    """An empty text and an empty object count as entered: nothing is left that could go to the new host."""
    channel = still_site.channel(OLD, settings={"url": OLD, **HEADERS, **TOKEN})
    change = {"url": "https://new.example.org/hook", "headers": {}, "bearer_token": ""}
    moved = still_site.client.ok("PATCH", f"/channels/{channel['id']}", {"settings": change})

    assert {"url": "https://new.example.org/…", "headers": {}} == moved["settings"]


@pytest.mark.parametrize("url", ["https://old.example.org/other?k=2", "https://OLD.example.org.:443/hook"])
def test_the_same_host_keeps_its_secrets(still_site: ApiSite, url: str) -> None:
    """Another path or spelling of the same scheme, host and port asks for nothing, and the signing secret stays."""
    channel = still_site.channel(OLD, settings={"url": OLD, **HEADERS})
    changed = still_site.client.ok("PATCH", f"/channels/{channel['id']}", {"settings": {"url": url}})

    assert {"X-Key": "…"} == changed["settings"]["headers"]
    assert "signing_secret" not in changed


@pytest.mark.parametrize("kind", ["slack", "hipchat"])
def test_a_url_that_is_the_only_secret_may_change(still_site: ApiSite, kind: str) -> None:
    """Slack and HipChat have no other secret: a new URL is entered whole, and that is all."""
    channel = still_site.channel("https://a.example/services/x", kind=kind)
    moved = still_site.client.ok(
        "PATCH", f"/channels/{channel['id']}", {"settings": {"url": "https://b.example/services/x"}}
    )

    assert "https://b.example/…" == moved["settings"]["url"]
    assert "signing_secret" not in moved


def test_no_valid_signature_goes_to_the_new_host(site: ApiSite, new_host: ScriptedReceiver) -> None:
    """A new signing secret is in the answer, this once; only it signs from then on, the former ones are gone."""
    with ScriptedReceiver() as old_host:
        channel = site.channel(old_host.url)
        path = f"/channels/{channel['id']}"
        rotated = site.client.ok("POST", f"{path}/rotate-secret", {"overlap": "24h"})
        moved = site.client.ok("PATCH", path, {"settings": {"url": new_host.url}})
        site.client.ok("POST", f"{path}/test", {})
        (request,) = new_host.wait_for(1)

    fresh = moved["signing_secret"]
    assert len({fresh, rotated["signing_secret"], channel["signing_secret"]}) == 3
    assert "signing_secret" not in site.client.ok("GET", path)
    assert [fresh] == [
        secret
        for secret in (fresh, rotated["signing_secret"], channel["signing_secret"])
        if _signed_by(secret, request)
    ]


def test_a_redelivery_goes_to_the_new_host_with_the_present_settings(site: ApiSite, new_host: ScriptedReceiver) -> None:
    """The frozen body of an old delivery may go there; the header values of that time don't."""
    with ScriptedReceiver() as old_host:
        channel = site.channel(old_host.url, settings={"url": old_host.url, **HEADERS})
        path = f"/channels/{channel['id']}"
        delivery = site.client.ok("POST", f"{path}/test", {})
        change = {"url": new_host.url, "headers": {"X-Other": "fresh"}}
        moved = site.client.ok("PATCH", path, {"settings": change})
        site.client.ok("POST", f"/deliveries/{delivery['id']}/redeliver", {})
        (request,) = new_host.wait_for(1)
        (former,) = old_host.requests

    assert (request.body, request.header("X-LoadImpact-ID")) == (former.body, former.header("X-LoadImpact-ID"))
    assert (None, "fresh") == (request.header("X-Key"), request.header("X-Other"))
    assert _signed_by(moved["signing_secret"], request)
    assert not _signed_by(channel["signing_secret"], request)


def test_a_form_for_another_host_is_not_signed(site: ApiSite, new_host: ScriptedReceiver) -> None:
    """A Test Hook of settings that are not saved carries no signature: no channel's secret signs for a stranger."""
    site.channel(new_host.url)
    form = {"kind": "webhook", "settings": {"url": new_host.url}}
    site.client.ok("POST", f"/organizations/{site.ours.organization_id}/channels/test", form)
    (request,) = new_host.wait_for(1)

    assert request.header("webhook-id")
    assert request.header("webhook-signature") is None


def test_the_audit_log_names_channel_and_host(site: ApiSite, new_host: ScriptedReceiver) -> None:
    """Who tested or changed what, and where it led: the channel's name, scheme, host and port, never the path."""
    place = f"http://127.0.0.1:{new_host.port}/…"
    channel = site.channel(f"{new_host.url}{SECRET}", name="Gate")
    path, settings = f"/channels/{channel['id']}", {"url": f"http://localhost:{new_host.port}/{SECRET}"}
    site.client.ok("POST", f"{path}/test", {})
    saved = _entries(site)[0]
    organization = f"organization {site.ours.organization_id}"
    site.client.ok("POST", f"/organizations/{site.ours.organization_id}/channels/test", {
        "kind": "webhook", "settings": settings,
    })  # fmt: skip
    form = _entries(site)[0]
    site.client.ok("PATCH", path, {"settings": settings})
    rotated, changed, *_ = _entries(site)
    site.client.ok("PATCH", path, {"enabled": False})
    off = _entries(site)[0]
    elsewhere = f"http://localhost:{new_host.port}/…"

    assert ("channel.tested", f"channel {channel['id']}") == (saved["action"], saved["subject"])
    assert {"kind": "webhook", "name": "Gate", "settings.url": place}.items() <= saved["changes"].items()
    assert ("channel.tested", organization) == (form["action"], form["subject"])
    assert {"kind": "webhook", "settings.url": elsewhere}.items() <= form["changes"].items()
    assert ("channel.changed", "Gate", {"before": place, "after": elsewhere}) == (
        changed["action"], changed["changes"]["name"], changed["changes"]["settings.url"],
    )  # fmt: skip
    assert ("channel.secret_rotated", "Gate", elsewhere) == (
        rotated["action"], rotated["changes"]["name"], rotated["changes"]["settings.url"],
    )  # fmt: skip
    assert {"name": "Gate", "settings.url": elsewhere, "enabled": {"before": True, "after": False}} == off["changes"]


def _signed_by(secret: str, request: Received) -> bool:
    timestamp, signatures = request.header("webhook-timestamp"), request.header("webhook-signature")
    assert timestamp is not None
    assert signatures is not None
    expected = sign((secret,), request.header("webhook-id") or "", int(timestamp), request.body)
    return expected in signatures.split(" ")
