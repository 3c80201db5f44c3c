"""The first start by the pages, on a server that nobody has set up."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from loadbell.accounts.first_start import CODES_PER_NETWORK, setup_code
from tests.api.conftest import NewStore
from tests.api.site import ApiSite, served
from tests.web.browser import Browser, Page

PASSWORD = "correct horse battery"
SAID = {"organization": " Harbour Shop ", "name": "Mara Lind", "email": "Mara@example.org", "password": PASSWORD}


@pytest.fixture
def new_site(new_store: NewStore) -> Iterator[ApiSite]:
    """A server that only its own machine can reach, and nobody has set up."""
    with served(new_store(), with_worker=False, settle=False, base_url=None) as site:
        yield site


@pytest.fixture
def open_site(new_store: NewStore) -> Iterator[ApiSite]:
    """The same, where others can reach it."""
    with served(new_store(), with_worker=False, settle=False) as site:
        yield site


def _code(site: ApiSite) -> str:
    code = site.do(setup_code)
    assert code is not None
    return code


def test_everything_leads_to_the_first_start(new_site: ApiSite) -> None:
    """While there is nobody, / and the sign-in page lead to /setup, which asks for no code on one's own machine."""
    browser = Browser(new_site.url)

    assert browser.get("/").location == "/login"
    assert browser.get("/login").location == "/setup"
    page = browser.get("/setup")
    assert page.status == 200
    assert "Create the first account" in page.words
    assert 'name="code"' not in page.text


def test_the_first_person_owns_what_is_made(new_site: ApiSite) -> None:
    """The person is signed in and led on; there is no token that nobody knows; then the first start is over."""
    browser = Browser(new_site.url)

    answer = browser.post("/setup", SAID)

    assert (answer.status, answer.location) == (303, "/welcome")
    assert "Harbour Shop Owner" in browser.get("/organizations").words
    account = browser.get("/account").text
    assert 'value="Mara Lind"' in account
    assert "mara@example.org" in account
    assert new_site.contents()["tokens"] == []
    assert Browser(new_site.url).get("/setup").location == "/login"
    assert Browser(new_site.url).sign_in("mara@example.org", PASSWORD).status == 303


def test_a_second_setup_changes_nothing(new_site: ApiSite) -> None:
    """Whoever has the form still open is told so, and led to where one signs in."""
    late = Browser(new_site.url)
    token = late.get("/setup").hidden("csrf_token")
    assert Browser(new_site.url).post("/setup", SAID).status == 303
    before = new_site.contents()

    answer = late.send("POST", "/setup", {**SAID, "email": "eve@example.org", "csrf_token": token})

    assert answer.status == 409
    assert "loadbell is already set up. Nothing was changed." in answer.words
    assert 'href="/login"' in answer.text
    assert "loadbell_session" not in answer.set_cookies
    assert new_site.contents() == before


def test_of_two_at_once_one_wins(new_site: ApiSite) -> None:
    """One is signed in as the owner of the only organization; the other is told, as if it had come later."""
    browsers = [Browser(new_site.url) for _ in range(4)]
    tokens = [browser.get("/setup").hidden("csrf_token") for browser in browsers]

    def send(at: int) -> Page:
        body = {**SAID, "email": f"person{at}@example.org", "csrf_token": tokens[at]}
        return browsers[at].send("POST", "/setup", body)

    with ThreadPoolExecutor(len(browsers)) as threads:
        answers = list(threads.map(send, range(len(browsers))))

    assert sorted(answer.status for answer in answers) == [303, 409, 409, 409]
    stored = new_site.contents()
    assert {table: len(stored[table]) for table in ("users", "organizations", "projects", "sessions")} == {
        "users": 1, "organizations": 1, "projects": 1, "sessions": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("organization", " "),
        ("organization", "x" * 201),
        ("name", ""),
        ("email", "mara"),
        ("password", "short"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(new_site: ApiSite, field: str, value: str) -> None:
    """Nothing is made; what was typed is kept, but never the password."""
    page = Browser(new_site.url).post("/setup", {**SAID, field: value})

    assert page.status == 422
    assert f'id="{field}-wrong"' in page.text
    assert "Nothing was changed. Correct this:" in page.words
    body = {name: text for name, text in SAID.items() if name not in {field, "password"}}
    assert all(f'value="{text}"' in page.text for text in body.values())
    assert PASSWORD not in page.text
    assert new_site.contents()["users"] == []


def test_the_form_proves_where_it_comes_from(new_site: ApiSite) -> None:
    """Another site can't set a new server up by the browser of whoever has just started it."""
    assert Browser(new_site.url).send("POST", "/setup", SAID).status == 403
    assert Browser(new_site.url).post("/setup", SAID, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert new_site.contents()["users"] == []


def test_where_others_can_reach_it_the_code_is_asked_for(open_site: ApiSite) -> None:
    """Without it, or with another, nothing is made; however it is typed, the right one opens. No page shows it."""
    browser, code = Browser(open_site.url), _code(open_site)
    page = browser.get("/setup")
    assert 'name="code"' in page.text
    assert code not in page.text

    for wrong in ({}, {"code": ""}, {"code": "AAAA-AAAA-AAAA"}, {"code": code[:-1]}):
        answer = browser.post("/setup", {**SAID, **wrong})
        assert answer.status == 422
        assert 'id="code-wrong"' in answer.text
        assert code not in answer.text
    assert open_site.contents()["users"] == []
    assert browser.post("/setup", {**SAID, "code": f" {code.replace('-', ' ').lower()}"}).status == 303
    assert open_site.do(setup_code) is None


def test_codes_are_not_guessed(open_site: ApiSite) -> None:
    """After a few wrong ones even the right one has to wait; that something else was wrong costs no attempt."""
    browser, code = Browser(open_site.url), _code(open_site)
    for _ in range(2 * CODES_PER_NETWORK.burst):
        assert browser.post("/setup", {**SAID, "code": code, "name": ""}).status == 422
    for _ in range(CODES_PER_NETWORK.burst):
        assert browser.post("/setup", {**SAID, "code": os.urandom(6).hex()}).status == 422

    answer = browser.post("/setup", {**SAID, "code": code})

    assert answer.status == 429
    assert "Too many attempts." in answer.words
    assert int(answer.headers["retry-after"]) > 0
    assert open_site.contents()["users"] == []
