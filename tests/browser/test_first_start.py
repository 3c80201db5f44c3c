"""From a server that nobody has set up to the first run, in a real browser: with scripts and without."""

from pathlib import Path

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.site import running_site
from tests.support.server import Client


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_new_server_is_set_up_and_sees_its_first_run(open_tab: OpenTab, tmp_path: Path, *, script: bool) -> None:
    """The first visit leads to the form, the form to the commands, and the line that waits to the run.

    With script it does so by itself, without it when one loads the page again.
    """
    with running_site(tmp_path) as site:
        tab = open_tab(site.url, script=script)
        tab.go("/")
        for label, text in (
            ("Organization", "Harbour Shop"),
            ("Your name", "Mara Lind"),
            ("E-mail address", "mara@example.org"),
            ("Password", "correct horse battery"),
        ):
            tab.page.get_by_label(label).fill(text)
        tab.page.get_by_role("button", name="Set up loadbell").click()
        tab.page.get_by_role("heading", name="Send your first run").wait_for()
        tab.page.get_by_role("button", name="Create token").click()
        token = tab.page.locator("#token").inner_text()
        assert token in tab.page.locator("#wrap-code").inner_text()
        if script:
            tab.page.locator("section", has=tab.page.locator("#token")).get_by_role("button", name="Copy").click()
            tab.page.get_by_role("button", name="Copied").wait_for()
            assert token == tab.page.evaluate("navigator.clipboard.readText()")
        tab.page.get_by_text("Waiting for the first run").wait_for()

        run = Client(site.url, token).ok("POST", "/runs", {"name": "Checkout flow"})
        if not script:
            tab.go("/welcome")

        link = tab.page.get_by_role("link", name="Checkout flow")
        link.wait_for()
        assert f"/runs/{run['id']}" == link.get_attribute("href")
        tab.page.close()  # before the server, or the stream breaks
