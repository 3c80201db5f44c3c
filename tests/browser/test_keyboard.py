"""What a person does with the keyboard alone."""

from collections.abc import Iterator

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.site import Site, running_site
from tests.browser.tab import Tab
from tests.support.server import run_loadbell, server_environment

_EMAIL, _PASSWORD = "kim@example.org", "correct horse battery"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with an owner, for the tests of this module."""
    folder = tmp_path_factory.mktemp("keyboard")
    items = ("setup", "--organization", "Acme", "--email", _EMAIL, "--password-stdin")
    process = run_loadbell(*items, environment=server_environment(folder), stdin=_PASSWORD + "\n")
    assert process.returncode == 0, process.stderr
    with running_site(folder) as running:
        yield running


@pytest.fixture
def tab(site: Site, open_tab: OpenTab) -> Tab:
    """Somebody who has signed in."""
    opened = open_tab(site.url)
    opened.sign_in(_EMAIL, _PASSWORD)
    return opened


def _press(tab: Tab, *keys: str) -> None:
    for key in keys:
        tab.page.keyboard.press(key)


def _focused(tab: Tab) -> str:
    name: str = tab.page.evaluate("(document.activeElement.ariaLabel || document.activeElement.textContent).trim()")
    return name


def _go_to(tab: Tab, name: str) -> None:
    """Presses Tab until the focus is on what has this name."""
    for _ in range(200):
        _press(tab, "Tab")
        if _focused(tab) == name:
            return
    pytest.fail(f"Tab never reaches {name}")


def test_signing_in_takes_no_mouse(site: Site, open_tab: OpenTab) -> None:
    """E-mail, Tab, password, Enter."""
    tab = open_tab(site.url)
    tab.go("/login")
    tab.page.get_by_label("E-mail").focus()
    tab.page.keyboard.type(_EMAIL)
    _press(tab, "Tab")
    tab.page.keyboard.type(_PASSWORD)
    _press(tab, "Enter")
    tab.page.wait_for_url(lambda url: "/login" not in url)

    assert tab.page.get_by_role("button", name="User menu").is_visible()


def test_the_first_stop_skips_to_the_content(tab: Tab) -> None:
    """Tab shows a link that leads past the bar on top; after it the next stop is in the content."""
    tab.go("/account")
    _press(tab, "Tab")
    shown = tab.page.evaluate("document.activeElement.getBoundingClientRect().top >= 0")
    assert ("Skip to content", True) == (_focused(tab), shown)
    _press(tab, "Enter", "Tab")

    assert tab.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_a_menu_opens_by_enter_and_closes_by_escape(tab: Tab) -> None:
    """Enter opens the user menu, Tab goes into it, Esc closes it and the focus is back on its button."""
    tab.go("/account")
    menu = tab.page.locator("#user-menu")
    _go_to(tab, "User menu")
    _press(tab, "Enter")
    assert menu.is_visible()
    _press(tab, "Tab")
    assert "Account" == _focused(tab)
    _press(tab, "Escape")

    assert not menu.is_visible()
    assert "User menu" == _focused(tab)


def test_the_theme_is_chosen_by_keyboard_and_stays(tab: Tab) -> None:
    """A chosen theme holds against the system's, on the same page and the next."""
    tab.page.emulate_media(color_scheme="light")
    tab.go("/account")
    light = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    _go_to(tab, "User menu")
    _press(tab, "Enter")
    _go_to(tab, "Dark")
    with tab.page.expect_navigation():
        _press(tab, "Enter")
    assert tab.page.url.endswith("/account")
    dark = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.go("/")

    assert light != dark
    assert dark == tab.page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_a_channel_is_tried_and_saved_without_a_mouse(site: Site, tab: Tab) -> None:
    """The URL, Tab to Test Hook, Enter; Tab to Save, Enter: the answers stand in place."""
    tab.go("/organizations")
    tab.page.get_by_role("link", name="Organization settings").press("Enter")
    tab.page.get_by_role("link", name="Notifications").press("Enter")
    section = tab.page.get_by_role("region", name="Slack", exact=True)
    section.get_by_label("Slack URL").focus()
    tab.page.keyboard.type(site.slack.webhook_url)
    _go_to(tab, "Test Hook")
    _press(tab, "Enter")
    section.get_by_text("Check that the message arrived, then press Save to keep this URL.").wait_for()

    section.get_by_label("Slack URL").focus()
    _go_to(tab, "Save")
    _press(tab, "Enter")

    section.get_by_text("Saved. This channel is active.").wait_for()
