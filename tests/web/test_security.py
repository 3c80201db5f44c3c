"""What every page promises to the browser, and what every form asks of it."""

import re
from collections.abc import Callable

import pytest

from tests.api.site import ApiSite
from tests.web.browser import Browser, Page
from tests.web.conftest import PASSWORD, Person

CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def _check_headers(page: Page) -> None:
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy == CSP
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.search(
        r"<script(?! src=\"/static/[^\"]+\" defer></script>)|<style|\sstyle=|\son[a-z]+=|javascript:|data:", page.text
    )


def test_every_page_is_guarded(signed_in: Browser, browser: Browser, still_site: ApiSite) -> None:
    """Pages, redirects and refusals have the same headers, and hold no script and no inline style."""
    visitor = Browser(still_site.url)
    for page in (
        visitor.get("/login"),
        visitor.get("/"),
        visitor.get("/forgot-password"),
        visitor.get("/invitations/lbi_unknown"),
        visitor.get("/reset-password/lbr_unknown"),
        visitor.get("/nothing"),
        visitor.send("POST", "/login", {}),
        signed_in.get("/"),
        signed_in.get("/organizations"),
        signed_in.get("/account"),
    ):
        _check_headers(page)


def test_static_files_are_kept_and_named_by_their_content(browser: Browser) -> None:
    """Their addresses change with them, so that a browser need not ask again; all that a page links is there."""
    links = re.findall(r'href="(/static/[^"]+)"', browser.get("/login").text)
    assert len(links) == 3
    theme = next(link for link in links if link.endswith("theme.css"))

    for link in [*links, theme.replace("theme", "pico.min")]:
        found = browser.get(link)
        assert found.status == 200, link
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["content-type"].startswith(("text/css", "image/svg+xml"))
    former = browser.get(re.sub("/static/[0-9a-f]+/", "/static/0000/", theme))
    assert (former.status, former.headers["cache-control"]) == (200, "no-store")
    assert browser.get(theme.replace("theme.css", "pico.LICENSE.md")).status == 404
    assert browser.get(theme.replace("theme.css", "..%2f__init__.py")).status == 404


@pytest.mark.parametrize("path", ["/account", "/account/password", "/account/sessions/1/end", "/logout", "/theme"])
def test_a_form_without_its_token_is_refused(
    signed_in: Browser, new_person: Callable[[], Person], still_site: ApiSite, path: str
) -> None:
    """No token, a wrong one, another session's and that of a visitor: 403, as a page, and nothing is changed."""
    other = Browser(still_site.url)
    visitors = other.get("/login").hidden("csrf_token")
    other.sign_in(new_person().email, PASSWORD)
    others = other.get("/account").hidden("csrf_token")
    before = still_site.contents()

    for fields in ({}, {"csrf_token": "wrong"}, {"csrf_token": "ä"}, {"csrf_token": others}, {"csrf_token": visitors}):
        page = signed_in.send("POST", path, {"name": "Eve", "theme": "dark", **fields})
        assert page.status == 403
        assert "Go back, load the page again" in page.words

    assert still_site.contents() == before
    assert "loadbell_theme" not in signed_in.cookies


def test_a_visitors_form_without_its_token_is_refused(browser: Browser, person: Person, still_site: ApiSite) -> None:
    """Nobody can be signed in by another site: the token belongs to a cookie that we gave this browser."""
    fields = {"email": person.email, "password": PASSWORD, "next": "/"}
    other = Browser(still_site.url).get("/login").hidden("csrf_token")
    assert browser.send("POST", "/login", fields).status == 403

    browser.get("/login")
    assert browser.send("POST", "/login", {**fields, "csrf_token": other}).status == 403
    browser.cookies["__Host-loadbell_visitor"] = "made up"
    assert browser.send("POST", "/login", {**fields, "csrf_token": other}).status == 403
    assert "loadbell_session" not in browser.cookies


def test_the_token_may_come_in_a_header(signed_in: Browser) -> None:
    """``X-CSRF-Token`` counts as the hidden field does."""
    token = signed_in.get("/account").hidden("csrf_token")

    answer = signed_in.send("POST", "/account", {"name": "Mara"}, {"X-CSRF-Token": token})

    assert answer.status == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_that_the_browser_knows_to_be_foreign_is_refused(signed_in: Browser, site: str) -> None:
    """Even with the right token: a browser that says where a request began is believed."""
    answer = signed_in.post("/account", {"name": "Eve"}, **{"Sec-Fetch-Site": site})

    assert answer.status == 403


def test_what_is_no_form_is_refused(signed_in: Browser) -> None:
    """JSON, broken text and a body over the cap are told as pages, whatever their token."""
    token = signed_in.get("/account").hidden("csrf_token")
    fields = {"csrf_token": token, "name": "Mara"}

    assert signed_in.send("POST", "/account", fields, {"Content-Type": "application/json"}).status == 415
    assert signed_in.send("POST", "/account", {**fields, "name": "x" * 1_100_000}).status == 413
    assert signed_in.send("POST", "/account", {**fields, "name": "a\x00b"}).status == 422
    assert signed_in.send("POST", "/account", {str(n): "" for n in range(1_001)}).status == 400


def test_what_people_wrote_is_text(signed_in: Browser) -> None:
    """A name that looks like HTML is shown as it was written."""
    signed_in.post("/account", {"name": '<b onclick="x">"Mara"'})

    page = signed_in.get("/account")

    assert '<b onclick="x">' not in page.text
    assert "&lt;b onclick=&#34;x&#34;&gt;" in page.text
