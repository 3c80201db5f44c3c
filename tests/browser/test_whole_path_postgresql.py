"""A new team's whole way in a real browser, on PostgreSQL."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.browser.site import running_site
from tests.browser.story import ONE_TRY, play
from tests.browser.tab import Tab, chromium
from tests.support.chromium import MISSING, find_chromium
from tests.support.server import run_loadbell, server_environment


def test_the_whole_way(postgres_url: str, tmp_path: Path) -> None:
    """As on SQLite. Chromium's driver holds an event loop, so it is opened once the database is there."""
    if find_chromium() is None:
        pytest.skip(MISSING)
    key = Fernet.generate_key().decode()
    environment = {**ONE_TRY, "LOADBELL_DATABASE_URL": postgres_url, "LOADBELL_SECRET_KEY": key}
    migrated = run_loadbell("migrate", environment=server_environment(tmp_path, environment))
    assert migrated.returncode == 0, migrated.stderr
    tabs: list[Tab] = []
    with ExitStack() as stack:
        site = stack.enter_context(running_site(tmp_path, environment))
        browser = stack.enter_context(chromium())

        def new_tab() -> Tab:
            tabs.append(Tab(browser, site.url))
            return tabs[-1]

        play(site, new_tab, script=True)
    assert [problem for tab in tabs for problem in tab.problems] == []
