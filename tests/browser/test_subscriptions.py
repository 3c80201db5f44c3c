"""What a channel rings for, ticked by a person with a browser whose script runs, and by one whose doesn't."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator

from tests.browser.conftest import OpenTab
from tests.browser.site import Site, running_site
from tests.browser.tab import Tab
from tests.support.server import run_loadbell, server_environment

_EMAIL, _PASSWORD = "kim@example.org", "correct horse battery"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with an owner, for the tests of this module."""
    folder = tmp_path_factory.mktemp("subscriptions")
    items = ("setup", "--organization", "Acme", "--email", _EMAIL, "--password-stdin")
    process = run_loadbell(*items, environment=server_environment(folder), stdin=_PASSWORD + "\n")
    assert process.returncode == 0, process.stderr
    with running_site(folder) as running:
        yield running


def _channel_page(site: Site, tab: Tab, name: str) -> None:
    """Adds a Slack channel and opens what it rings for on its page."""
    tab.sign_in(_EMAIL, _PASSWORD)
    tab.go("/organizations/1/notifications")
    tab.page.get_by_label("Name", exact=True).fill(name)
    tab.page.get_by_label("URL", exact=True).last.fill(site.slack.webhook_url)
    tab.page.get_by_role("button", name="Add channel").click()
    tab.page.wait_for_url("**/channels/*")
    tab.page.get_by_text("Choose events, projects and triggers").click()


def _failed(tab: Tab) -> Locator:
    """The box of the result Failed."""
    return tab.page.get_by_role("group", name="Results").get_by_label("Failed", exact=True)


def _save(tab: Tab, words: str) -> None:
    tab.page.get_by_role("button", name="Save", exact=True).click()
    tab.page.get_by_text(words, exact=True).wait_for()


def test_a_tick_chooses_my_choice(site: Site, open_tab: OpenTab) -> None:
    """The radio moves at once, is saved so, and choosing another one unticks what would not be saved."""
    tab = open_tab(site.url)
    _channel_page(site, tab, "with script")
    mine, failed = tab.page.get_by_label("My choice"), _failed(tab)
    assert not mine.is_checked()
    failed.check()
    assert mine.is_checked()
    _save(tab, "Saved.")
    assert mine.is_checked()
    assert failed.is_checked()

    tab.page.get_by_label("Only on change").check()
    assert not failed.is_checked()
    _save(tab, "Saved.")
    assert tab.page.get_by_label("Only on change").is_checked()


def test_a_tick_counts_without_script(site: Site, open_tab: OpenTab) -> None:
    """The server takes what is ticked, and says what it saved."""
    tab = open_tab(site.url, script=False)
    _channel_page(site, tab, "without script")
    _failed(tab).check()
    _save(tab, "Saved as My choice because boxes were selected.")

    assert tab.page.get_by_label("My choice").is_checked()
    assert _failed(tab).is_checked()
