"""The page of the mission: an owner or admin sets Slack, HipChat and WebHook, and presses Test Hook."""

import re

import pytest

from loadbell.channels import channel_types
from loadbell.domain.ids import SECOND
from loadbell.testing import FakeHipChat, FakeSlack
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite, clock
from tests.web.browser import Browser, Page
from tests.web.team import Team

DEAD = "http://127.0.0.1:1/hook/of/nobody"
KINDS = ["slack", "hipchat", "webhook"]


def section(page: Page, kind: str) -> str:
    """The words of one section."""
    found = re.search(rf'<section class="panel channel" aria-labelledby="{kind}">(.*?)</section>', page.text, re.DOTALL)
    assert found is not None, page.words
    return Page(200, {}, {}, found[1]).words


def field(page: Page, name: str) -> str:
    """The value of the field of that id."""
    found = re.search(rf'<input id="{name}"[^>]* value="([^"]*)"', page.text)
    assert found is not None
    return found[1]


def test_the_sections(team: Team) -> None:
    """Slack, HipChat and WebHook in this order, each with its steps, a URL field, Save and Test Hook, not set up."""
    page = team.admin.get(f"{team.path}/notifications")

    assert page.status == 200
    assert re.findall(r'<h2 id="(\w+)"', page.text)[:3] == KINDS
    for kind, title in zip(KINDS, ("Slack", "HipChat", "WebHook"), strict=True):
        words = section(page, kind)
        assert f"{title} URL" in words
        assert "Save Test Hook" in words
        assert "Not set up" in words
    assert page.text.count('<ol class="steps"') == len(channel_types())


@pytest.mark.parametrize("kind", KINDS)
def test_saving(team: Team, receiver: ScriptedReceiver, kind: str) -> None:
    """What is saved stands there masked; sent back like that it stays, while what it rings for changes."""
    path = f"{team.path}/notifications"
    url = f"{receiver.url}v2/room/1/notification?auth_token=secretsecret"

    answer = team.admin.post(f"{path}/{kind}", {"url": url, "quick": "all"}, of=path)

    if kind == "webhook":
        assert answer.status == 200
        assert "whsec_" in answer.text
        assert "only once" in answer.words
    else:
        assert (answer.status, answer.location) == (303, f"{path}?done={kind}#{kind}")
        assert "Saved. This channel is active." in section(team.admin.get(f"{path}?done={kind}"), kind)
    page = team.admin.get(path)
    assert "secretsecret" not in page.text
    assert "whsec_" not in page.text
    masked = field(page, f"{kind}-url")
    assert masked.endswith("/…")
    kept = team.owner.post(
        f"{path}/{kind}", {"url": masked, "quick": "failures", "projects": str(team.project_id)}, of=path
    )
    assert kept.status == 303
    [channel] = team.client().ok("GET", f"/organizations/{team.organization_id}/channels")["items"]
    assert channel["settings"]["url"] == masked
    assert channel["subscription"]["only_failures"] is True
    assert channel["subscription"]["projects"] == [team.project_id]


def test_my_choice(team: Team, receiver: ScriptedReceiver) -> None:
    """Boxes of "My choice" are the subscription; the page shows them ticked again."""
    path = f"{team.path}/notifications"
    fields = {
        "url": receiver.url, "quick": "mine", "events": "test.finished", "statuses": "12", "results": "failed",
        "triggers": "ci", "only_on_change": "on",
    }  # fmt: skip

    team.owner.post(f"{path}/hipchat", {**fields, "url": f"{receiver.url}v2/room/1/notification?auth_token=x"}, of=path)

    [channel] = team.client().ok("GET", f"/organizations/{team.organization_id}/channels")["items"]
    assert channel["subscription"] == {
        "events": ["test.finished"], "statuses": [12], "results": ["failed"], "projects": [], "triggers": ["ci"],
        "only_on_change": True, "only_failures": False,
    }  # fmt: skip
    page = team.owner.get(path)
    for value in ("test.finished", "12", "failed", "ci"):
        assert f'value="{value}" checked' in page.text


