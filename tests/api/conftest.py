"""The served API on each engine, once for each module: its tests share it and leave each other's things alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from loadbell.testing.receiver import ScriptedReceiver
from tests.api.site import ApiSite, served
from tests.support.postgres import Databases
from tests.support.stores import postgres_template, sqlite_template

__all__ = ["postgres_template", "sqlite_template"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated, empty database for the tests of one module."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = tmp_path_factory.mktemp("api") / "loadbell.sqlite3"
        shutil.copy(template, path)
        yield f"sqlite:///{quote(str(path))}"
        return
    databases: Databases = request.getfixturevalue("postgres_databases")
    url = databases.create(request.getfixturevalue("postgres_template"))
    yield url
    databases.drop(url)


@pytest.fixture(scope="module")
def site(module_store: str) -> Iterator[ApiSite]:
    """The API with its worker."""
    with served(module_store) as site:
        yield site


@pytest.fixture(scope="module")
def still_site(module_store: str) -> Iterator[ApiSite]:
    """The API without a worker: what is pending stays pending."""
    with served(module_store, with_worker=False) as site:
        yield site


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    """A receiver that answers 200 to everything."""
    with ScriptedReceiver() as receiver:
        yield receiver
