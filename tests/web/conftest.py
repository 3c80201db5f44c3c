"""The served pages on each engine, once for each module, with a person who can sign in."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from loadbell.domain.orgs import Role
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import insert_member
from loadbell.store.users import insert_user
from tests.api.conftest import _quiet, new_store, receiver, site, still_site
from tests.api.site import ApiSite
from tests.web.browser import Browser
from tests.web.team import PASSWORD, PASSWORD_HASH, Team

__all__ = [
    "PASSWORD",
    "PASSWORD_HASH",
    "_quiet",
    "new_store",
    "receiver",
    "site",
    "still_site",
]


@dataclass(frozen=True)
class Person:
    """Somebody with a password, a member of ours."""

    user_id: int
    email: str
    password: str = PASSWORD


@pytest.fixture
def browser(still_site: ApiSite) -> Browser:
    """A browser that was never here."""
    return Browser(still_site.url)


@pytest.fixture
def new_person(still_site: ApiSite) -> Callable[[], Person]:
    """Makes people; a failed sign-in of one leaves the others alone."""

    def make() -> Person:
        email = f"{os.urandom(6).hex()}@example.org"

        async def work(tx: Transaction) -> int:
            user_id = await insert_user(tx, email=email, name="Mara Lind", password_hash=PASSWORD_HASH)
            await insert_member(tx, still_site.ours.organization_id, user_id, Role.MEMBER)
            return user_id

        return Person(still_site.do(work), email)

    return make


@pytest.fixture
def person(new_person: Callable[[], Person]) -> Person:
    """Somebody."""
    return new_person()


@pytest.fixture
def signed_in(browser: Browser, person: Person) -> Browser:
    """The browser of ``person``."""
    page = browser.sign_in(person.email, person.password)
    assert page.status == 303, page.words
    return browser


@pytest.fixture
def team(still_site: ApiSite) -> Team:
    """An organization without a worker."""
    return Team(still_site)


@pytest.fixture
def working_team(site: ApiSite) -> Team:
    """An organization whose deliveries are made."""
    return Team(site)
