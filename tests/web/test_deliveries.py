"""The delivery log and the page of one delivery: what they show to whom, and Redeliver."""

import re
from typing import Any

import pytest

from loadbell.domain.orgs import Role
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite
from tests.support.server import wait_until
from tests.web.browser import Browser, Page
from tests.web.events import open_stream
from tests.web.team import Team


def hook(team: Team, url: str, name: str = "Gate", **more: Any) -> int:
    """A new WebHook channel that rings for starts; its id."""
    body = {"kind": "webhook", "name": name, "settings": {"url": url}, "subscription": {"events": ["test.started"]}}
    made = team.client().ok("POST", f"/organizations/{team.organization_id}/channels", {**body, **more})
    return int(made["id"])


def wait_for_deliveries(team: Team, channel: int, *statuses: str) -> list[dict[str, Any]]:
    """The deliveries of a channel, newest first, once they stand so."""
    path = f"/channels/{channel}/deliveries"
    wait_until(lambda: tuple(one["status"] for one in team.client().ok("GET", path)["items"]) == statuses, timeout=15)
    items: list[dict[str, Any]] = team.client().ok("GET", path)["items"]
    return items


def rows(page: Page) -> list[str]:
    """The deliveries that the log lists."""
    return re.findall(r'<a class="name" href="/deliveries/([0-9a-f-]{36})">', page.text)


def test_an_empty_log(team: Team) -> None:
    """It says what will stand here."""
    page = team.owner.get(f"{team.path}/deliveries")
    assert page.status == 200
    assert "No deliveries yet" in page.words


def test_a_failing_receiver_is_seen_and_redelivered(working_team: Team, receiver: ScriptedReceiver) -> None:
    """The attempt with request and answer, and what to do; then Redeliver: both attempts stand there."""
    team = working_team
    receiver.play([respond(410, body=b"<script>alert(1)</script> gone"), respond(200, body=b"thanks")])
    channel = hook(
        team,
        f"{receiver.url}secretpath",
        settings={"url": f"{receiver.url}secretpath", "headers": {"X-Key": "opensesame"}},
    )
    team.client().ok("POST", "/runs", {"name": "Checkout"})
    [failed] = wait_for_deliveries(team, channel, "failed")
    path = f"/deliveries/{failed['id']}"

    log = team.admin.get(f"{team.path}/deliveries?status=failed")
    page = team.admin.get(path)

    assert rows(log) == [failed["id"]]
    assert "Gate Failed The receiver answered 410 Gone" in log.words
    assert "test.started to Gate" in page.words
    assert "What to do: This webhook no longer exists." in page.words
    assert "&lt;script&gt;alert(1)&lt;/script&gt; gone" in page.text
    assert '"event":"test.started"' in page.words
    assert "X-LoadImpact-ID" in page.words
    for secret in ("secretpath", "opensesame"):
        assert secret not in page.text
        assert secret not in log.text
    paused = team.admin.post(f"{path}/redeliver", {}, of=path)
    assert paused.status == 409
    assert "Resume it, then redeliver." in paused.words
    team.admin.post(f"/channels/{channel}/resume", {"held": "deliver"}, of=path)
    answer = team.admin.post(f"{path}/redeliver", {}, of=path)
    assert answer.location == f"{path}?done=redelivered"
    wait_for_deliveries(team, channel, "delivered")
    after = team.admin.get(answer.location)
    assert "Redelivering. The result appears below." in after.words
    assert "redelivered manually" in after.words
    assert after.text.count('<details class="attempt"') == 2
    first, second = receiver.wait_for(2)
    assert first.header("x-loadimpact-id") == second.header("x-loadimpact-id") == failed["id"]


def test_cancel(working_team: Team, receiver: ScriptedReceiver) -> None:
    """What waits for its next attempt is called off; what has ended can't be."""
    team = working_team
    receiver.play([respond(503, {"Retry-After": "600"})])
    channel = hook(team, receiver.url)
    client = team.client()
    client.ok("POST", "/runs", {"name": "Checkout"})
    wait_until(lambda: client.ok("GET", f"/channels/{channel}/deliveries")["items"][0]["attempt_count"] > 0, timeout=15)
    [pending] = client.ok("GET", f"/channels/{channel}/deliveries")["items"]
    path = f"/deliveries/{pending['id']}"
    assert "Retrying" in team.owner.get(path).words

    answer = team.owner.post(f"{path}/cancel", {}, of=path)
    again = team.owner.post(f"{path}/cancel", {}, of=path)

    assert answer.location == f"{path}?done=cancelled"
    assert "Cancelled. No more attempts will be made." in team.owner.get(answer.location).words
    assert again.status == 409