def test_a_wrong_url_is_told_at_its_field(team: Team) -> None:
    """Nothing is saved, what was typed is kept, and the sentence stands at the field."""
    path = f"{team.path}/notifications"
    for typed in ("ftp://example.org/", "", "http://10.0.0.1/x"):
        page = team.owner.post(f"{path}/webhook", {"url": typed}, of=path)
        assert page.status == 422
        assert 'id="webhook-url-wrong"' in page.text
        assert field(page, "webhook-url") == typed
    assert team.client().ok("GET", f"/organizations/{team.organization_id}/channels")["items"] == []


def test_hook_of_what_stands_in_the_form(working_team: Team, receiver: ScriptedReceiver) -> None:
    """Good, refused and dead: the provider's real answer in place, as a sentence and what to do. Nothing is saved."""
    team, path = working_team, f"{working_team.path}/notifications"
    with FakeSlack() as slack, FakeHipChat() as hipchat:
        for kind, url in (
            ("slack", slack.webhook_url),
            ("hipchat", hipchat.notification_url),
            ("webhook", receiver.url),
        ):
            page = team.owner.post(f"{path}/{kind}/test", {"url": url}, of=path)
            assert 'class="answer good"' in page.text, page.words
            assert "Check that the message arrived, then press Save to keep this URL." in section(page, kind)
            assert field(page, f"{kind}-url") == url
    receiver.play([respond(404, body=b"no route")])
    refused = section(team.owner.post(f"{path}/webhook/test", {"url": receiver.url}, of=path), "webhook")
    assert "404 Not Found" in refused
    assert "What to do:" in refused
    assert "no route" in refused
    dead = team.owner.post(f"{path}/slack/test", {"url": DEAD}, of=path)
    assert "What to do: Check that the receiver is up" in section(dead, "slack")
    assert "of/nobody" not in dead.text.replace(DEAD, "")  # only where it was typed
    assert team.client().ok("GET", f"/organizations/{team.organization_id}/channels")["items"] == []


def test_hook_of_a_saved_channel(working_team: Team, receiver: ScriptedReceiver) -> None:
    """The masked URL tests what is saved, in the channel's log; with another header it tests the form as it stands."""
    team, path = working_team, f"{working_team.path}/notifications"
    team.owner.post(f"{path}/webhook", {"url": f"{receiver.url}deep", "headers": "X-Key: opensesame"}, of=path)
    page = team.owner.get(path)
    masked = field(page, "webhook-url")
    assert "X-Key: …" in page.text
    assert "opensesame" not in page.text

    team.owner.post(f"{path}/webhook/test", {"url": masked, "headers": "X-Key: …"}, of=path)
    team.owner.post(f"{path}/webhook/test", {"url": masked, "headers": "X-Key: …\nX-More: 1"}, of=path)

    first, second = receiver.wait_for(2)
    assert first.header("x-key") == second.header("x-key") == "opensesame"
    assert second.header("x-more") == "1"
    assert first.path == second.path == "/deep"
    [channel] = team.client().ok("GET", f"/organizations/{team.organization_id}/channels")["items"]
    assert len(team.client().ok("GET", f"/channels/{channel['id']}/deliveries")["items"]) == 1


def test_further_channels(team: Team, receiver: ScriptedReceiver) -> None:
    """A second channel of a kind stands below, by its name; a bad name or URL is told at its field."""
    path = f"{team.path}/notifications"
    team.owner.post(f"{path}/slack", {"url": f"{receiver.url}first"}, of=path)

    wrong = team.owner.post(path, {"kind": "slack", "name": "", "url": "x"})
    answer = team.owner.post(path, {"kind": "slack", "name": "Release room", "url": f"{receiver.url}second"})

    assert wrong.status == 422
    assert 'id="name-wrong"' in wrong.text
    assert answer.status == 303
    page = team.owner.get(path)
    assert re.search(r'<a class="name" href="/channels/\d+">Release room</a>', page.text)
    assert "All Active None yet" in page.words
    secret = team.owner.post(path, {"kind": "webhook", "name": "Gate", "url": receiver.url})
    assert "whsec_" in secret.text


