"""What of a delivery each role sees over REST: status and reason for all, the exchange for the leads."""

from collections.abc import Iterator
from typing import Any

import pytest

from loadbell.domain.orgs import Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.testing.receiver import ScriptedReceiver, respond
from tests.api.site import ApiSite
from tests.support.server import Client, wait_until

OURS, THEIRS = b"sentinel-ours", b"sentinel-theirs"
PATH = "v2/room/1/notification?auth_token=x"


@pytest.fixture
def failed_delivery(site: ApiSite) -> Iterator[tuple[str, str]]:
    """A delivery that failed with a talkative answer, of a HipChat channel, which quotes it; its path and its run's."""
    headers = {
        "Location": f"https://{THEIRS.decode()}.example/",
        "Set-Cookie": f"sid={THEIRS.decode()}",
        "X-Note": "hi",
    }
    body = b'{"error": {"code": 404, "type": "x", "message": "No room ' + THEIRS + b'"}}'
    with ScriptedReceiver([respond(404, headers, body)]) as receiver:
        channel = site.channel(f"{receiver.url}{PATH}", kind="hipchat", name="Gate")
        run = site.client.ok("POST", "/runs", {"name": f"Test {OURS.decode()}"})
        text = f"/runs/{run['id']}/deliveries"
        of = f"/channels/{channel['id']}/deliveries"
        wait_until(lambda: [one["status"] for one in site.client.ok("GET", of)["items"]] == ["failed"])
        yield f"/deliveries/{site.client.ok('GET', of)['items'][0]['id']}", text


def _project_token(site: ApiSite, scope: Scope) -> Client:
    made = site.client.ok(
        "POST", "/tokens", {"name": "ci", "scope": scope.value, "project_id": site.ours.project_id, "trigger": "ci"}
    )
    return Client(site.url, made["token"])


def _attempt(client: Client, path: str) -> dict[str, Any]:
    (attempt,) = client.ok("GET", path)["attempts"]
    body: dict[str, Any] = attempt
    return body


@pytest.mark.parametrize("who", ["member", "project token read", "project token manage"])
def test_who_may_not_read_the_log_sees_status_and_reason_only(
    site: ApiSite, failed_delivery: tuple[str, str], who: str
) -> None:
    """No header, body, address or message of the receiver's reaches a member or a token of one project."""
    path, listed = failed_delivery
    projects = (site.ours.project_id,)
    client = {
        "member": lambda: site.with_token(role=Role.MEMBER, projects=projects, trigger=Trigger.CI),
        "project token read": lambda: _project_token(site, Scope.READ),
        "project token manage": lambda: _project_token(site, Scope.MANAGE),
    }[who]()
    whole, attempt = client.ok("GET", path), _attempt(client, path)

    assert ("failed", "gone", "gone", 404) == (
        whole["status"], whole["reason"], attempt["reason"], attempt["status_code"],
    )  # fmt: skip
    assert "This webhook no longer exists." == whole["message"] == attempt["message"]
    assert {"method": "POST", "url": None, "headers": {}, "body": None} == attempt["request"]
    assert {"headers": {}, "body": None, "truncated": False} == attempt["response"]
    for place in (path, listed, f"/channels/{whole['channel_id']}", "/runs"):
        text = client.call("GET", place).body
        assert THEIRS not in text
        assert OURS not in text or place == "/runs"


@pytest.mark.parametrize("who", ["owner", "admin", "owner's read token"])
def test_the_leads_see_what_was_sent_and_answered(site: ApiSite, failed_delivery: tuple[str, str], who: str) -> None:
    """Owner and admins see headers, bodies and the receiver's words; but not the values of its own credentials."""
    path, text = failed_delivery
    client = {
        "owner": lambda: site.client,
        "admin": lambda: site.with_token(role=Role.ADMIN),
        "owner's read token": lambda: site.with_token(scope=Scope.READ),
    }[who]()
    attempt = _attempt(client, path)

    assert THEIRS.decode() in attempt["message"]
    assert THEIRS in client.call("GET", text).body
    assert THEIRS.decode() in attempt["response"]["body"]
    assert (f"https://{THEIRS.decode()}.example/", "…", "hi") == tuple(
        attempt["response"]["headers"][name] for name in ("Location", "Set-Cookie", "X-Note")
    )
    assert OURS.decode() in attempt["request"]["body"]


def test_others_see_nothing(site: ApiSite, failed_delivery: tuple[str, str]) -> None:
    """A report token is 403, the other organization and a member of another project 404, nobody 401."""
    path, text = failed_delivery
    stranger = site.with_token(role=Role.MEMBER)
    report = _project_token(site, Scope.REPORT)

    for place in (path, text):
        responses = [client.call("GET", place) for client in (report, site.their_client, stranger, site.nobody)]
        assert [403, 404, 404, 401] == [answer.status for answer in responses]
        assert all(THEIRS not in answer.body for answer in responses)


def test_a_pause_quotes_nobody(site: ApiSite, failed_delivery: tuple[str, str]) -> None:
    """Why a channel was paused is read by members and told to other channels: the receiver's words are not in it."""
    path, _ = failed_delivery
    channel = f"/channels/{site.client.ok('GET', path)['channel_id']}"
    wait_until(lambda: site.client.ok("GET", channel)["paused_reason"] is not None)
    reason = site.client.ok("GET", channel)["paused_reason"]

    assert THEIRS.decode() not in reason
    assert "The receiver answered 404 Not Found. This room doesn't exist." in reason
    assert THEIRS not in site.client.call("GET", f"/organizations/{site.ours.organization_id}/audit").body
