"""Saved secrets follow no changed host on the pages: Save and Test Hook, in a section and on a channel's own page."""

import re
from typing import Any

import pytest

from loadbell.testing.receiver import ScriptedReceiver
from tests.web.browser import Page
from tests.web.team import Team

SECRETS = {"headers": {"X-Key": "sentinel-key"}, "username": "sentinel-user", "password": "sentinel-pass"}
MASKED = {"headers": "X-Key: …", "username": "…", "password": "…"}
AGAIN = "Enter this value again"


def _hook(team: Team, url: str) -> dict[str, Any]:
    """A WebHook channel with secrets of each kind."""
    said = {"kind": "webhook", "name": "Gate", "settings": {"url": url, **SECRETS}}
    made: dict[str, Any] = team.client().ok("POST", f"/organizations/{team.organization_id}/channels", said)
    return made


def _wrong(page: Page) -> set[str]:
    """The fields that the page says something wrong of."""
    return set(re.findall(r'id="(?:channel|webhook)-([a-z_]+)-wrong"', page.text))


@pytest.mark.parametrize("verb", ["", "/test"])
@pytest.mark.parametrize("place", ["section", "page"])
def test_masked_secrets_do_not_go_to_another_host(working_team: Team, place: str, verb: str) -> None:
    """Save and Test Hook with another host are refused at each field that still stands masked; nothing is sent."""
    team = working_team
    with ScriptedReceiver() as old, ScriptedReceiver() as new:
        channel = _hook(team, f"{old.url}hook")
        own, text = f"/channels/{channel['id']}", f"{team.path}/notifications"
        path, of = (f"{text}/webhook", text) if place == "section" else (own, own)
        fields = {"name": "Gate", "enabled": "on", "url": new.url, **MASKED}

        page = team.owner.post(path + verb, fields, of=of)
        partly = team.owner.post(path + verb, {**fields, "headers": "X-Key: …\nX-New: 1"}, of=of)
        again = team.owner.post(
            path + verb,
            {**fields, "headers": "X-Key: fresh", "username": "fresh", "password": "fresh"},
            of=of,
        )

        assert (422, 422, 200) == (page.status, partly.status, again.status)
        assert {"headers", "username", "password"} == _wrong(page) == _wrong(partly)
        assert page.words.count(AGAIN) >= 3
        assert "sentinel" not in page.text + partly.text + again.text
        assert [] == old.requests
        if verb:
            (request,) = new.wait_for(1)
            assert "fresh" == request.header("X-Key")
            assert request.header("webhook-signature") is None
        else:
            assert [] == new.requests
            (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", again.text)
            assert secret != channel["signing_secret"]
            assert "loadbell replaced the signing secret" in again.words


def test_masked_secrets_stay_on_the_same_host(working_team: Team) -> None:
    """Another path of the same host takes the saved secrets along, for Test Hook and Save, and asks for nothing."""
    team = working_team
    with ScriptedReceiver() as receiver:
        path = f"/channels/{_hook(team, f'{receiver.url}one')['id']}"
        fields = {"name": "Gate", "enabled": "on", "url": f"{receiver.url}two", **MASKED}
        tested = team.owner.post(f"{path}/test", fields, of=path)
        saved = team.owner.post(path, fields, of=path)
        (request,) = receiver.wait_for(1)

    assert (200, 303) == (tested.status, saved.status)
    assert ("/two", "sentinel-key") == (request.path, request.header("X-Key"))
    assert "Basic" in (request.header("Authorization") or "")
