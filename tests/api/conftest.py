"""The served API on each engine, once for each module: its tests share it and leave each other's things alone."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from loadbell.testing.receiver import ScriptedReceiver
from tests.api.site import ApiSite, served
from tests.support.postgres import Databases

NewStore = Callable[[], str]


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """The server logs as it does by default, without a line for each request."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def new_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewStore]:
    """Makes migrated, empty databases for the tests of one module; gives their URLs."""
    items: list[str] = []
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")

        def copy() -> str:
            path = tmp_path_factory.mktemp("api") / "loadbell.sqlite3"
            shutil.copy(template, path)
            return f"sqlite:///{quote(str(path))}"

        yield copy
        return
    databases: Databases = request.getfixturevalue("postgres_databases")
    name: str = request.getfixturevalue("postgres_template")

    def create() -> str:
        items.append(databases.create(name))
        return items[-1]

    yield create
    for url in items:
        databases.drop(url)


@pytest.fixture(scope="module")
def site(new_store: NewStore) -> Iterator[ApiSite]:
    """The API with its worker."""
    with served(new_store()) as site:
        yield site


@pytest.fixture(scope="module")
def still_site(new_store: NewStore) -> Iterator[ApiSite]:
    """The API without a worker: what is pending stays pending."""
    with served(new_store(), with_worker=False) as site:
        yield site


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    """A receiver that answers 200 to everything."""
    with ScriptedReceiver() as receiver:
        yield receiver
