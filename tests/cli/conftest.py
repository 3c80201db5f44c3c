"""A server for the commands to ask."""

from collections.abc import Callable, Iterator

import pytest

from tests.api.site import ApiSite, served
from tests.support.commands import Completed, loadbell

Ask = Callable[..., Completed]


@pytest.fixture
def site(sqlite_store: str) -> Iterator[ApiSite]:
    """A server with its worker, and two organizations."""
    with served(sqlite_store) as site:
        yield site


@pytest.fixture
def ask(site: ApiSite) -> Ask:
    """Runs ``loadbell`` with the server's address and the owner's token, or what else is given."""

    def run(*words: str, **more: str) -> Completed:
        return loadbell(*words, **{"LOADBELL_URL": site.url, "LOADBELL_TOKEN": site.ours.token, **more})

    return run
