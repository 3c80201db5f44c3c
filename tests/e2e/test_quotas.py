"""Quotas that the operator has set, as REST, the command line and k6 meet them."""

from pathlib import Path
from typing import Any

from tests.support.commands import loadbell
from tests.support.server import ALLOW_LOOPBACK, Client, Server, set_up
from tests.web.browser import Browser

ENVIRONMENT = {
    "LOADBELL_MAX_CHANNELS": "1", "LOADBELL_MAX_ORGANIZATIONS": "2", "LOADBELL_MAX_RUN_REPORTS_PER_MINUTE": "3",
    "LOADBELL_MAX_TEST_HOOKS_PER_MINUTE": "2", **ALLOW_LOOPBACK,
}  # fmt: skip


def test_organizations_and_test_hooks_have_quotas(tmp_path: Path) -> None:
    """A person's organizations are 409, on the page too; too many Test Hooks of an organization are 429, in words."""
    body = set_up(tmp_path)
    form: dict[str, Any] = {"kind": "webhook", "settings": {"url": "http://127.0.0.1:9/"}}
    with Server(tmp_path, ENVIRONMENT) as server:
        client, browser = Client(server.url, body["token"]), Browser(server.url)
        browser.sign_in("owner@example.org", body["password"])
        organizations = [client.call("POST", "/organizations", {"name": name}) for name in ("second", "third")]
        added = browser.post("/organizations", {"name": "third"})
        at = f"/organizations/{body['organization_id']}"
        hooks = [client.call("POST", f"{at}/channels/test", form) for _ in range(3)]
        other = Client(server.url, organizations[0].json["token"])
        others = other.call("POST", f"/organizations/{organizations[0].json['id']}/channels/test", form)
        pressed = browser.post(f"{at}/notifications/webhook/test", form["settings"], of=f"{at}/notifications")

    assert [201, 409] == [answer.status for answer in organizations]
    assert "LOADBELL_MAX_ORGANIZATIONS" in organizations[1].json["detail"]
    assert (409, True) == (added.status, "LOADBELL_MAX_ORGANIZATIONS" in added.text)
    assert [200, 200, 429] == [answer.status for answer in hooks]
    assert "LOADBELL_MAX_TEST_HOOKS_PER_MINUTE" in hooks[-1].json["detail"]
    assert 1 <= int(hooks[-1].headers["retry-after"]) <= 30
    assert 200 == others.status
    assert (429, True) == (pressed.status, "LOADBELL_MAX_TEST_HOOKS_PER_MINUTE" in pressed.text)


def test_the_operators_quotas_hold(tmp_path: Path) -> None:
    """Over a count it is 409 with the setting's name; too many reports are 429 with Retry-After, heartbeats are not."""
    body = set_up(tmp_path)
    new = {"kind": "webhook", "name": "r", "settings": {"url": "https://example.org/hook"}}
    words = ("channels", "add", "--kind", "webhook", "--name", "n", "--set", "url=https://example.org/hook")
    with Server(tmp_path, ENVIRONMENT) as server:
        client = Client(server.url, body["token"])
        at = f"/organizations/{body['organization_id']}/channels"
        response, refused = client.call("POST", at, new), client.call("POST", at, new)
        process = loadbell(*words, LOADBELL_URL=server.url, LOADBELL_TOKEN=body["token"])
        run = client.ok("POST", "/runs", {"name": "r"})
        reports = [client.call("PATCH", f"/runs/{run['id']}", {"note": "n"}) for _ in range(3)]
        alive = client.call("POST", f"/runs/{run['id']}/heartbeat", {})
        other = client.ok("POST", "/tokens", {"name": "another", "scope": "manage"})["token"]
        end = Client(server.url, other).call("PATCH", f"/runs/{run['id']}", {"status": 3})

    assert (201, 409) == (response.status, refused.status)
    for part in ("quota of channels (1)", "LOADBELL_MAX_CHANNELS", "operator"):
        assert part in refused.json["detail"]
        assert part in process.stderr
    assert 1 == process.returncode
    assert [200, 200, 429] == [report.status for report in reports]
    assert "rate_limited" == reports[-1].json["code"]
    assert 1 <= int(reports[-1].headers["retry-after"]) <= 20
    assert (200, 200) == (alive.status, end.status), "heartbeats and other tokens go on"
