"""Signing in and out by the pages, over HTTP."""

import json
import re
from collections.abc import Callable

import pytest

from tests.api.site import ApiSite
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, Person

STRANGE = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "javascript:alert(1)",
    "account",
    "",
    "/a\r\nSet-Cookie: x=y",
]


def test_signing_in_goes_back_to_where_one_came_from(browser: Browser, person: Person) -> None:
    """A page that needs a session leads to the form, and the form back to the page."""
    turned = browser.get("/account")
    assert (turned.status, turned.location) == (303, "/login?next=/account")

    form = browser.get(turned.location)
    answer = browser.sign_in(person.email.upper(), PASSWORD, form.hidden("next"))

    assert (answer.status, answer.location) == (303, "/account")
    assert person.email in browser.get("/account").words


def test_the_cookie_is_out_of_reach(browser: Browser, person: Person) -> None:
    """The session's cookie is for this server's requests only: no script, no plain HTTP, no form of another site."""
    cookie = browser.sign_in(person.email, PASSWORD).set_cookies["loadbell_session"].lower()

    for part in ("httponly", "samesite=lax", "secure", "path=/", "max-age="):
        assert part in cookie
    assert "domain" not in cookie


@pytest.mark.parametrize("target", STRANGE)
def test_nobody_is_sent_to_another_site(browser: Browser, person: Person, target: str) -> None:
    """What is not a path of this server is not gone to."""
    answer = browser.sign_in(person.email, PASSWORD, target)

    assert (answer.status, answer.location) == (303, "/")
    assert "x" not in answer.set_cookies


def test_a_wrong_password_and_an_unknown_address_read_alike(browser: Browser, person: Person) -> None:
    """The page keeps the address, never the password, and does not tell whether there is such a person."""
    wrong = browser.sign_in(person.email, "not the password")
    unknown = browser.sign_in(f"x{person.email}", "not the password")

    assert wrong.status == unknown.status == 401
    assert "www-authenticate" not in wrong.headers
    assert wrong.words == unknown.words
    assert 'role="alert"' in wrong.text
    assert f'value="{person.email}"' in wrong.text
    assert "not the password" not in wrong.text
    assert "loadbell_session" not in browser.cookies


def test_too_many_attempts_have_to_wait(browser: Browser, person: Person) -> None:
    """The page says how long, also by Retry-After, even to the right password."""
    while browser.sign_in(person.email, "not the password").status == 401:
        pass

    answer = browser.sign_in(person.email, PASSWORD)

    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Wait" in answer.words


def test_signing_in_rotates_the_session(signed_in: Browser, person: Person, still_site: ApiSite) -> None:
    """The session that a browser had is over once it has signed in again."""
    former = signed_in.cookies["loadbell_session"]
    token = signed_in.get("/account").hidden("csrf_token")

    answer = signed_in.send(
        "POST", "/login", {"email": person.email, "password": PASSWORD, "csrf_token": token, "next": "/"}
    )

    assert answer.status == 303
    assert signed_in.cookies["loadbell_session"] != former
    other = Browser(still_site.url)
    other.cookies["loadbell_session"] = former
    assert other.get("/account").status == 303


def test_signing_out_ends_the_session(signed_in: Browser, still_site: ApiSite) -> None:
    """The cookie is gone from the browser, and worth nothing to whoever kept it."""
    former = signed_in.cookies["loadbell_session"]

    answer = signed_in.post("/logout", {}, of="/organizations")

    assert (answer.status, answer.location) == (303, "/login")
    assert "loadbell_session" not in signed_in.cookies
    other = Browser(still_site.url)
    other.cookies["loadbell_session"] = former
    assert other.get("/").location == "/login"
    answer = other.send("POST", "/logout", {})
    assert (answer.status, answer.location, answer.set_cookies) == (303, "/login", {})


def test_no_other_site_signs_anybody_out(signed_in: Browser, still_site: ApiSite) -> None:
    """A form of another site comes without the cookie, as SameSite wants it: its answer takes none away either."""
    for site in ("cross-site", "same-site"):
        stranger = Browser(still_site.url).send("POST", "/logout", {}, {"Sec-Fetch-Site": site})
        with_cookie = signed_in.send("POST", "/logout", {}, {"Sec-Fetch-Site": site})
        assert [(403, {})] * 2 == [(page.status, page.set_cookies) for page in (stranger, with_cookie)]
    old_browser = Browser(still_site.url).send("POST", "/logout", {})

    assert (old_browser.status, old_browser.set_cookies) == (303, {})
    assert signed_in.get("/account").status == 200


def test_whoever_is_signed_in_needs_no_form(signed_in: Browser) -> None:
    """/login leads on at once."""
    assert signed_in.get("/login?next=/account").location == "/account"


def test_no_cookie_opens_the_api(signed_in: Browser) -> None:
    """A page's cookie is no credential at /api, and an API token in it none for the pages."""
    assert signed_in.get("/api/v1/account").status == 401


def test_an_api_token_in_the_cookie_opens_nothing(browser: Browser, still_site: ApiSite) -> None:
    """Only sessions open pages."""
    browser.cookies["loadbell_session"] = still_site.ours.token

    assert browser.get("/").location == "/login"


def test_the_theme_is_kept(signed_in: Browser) -> None:
    """A theme that was chosen stays; any other word is the system's again."""
    assert "data-theme" not in signed_in.get("/organizations").text

    answer = signed_in.post("/theme", {"theme": "dark", "next": "/account"}, of="/account")
    assert (answer.status, answer.location) == (303, "/account")
    assert '<html lang="en" data-theme="dark">' in signed_in.get("/account").text

    signed_in.post("/theme", {"theme": 'pink" onload=', "next": "https://evil.example"}, of="/organizations")
    assert "data-theme" not in signed_in.get("/organizations").text


def test_refusals_are_pages_for_people_and_problems_for_programs(browser: Browser) -> None:
    """What is not there is told in HTML to a browser, and as before below /api and to whoever asks for no HTML."""
    page = browser.get("/nothing/here")
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "This URL doesn't exist." in page.words

    for path, accept in (("/api/v1/nothing", "text/html"), ("/nothing", "application/json")):
        problem = browser.get(path, Accept=accept)
        assert json.loads(problem.text)["code"] == "not_found"
    wrong = browser.send("PUT", "/login", {})
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


def test_a_new_browser_is_not_remembered_for_looking(new_person: Callable[[], Person], browser: Browser) -> None:
    """Whoever only looks gets one cookie, which names nobody and ends with the browser."""
    page = browser.get("/login")

    assert set(page.set_cookies) == {"__Host-loadbell_visitor"}
    assert not re.search("max-age|expires", page.set_cookies["__Host-loadbell_visitor"].lower())
    assert browser.get("/login").set_cookies == {}


def test_no_neighbouring_host_can_choose_a_visitors_cookie(browser: Browser) -> None:
    """Its name and attributes are those that browsers accept from this very host only."""
    line = browser.get("/login").set_cookies["__Host-loadbell_visitor"]
    attributes = [part.strip().lower() for part in line.split(";")[1:]]

    assert {"secure", "path=/"} <= set(attributes)
    assert not any(text.startswith("domain") for text in attributes)
    (value,) = browser.cookies.values()
    browser.cookies = {"loadbell_visitor": value}
    assert "__Host-loadbell_visitor" in browser.get("/login").set_cookies
