"""A new team's whole way in a real browser, on SQLite: with scripts and without."""

from pathlib import Path

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.site import running_site
from tests.browser.story import ONE_TRY, play


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_the_whole_way(open_tab: OpenTab, tmp_path: Path, *, script: bool) -> None:
    """From the first visit to a redelivered message; open pages change by themselves, or when they are loaded again."""
    with running_site(tmp_path, ONE_TRY) as site:
        play(site, lambda: open_tab(site.url, script=script), script=script)
