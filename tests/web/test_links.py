"""The links that come by mail or are handed over: invitations and password links, followed in a browser."""

import os
import re

import pytest
import structlog

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.accounts.invitations import invite
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Principal, Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.password_resets import insert_reset
from tests.api.conftest import NewStore
from tests.api.site import ApiSite, clock, served
from tests.support.stores import unit_of
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, Person

NEW_PASSWORD = "a new long password"


def _invite(site: ApiSite, email: str) -> str:
    """The path of an invitation's link."""
    ours = site.ours
    owner = Principal(ours.user_id, ours.organization_id, Role.OWNER, Scope.MANAGE, None, Trigger.UNKNOWN, None)

    async def work(tx: Transaction) -> str:
        invitation = await invite(
            unit_of(tx, owner), ours.organization_id, email=email, role=Role.ADMIN, project_ids=()
        )
        return invitation.url

    return site.do(work)


def _reset(site: ApiSite, person: Person, *, lasts: int = 60) -> str:
    """The path of a password link."""
    token = make_credential(Prefix.RESET, os.urandom)
    now = clock()
    site.do(
        lambda tx: insert_reset(
            tx, user_id=person.user_id, reset_hash=hash_credential(token), expires_at=now + lasts * SECOND
        )
    )
    return f"/reset-password/{token}"


@pytest.fixture
def email() -> str:
    """An address that nobody has used."""
    return f"{os.urandom(6).hex()}@example.org"


def test_a_new_person_joins_by_the_link(browser: Browser, still_site: ApiSite, email: str) -> None:
    """The page says who invites to what; name and password later, one is in, with a token that is shown once."""
    link = _invite(still_site, email)
    page = browser.get(link)
    assert (page.status, browser.get(link).status) == (200, 200)
    assert "Join Ours" in page.words
    assert "Ours invited you to join as admin." in page.words
    assert f'value="{email}"' in page.text

    joined = browser.post(link, {"name": "Mara Lind", "password": PASSWORD})

    assert joined.status == 200
    token = joined.text.split("<code>")[1].split("</code>")[0]
    assert still_site.client.__class__(still_site.url, token).call("GET", "/runs").status == 200
    words = browser.get("/organizations").words
    assert "Ours Admin" in words
    assert token not in browser.get("/account").text
    again = browser.get(link)
    assert (again.status, "Ask for a new one." in again.words) == (404, True)


def test_a_bad_name_or_password_uses_nothing_up(browser: Browser, still_site: ApiSite, email: str) -> None:
    """Both are told at their field, the name is kept to be corrected, the link stays good."""
    link = _invite(still_site, email)

    short = browser.post(link, {"name": "Mara", "password": "short"})
    long = browser.post(link, {"name": "x" * 201, "password": PASSWORD})

    assert (short.status, long.status) == (422, 422)
    assert 'id="password-wrong"' in short.text
    assert 'value="Mara"' in short.text
    assert "short" not in short.text.replace("shorter", "").replace("Password", "")
    assert 'id="name-wrong"' in long.text
    assert browser.post(link, {"name": "Mara", "password": PASSWORD}).status == 200


def test_an_existing_person_proves_the_password(browser: Browser, person: Person, still_site: ApiSite) -> None:
    """A wrong one is refused on the page; the right one makes a member and signs in."""
    still_site.sql("DELETE FROM members WHERE user_id = :id", id=person.user_id)
    link = _invite(still_site, person.email)
    assert "You already have an account." in browser.get(link).words

    wrong = browser.post(link, {"password": "not the password"})
    assert wrong.status == 401
    assert f"Wrong password for {person.email}." in wrong.words
    assert "loadbell_session" not in browser.cookies

    assert browser.post(link, {"password": PASSWORD}).status == 200
    assert person.email in browser.get("/account").words


def test_joining_as_somebody_else_changes_who_is_signed_in(
    signed_in: Browser, person: Person, still_site: ApiSite, email: str
) -> None:
    """The page says so before, and the former session is over afterwards."""
    link, former = _invite(still_site, email), signed_in.cookies["loadbell_session"]
    assert f"Joining signs you in as {email} instead." in signed_in.get(link).words

    signed_in.post(link, {"name": "Mara", "password": PASSWORD})

    assert f"You're signed in as {email}" in signed_in.get("/account").words
    other = Browser(still_site.url)
    other.cookies["loadbell_session"] = former
    assert other.get("/").status == 303


def test_a_password_link_sets_another_password(signed_in: Browser, person: Person, still_site: ApiSite) -> None:
    """It is good once; everybody who was signed in is signed out, and the new password signs in."""
    link = _reset(still_site, person)
    browser = Browser(still_site.url)
    assert person.email in browser.get(link).text

    short = browser.post(link, {"password": "short"})
    assert (short.status, 'id="password-wrong"' in short.text) == (422, True)
    page = browser.post(link, {"password": NEW_PASSWORD})

    assert (page.status, page.location) == (303, "/login?notice=password")
    assert "Password changed. Sign in with your new password." in browser.get(page.location).words
    assert signed_in.get("/").status == 303
    assert browser.get(link).status == 404
    assert browser.sign_in(person.email, NEW_PASSWORD).status == 303


def test_an_old_link_is_told_as_such(browser: Browser, person: Person, still_site: ApiSite) -> None:
    """Links that are over, and those of other kinds, say what to do; no form is shown."""
    over = _reset(still_site, person, lasts=0)

    for path in (over, "/invitations/lbi_unknown", over.replace("reset-password", "invitations")):
        page = browser.get(path)
        assert page.status == 404
        assert "is no longer valid" in page.words
        assert re.search(r"(Request|Ask for) a new one\.", page.words)
        assert "<form" not in page.text


def test_a_server_without_mail_says_whom_to_ask(new_store: NewStore) -> None:
    """There is no form that could not work."""
    with served(new_store(), with_worker=False, settle=False, sends_mail=False) as site:
        page = Browser(site.url).get("/forgot-password")

    assert "loadbell users reset-password" in page.words
    assert "<form" not in page.text


def test_asking_for_a_link_never_tells_who_has_an_account(new_store: NewStore, email: str) -> None:
    """The page reads the same for every address; only the known one gets mail."""
    with served(new_store(), with_worker=False) as site:
        browser = Browser(site.url)
        known = browser.post("/forgot-password", {"email": "Ann@example.org"})
        unknown = browser.post("/forgot-password", {"email": email})
        mails = site.contents()["mails"]
        while (page := browser.post("/forgot-password", {"email": email})).status == 200:
            pass

    assert known.status == unknown.status == 200
    assert known.words.replace("Ann@example.org", "") == unknown.words.replace(email, "")
    assert ["ann@example.org" in row for row in mails] == [True]
    assert (page.status, "Wait" in page.words) == (429, True)


def test_no_log_line_holds_a_links_secret(browser: Browser, still_site: ApiSite, email: str) -> None:
    """Not even that of a request that fails."""
    link = _invite(still_site, email)
    still_site.sql("UPDATE invitations SET role = 'nobody' WHERE email = :email", email=email)
    with structlog.testing.capture_logs() as lines:
        page = browser.get(link)

    assert page.status == 500
    assert page.headers["x-request-id"] in page.words
    assert any(line.get("path") == "/invitations/lbi_…" for line in lines)
    assert link.rpartition("/")[2] not in str(lines)