def test_filters_and_chart(working_team: Team, receiver: ScriptedReceiver) -> None:
    """Channel, state, event and time narrow the log; the chart counts what became of all, and has its table."""
    team = working_team
    first, second = hook(team, receiver.url, "One"), hook(team, receiver.url, "Two", enabled=False)
    team.client().ok("POST", "/runs", {"name": "Checkout"})
    [delivery] = wait_for_deliveries(team, first, "delivered")
    path = f"{team.path}/deliveries"

    for query, found in (
        (f"channel_id={first}", True),
        (f"channel_id={second}", False),
        ("status=delivered", True),
        ("status=failed", False),
        ("event=test.started", True),
        ("event=test.finished", False),
        ("since=2020-01-01T00:00", True),
        ("until=2020-01-01T00:00", False),
        ("period=week", True),
    ):
        page = team.owner.get(f"{path}?{query}")
        assert rows(page) == ([delivery["id"]] if found else []), query
    page = team.owner.get(path)
    assert "Delivered 1" in page.words
    assert page.markup.count('<tr><th scope="row"><time') == 24
    assert page.text.count('<rect class="good"') == 1
    assert " UTC: 1 delivered" in page.words


@pytest.mark.parametrize("query", ["status=lost", "event=x", "since=soon", "cursor=%21"])
def test_filters_that_name_nothing(team: Team, query: str) -> None:
    """The page says what is wrong and shows the log."""
    page = team.owner.get(f"{team.path}/deliveries?{query}")
    assert page.status == 422
    assert 'role="alert"' in page.text


def test_older_deliveries(team: Team, receiver: ScriptedReceiver) -> None:
    """More than a page has leads on, to the end."""
    hook(team, receiver.url)
    client = team.client()
    for number in range(52):
        client.ok("POST", "/runs", {"name": f"Run {number}"})

    page = team.owner.get(f"{team.path}/deliveries")
    older = re.search(r'<a href="([^"]*cursor=[^"]*)">Older deliveries', page.text)
    assert older is not None
    rest = team.owner.get(older[1].replace("&amp;", "&"))

    assert (len(rows(page)), len(rows(rest))) == (50, 2)
    assert not set(rows(page)) & set(rows(rest))


def test_live(working_team: Team, receiver: ScriptedReceiver) -> None:
    """A delivery appears in the open log, and what comes of it in its open page."""
    team = working_team
    hook(team, receiver.url)
    with open_stream(team.owner, f"{team.path}/deliveries/live") as events:
        run = team.client().ok("POST", "/runs", {"name": "Checkout"})["id"]
        while (event := events.next()) is not None and "Delivered 1" not in event.data:
            pass
        assert event is not None
        assert (event.name, "csrf" in event.data) == ("log", False)
    [delivery] = team.client().ok("GET", f"/runs/{run}/deliveries")["items"]
    with open_stream(team.owner, f"/deliveries/{delivery['id']}/live") as events:
        first = events.next()
        assert first is not None
        assert (first.name, "csrf" in first.data) == ("delivery", False)
        assert "Delivered" in first.data


def test_a_member_sees_deliveries_of_own_runs_without_bodies(working_team: Team, receiver: ScriptedReceiver) -> None:
    """Whether it arrived, not what was said or where to; no log; no form is answered; told whom to ask."""
    team = working_team
    channel = hook(team, f"{receiver.url}secretpath")
    team.client().ok("POST", "/runs", {"name": "Checkout"})
    [delivery] = wait_for_deliveries(team, channel, "delivered")
    path = f"/deliveries/{delivery['id']}"
    assert team.member.get(path).status == 404
    team.assign(Role.MEMBER)

    page = team.member.get(path)

    assert "test.started to Gate" in page.words
    assert "load_test_run_id" not in page.text
    assert "127.0.0.1" not in page.text.replace(team.site.url, "")
    assert "Only the owner and admins can redeliver this." in page.words
    for action in ("redeliver", "cancel"):
        assert team.member.post(f"{path}/{action}", {}, of=path).status == 403
    for log in (f"{team.path}/deliveries", f"{team.path}/deliveries/live"):
        refused = team.member.get(log)
        assert refused.status == 403
        assert "Ask the owner or an admin" in refused.words


def test_strangers_and_other_sites(working_team: Team, site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Another organization's log and deliveries are not there; a form without its token does nothing."""
    team = working_team
    site.channel(receiver.url, site.their_client)
    run = site.their_client.ok("POST", "/runs", {"name": "Theirs"})["id"]
    theirs = site.their_client.ok("GET", f"/runs/{run}/deliveries")["items"][0]["id"]
    channel = hook(team, receiver.url)
    team.client().ok("POST", "/runs", {"name": "Ours"})
    ours = wait_for_deliveries(team, channel, "delivered")[0]["id"]
    log = f"/organizations/{site.theirs.organization_id}/deliveries"
    for path in (f"/deliveries/{theirs}", f"/deliveries/{theirs}/live", log, f"{log}/live", "/deliveries/nonsense"):
        assert team.owner.get(path).status == 404, path
    for action in ("redeliver", "cancel"):
        assert team.owner.post(f"/deliveries/{theirs}/{action}", {}, of="/organizations").status == 404
        assert team.owner.send("POST", f"/deliveries/{ours}/{action}", {}).status == 403
    assert Browser(site.url).get(f"/deliveries/{theirs}").location.startswith("/login?next=")
