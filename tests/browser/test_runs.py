"""Runs in a real browser: they appear, change and are aborted, with scripts and without."""

from pathlib import Path

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.site import running_site
from tests.support.server import Client, set_up


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_run_appears_and_is_aborted(open_tab: OpenTab, tmp_path: Path, *, script: bool) -> None:
    """A run that is reported stands in the list, is asked to stop there, and is seen to end.

    With script the open page shows each change by itself, and keeps the focus; without it when it is loaded again.
    """
    body = set_up(tmp_path)
    with running_site(tmp_path) as site:
        client, tab = Client(site.url, body["token"]), open_tab(site.url, script=script)

        def look_again() -> None:
            if not script:
                tab.page.reload()

        tab.sign_in("owner@example.org", body["password"])
        tab.page.get_by_role("heading", name="No runs yet").wait_for()
        run = client.ok("POST", "/runs", {"name": "Checkout flow", "watchdog_s": 600})["id"]
        look_again()
        link = tab.page.get_by_role("link", name="Checkout flow")
        link.focus()
        client.ok("POST", "/runs", {"name": "Login spike"})
        look_again()
        tab.page.get_by_role("link", name="Login spike").wait_for()
        if script:
            assert f"run-{run}" == tab.page.evaluate("document.activeElement.id")

        link.click()
        tab.page.get_by_role("button", name="Abort", exact=True).click()
        tab.page.get_by_role("button", name="Abort run").click()
        tab.page.get_by_text("Stop requested.").wait_for()
        tab.page.locator(".verdict").get_by_text("Aborting by user").wait_for()
        assert client.ok("POST", f"/runs/{run}/heartbeat", {})["abort"]
        client.ok("PATCH", f"/runs/{run}", {"status": 6})
        look_again()
        tab.page.locator(".verdict").get_by_text("Aborted by user").wait_for()
        assert 0 == tab.page.get_by_role("button", name="Abort", exact=True).count()
        tab.page.close()  # before the server, or the stream breaks
