"""The page of one channel."""

import re
from typing import Any

import pytest

from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite
from tests.support.server import wait_until
from tests.web.team import Team

PAST = "2020-01-01T00:00"
FORMS = ("", "/test", "/pause", "/resume", "/rotate-secret", "/delete", "/replay")


def create_channel(team: Team, url: str, **more: Any) -> str:
    """The address of the page of a new WebHook channel."""
    body = {"kind": "webhook", "name": "Gate", "settings": {"url": url}, **more}
    channel = team.client().ok("POST", f"/organizations/{team.organization_id}/channels", body)
    return f"/channels/{channel['id']}"


def test_it_is_changed(team: Team, receiver: ScriptedReceiver) -> None:
    """Name, settings, what it rings for and whether it is on are saved; the secret parts never stand in the page."""
    path = create_channel(
        team,
        f"{receiver.url}secretpath",
        settings={"url": f"{receiver.url}secretpath", "headers": {"X-A": "opensesame"}},
    )
    page = team.admin.get(path)
    assert page.status == 200
    assert "secretpath" not in page.text
    assert "opensesame" not in page.text
    masked = re.search(r'id="channel-url"[^>]* value="([^"]+)"', page.text)
    assert masked is not None

    fields = {"name": "Release gate", "url": masked[1], "headers": "X-A: …", "quick": "change"}
    answer = team.admin.post(path, fields)

    assert (answer.status, answer.location) == (303, f"{path}?done=saved#settings")
    shown = team.admin.get(f"{path}?done=saved")
    assert "Saved." in shown.words
    assert "Off. Nothing is sent or queued." in shown.words
    channel = team.client().ok("GET", path)
    assert (channel["name"], channel["enabled"], channel["subscription"]["only_on_change"]) == (
        "Release gate",
        False,
        True,
    )
    assert channel["settings"]["headers"] == {"X-A": "…"}


def test_what_is_wrong_is_told_at_its_field(team: Team, receiver: ScriptedReceiver) -> None:
    """Nothing is saved, and what was typed stands there."""
    path = create_channel(team, receiver.url)

    page = team.owner.post(path, {"name": "", "url": "nonsense", "headers": "no colon"})
    header = team.owner.post(path, {"name": "Gate", "url": receiver.url, "headers": "no colon"})
    url = team.owner.post(path, {"name": "Gate", "url": "nonsense"})

    assert 'id="name-wrong"' in page.text
    assert "Line 1 isn't" in header.words
    assert "no colon" in header.text
    assert 'id="channel-url-wrong"' in url.text
    assert 'value="nonsense"' in url.text
    assert {page.status, header.status, url.status} == {422}
    assert team.client().ok("GET", path)["name"] == "Gate"


def test_hook(working_team: Team, receiver: ScriptedReceiver) -> None:
    """It tests what stands in the form and says in place what the receiver answered."""
    path = create_channel(working_team, receiver.url)
    receiver.play([respond(500, body=b"sorry")])

    page = working_team.owner.post(f"{path}/test", {"name": "Gate", "url": receiver.url}, of=path)

    assert "500 Internal Server Error" in page.words
    assert "What to do: The receiver failed. Check its logs." in page.words
    assert "sorry" in page.words


def test_pause_and_resume(working_team: Team, receiver: ScriptedReceiver) -> None:
    """A paused channel says how much it holds; it is resumed with or without that."""
    team, path = working_team, create_channel(working_team, receiver.url)
    for text, count in (("deliver", 1), ("drop", 1)):
        paused = team.owner.post(f"{path}/pause", {"next": f"{team.path}/notifications"}, of=path)
        assert paused.location == f"{team.path}/notifications"
        team.client().ok("POST", "/runs", {"name": f"Held, to {text}"})
        page = team.owner.get(path)
        assert f"{count} notification is queued." in page.words
        assert "Paused by The owner." in page.words

        answer = team.owner.post(f"{path}/resume", {"held": text}, of=path)

        assert answer.location == f"{path}?done=resumed"
        assert "Resumed. This channel is active." in team.owner.get(answer.location).words
        newest = team.client().ok("GET", f"{path}/deliveries")["items"][0]
        if text == "drop":
            assert newest["status"] == "cancelled"
        else:
            receiver.wait_for(1)