def test_a_member_sees_names_only(team: Team, receiver: ScriptedReceiver) -> None:
    """Names and states, no URL, no form; told whom to ask; every form of the page is refused."""
    path = f"{team.path}/notifications"
    team.owner.post(f"{path}/slack", {"url": f"{receiver.url}first"}, of=path)

    page = team.member.get(path)

    assert "Slack" in page.words
    assert "Ask the owner or an admin of Harbour Shop" in page.words
    assert "127.0.0.1" not in page.text
    assert "Test Hook" not in page.words
    for action in ("", "/slack", "/slack/test"):
        assert team.member.post(f"{path}{action}", {"url": receiver.url, "name": "x"}, of=path).status == 403


def test_strangers_and_other_sites(team: Team, still_site: ApiSite, browser: Browser) -> None:
    """Another organization's page is not there; nobody signs in first; a form without its token does nothing."""
    theirs = f"/organizations/{still_site.theirs.organization_id}/notifications"
    assert team.owner.get(theirs).status == 404
    for action in ("", "/slack", "/slack/test"):
        assert team.owner.post(f"{theirs}{action}", {"url": "http://x", "name": "x"}, of="/organizations").status == 404
        assert team.owner.send("POST", f"{team.path}/notifications{action}", {"url": "http://x"}).status == 403
    assert team.owner.post(f"{team.path}/notifications/fax", {}, of="/organizations").status == 404
    assert browser.get(f"{team.path}/notifications").location.startswith("/login?next=")


def test_a_paused_channel_is_told_on_every_page(team: Team, receiver: ScriptedReceiver) -> None:
    """To owner and admins, with the reason and the way to it; not to members, who can't do anything for it."""
    client = team.client()
    channel = client.ok(
        "POST",
        f"/organizations/{team.organization_id}/channels",
        {"kind": "webhook", "name": "Gate", "settings": {"url": receiver.url}},
    )
    client.ok("POST", f"/channels/{channel['id']}/pause", {})

    for browser in (team.owner, team.admin):
        words = browser.get("/account").words
        assert "Gate stopped sending just now . Paused by The owner." in words
    assert "stopped sending" not in team.member.get("/account").words


def test_a_waiting_channel_is_told_on_every_page(team: Team, receiver: ScriptedReceiver) -> None:
    """After a quarter of an hour, to owner and admins; its own page and the lists say it at once."""
    client = team.client()
    channel = client.ok(
        "POST",
        f"/organizations/{team.organization_id}/channels",
        {"kind": "webhook", "name": "Gate", "settings": {"url": receiver.url}},
    )
    client.ok("POST", "/runs", {"name": "limited"})
    now = clock()
    wait = "UPDATE channels SET throttled_until = :until, throttled_since = :since, throttled_reason = 'Too much.'"
    team.site.sql(wait, until=now + 1800 * SECOND, since=now - 600 * SECOND)

    early = team.owner.get("/account").words
    own = team.owner.get(f"/channels/{channel['id']}").words
    overview = section(team.owner.get(f"{team.path}/notifications"), "webhook")
    log = team.owner.get(f"{team.path}/deliveries").words
    assert "started waiting" not in early
    assert "Waiting Too much. It started waiting for its receiver 10 minutes ago" in own
    assert "The next attempt is in 30 minutes" in own
    assert "Waiting" in overview
    assert "next attempt in 30 minutes" in log
    team.site.sql(wait, until=now + 1800 * SECOND, since=now - 900 * SECOND)
    for browser in (team.owner, team.admin):
        words = browser.get("/account").words
        assert "Gate started waiting for its receiver 15 minutes ago . Too much." in words
        assert "The next attempt is in 30 minutes" in words
    assert "started waiting" not in team.member.get("/account").words
    client.ok("POST", f"/channels/{channel['id']}/pause", {})
    assert "started waiting" not in team.owner.get("/account").words
