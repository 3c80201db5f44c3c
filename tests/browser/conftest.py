"""Tabs of a real Chromium; a test has failed if one of its tabs noted a problem."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.tab import Tab, chromium
from tests.support.chromium import MISSING, find_chromium

OpenTab = Callable[..., Tab]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a module."""
    if find_chromium() is None:
        pytest.skip(MISSING)
    with chromium() as running:
        yield running


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """Opens a tab at a server; ``script=False``: one where JavaScript is off."""
    tabs: list[Tab] = []

    def opened(url: str, *, script: bool = True, width: int = 1280) -> Tab:
        tabs.append(Tab(browser, url, script=script, width=width))
        return tabs[-1]

    yield opened
    problems = []
    for tab in tabs:
        tab.close()
        problems += tab.problems
    assert problems == []