def test_nobody_is_sent_away_after_a_pause(team: Team, receiver: ScriptedReceiver) -> None:
    """The address to come back to is one of ours."""
    path = create_channel(team, receiver.url)
    assert team.owner.post(f"{path}/pause", {"next": "//evil.example"}, of=path).location == "/"


def test_a_new_secret(team: Team, receiver: ScriptedReceiver) -> None:
    """It is shown this once; an overlap that is too long is refused."""
    path = create_channel(team, receiver.url)

    answer = team.owner.post(f"{path}/rotate-secret", {"overlap": "1h"}, of=path)
    wrong = team.owner.post(f"{path}/rotate-secret", {"overlap": "8d"}, of=path)

    assert len(re.findall("whsec_", answer.text)) == 1
    assert "whsec_" not in team.owner.get(path).text
    assert wrong.status == 422
    assert "at most 7d" in wrong.words


def test_replay(working_team: Team, receiver: ScriptedReceiver) -> None:
    """First it is counted and nothing happens; then it is sent again; a bad time is told at its field."""
    team, path = working_team, create_channel(working_team, receiver.url)
    team.client().ok("POST", "/runs", {"name": "Lost"})
    receiver.wait_for(1)
    wait_until(lambda: team.client().ok("GET", f"{path}/deliveries")["items"][0]["status"] == "delivered", timeout=10)
    body = {"since": PAST, "until": "", "statuses": "delivered"}

    counted = team.owner.post(f"{path}/replay", body, of=path)
    assert counted.status == 200
    assert "1 delivery would be resent." in counted.words
    assert len(receiver.requests) == 1
    begun = team.owner.post(f"{path}/replay", {**body, "sure": "yes"}, of=path)
    wrong = team.owner.post(f"{path}/replay", {**body, "since": "soon"}, of=path)
    empty = team.owner.post(f"{path}/replay", {**body, "since": ""}, of=path)

    assert begun.location == f"{path}?done=replayed#replay"
    first, second = receiver.wait_for(2)
    assert first.header("x-loadimpact-id") == second.header("x-loadimpact-id")
    for page in (wrong, empty):
        assert page.status == 422
        assert 'id="since-wrong"' in page.text


def test_it_is_deleted(team: Team, receiver: ScriptedReceiver) -> None:
    """Its page is gone; the notifications page says so."""
    path = create_channel(team, receiver.url)

    answer = team.owner.post(f"{path}/delete", {}, of=path)

    assert answer.location == f"{team.path}/notifications?done=deleted"
    assert "Channel deleted." in team.owner.get(answer.location).words
    assert team.owner.get(path).status == 404


def test_a_member_sees_name_and_state(team: Team, receiver: ScriptedReceiver) -> None:
    """No URL, no form, told whom to ask; every form is refused."""
    path = create_channel(team, receiver.url)

    page = team.member.get(path)

    assert "Gate WebHook channel of Harbour Shop Status Active" in page.words
    assert "Ask the owner or an admin" in page.words
    assert "127.0.0.1" not in page.text
    for form in FORMS:
        refused = team.member.post(f"{path}{form}", {"name": "x", "since": PAST, "overlap": "1h"}, of=path)
        assert refused.status == 403, form


@pytest.mark.parametrize("form", FORMS)
def test_strangers_and_other_sites(team: Team, still_site: ApiSite, receiver: ScriptedReceiver, form: str) -> None:
    """Another organization's channel is not there; a form without its token does nothing."""
    path = create_channel(team, receiver.url)
    theirs = still_site.channel(receiver.url, still_site.their_client)

    assert team.owner.get(f"/channels/{theirs['id']}").status == 404
    assert team.owner.post(f"/channels/{theirs['id']}{form}", {}, of="/organizations").status == 404
    assert team.owner.send("POST", f"{path}{form}", {"name": "x"}).status == 403
