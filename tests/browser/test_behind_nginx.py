"""A new team's first minutes behind a real nginx that serves loadbell under a path, as docs/operations.md has it."""

import json
from pathlib import Path

import pytest

from loadbell.testing import FakeSlack
from tests.browser.conftest import OpenTab
from tests.support.nginx import MISSING, Nginx, find_nginx, free_port
from tests.support.server import Client, Server, run_loadbell
from tests.support.snippets import snippets
from tests.support.tree import ROOT

_UPSTREAM = "http://127.0.0.1:8025"
_OWNER = {
    "Organization": "Harbour Shop", "Your name": "Mara Lind", "E-mail address": "mara@example.org",
    "Password": "correct horse battery",
}  # fmt: skip


def _location() -> str:
    """The documented lines."""
    (text,) = (snippet.code for snippet in snippets(ROOT / "docs/operations.md") if snippet.name == "nginx")
    assert _UPSTREAM in text
    return text


@pytest.mark.skipif(find_nginx() is None, reason=MISSING)
@pytest.mark.parametrize("strips", [True, False], ids=["stripped", "kept"])
def test_the_first_minutes_under_a_path(open_tab: OpenTab, tmp_path: Path, *, strips: bool) -> None:
    """Setup with the code, a channel, Test Hook, a run that changes while one looks, its link in Slack, signing out.

    Whether nginx takes the path away or not; the tab notes every request that leads out of the path, and every failed.
    """
    port = free_port()
    base = f"http://127.0.0.1:{port}/loadbell"
    settings = {"LOADBELL_BASE_URL": base, "LOADBELL_TRUSTED_PROXIES": "127.0.0.1"}
    slack = FakeSlack(per_second=1000, burst=1000)
    with slack, Server(tmp_path / "data", settings) as server:
        assert server.process.stdout is not None
        code = server.process.stdout.readline().strip().rpartition(" ")[2]
        location = _location().replace(f"{_UPSTREAM}/", f"{server.url}/" if strips else server.url)
        with Nginx(tmp_path / "nginx", port, location):
            tab = open_tab(base)
            page = tab.page
            page.goto(f"{base}/")
            for label, text in {"Setup code": code, **_OWNER}.items():
                page.get_by_label(label).fill(text)
            page.get_by_role("button", name="Set up loadbell").click()
            page.get_by_role("button", name="Create token").click()
            token = page.locator("#token").inner_text()

            page.get_by_role("link", name="Notifications").click()
            section = page.get_by_role("region", name="Slack", exact=True)
            section.get_by_label("Slack URL").fill(slack.webhook_url)
            section.get_by_role("button", name="Save").click()
            section.get_by_text("Saved. This channel is active.").wait_for()
            section.get_by_role("button", name="Test Hook").click()
            section.get_by_text("Check that the message arrived.").wait_for()

            client = Client(server.url, token)
            run = client.ok("POST", "/runs", {"name": "Checkout flow"})
            page.goto(run["url"])
            page.locator(".verdict").get_by_text("Running").wait_for()
            client.ok("PATCH", f"/runs/{run['id']}", {"status": 3, "result": "passed"})
            page.locator(".verdict").get_by_text("Finished").wait_for()  # by itself, through nginx
            while len(slack.posted) < 3:  # the test's own timeout bounds it
                page.wait_for_timeout(50)
            program = {**server.environment, "LOADBELL_URL": base, "LOADBELL_TOKEN": token}
            process = run_loadbell("runs", "list", "--json", environment=program)

            page.get_by_role("button", name="User menu").click()
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url(f"{base}/login")
            page.goto(run["url"])
            page.get_by_label("E-mail").fill(_OWNER["E-mail address"])
            page.get_by_label("Password").fill(_OWNER["Password"])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(run["url"])
            page.close()  # before the server, or the stream breaks

    assert run["url"] == f"{base}/runs/{run['id']}"
    assert run["url"] in json.dumps(slack.posted[-1])
    assert run["url"] in process.stdout
