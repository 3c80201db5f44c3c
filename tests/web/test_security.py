"""What every page promises to the browser, and what every form asks of it."""

import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from loadbell import api, web
from loadbell.api import openapi
from loadbell.sources import k6_cloud_v1
from loadbell.web.rendering import VERSION
from tests.api.site import ApiSite
from tests.support.server import Client
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
    assert page.headers["referrer-policy"] == "same-origin"
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
        page = browser.get(link)
        assert page.status == 200, link
        assert page.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert page.headers["content-type"].startswith(("text/css", "image/svg+xml"))
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
        assert "Reload the page and try again." in page.words

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


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://loadbell.example.org", "https://127.0.0.1"])
@pytest.mark.parametrize("path", ["/account", "/account/password", "/logout", "/theme", "/organizations"])
def test_a_form_of_another_origin_is_refused(signed_in: Browser, still_site: ApiSite, path: str, origin: str) -> None:
    """Even with the right token: another scheme, host or port, and a browser that hides where a form is from."""
    token = signed_in.get("/account").hidden("csrf_token")
    before = still_site.contents()

    answer = signed_in.send("POST", path, {"csrf_token": token, "name": "Eve", "theme": "dark"}, {"Origin": origin})

    assert answer.status == 403
    assert still_site.contents() == before
    assert answer.set_cookies == {}


def test_a_form_of_our_own_origin_is_taken(signed_in: Browser, still_site: ApiSite) -> None:
    """That of the base URL, which a proxy may hide from us, and that of the address in ``Host``."""
    for origin in ("https://loadbell.example.org", still_site.url):
        assert signed_in.post("/account", {"name": "Mara"}, Origin=origin).status == 303


def _routes() -> list[tuple[str, str]]:
    """A method and an address of every route of ours, and of what is not there."""
    k6 = k6_cloud_v1
    handlers = [
        *(("", one) for noun in web._NOUNS for one in noun.HANDLERS),
        *((openapi.PREFIX, one) for noun in api._NOUNS.values() for one in noun),
        *(("", one) for one in (k6.create, k6.push, k6.end, k6.validate_token, k6.out_of_scope, k6.only_post)),
    ]
    routes = {
        (str(method), prefix + re.sub(r"{[^}]*}", "1", path))
        for prefix, one in handlers
        for path in one.paths
        for method in one.http_methods
    }
    others = {("GET", "/api/v1/openapi.json"), ("GET", "/nothing"), ("OPTIONS", "/runs"), ("PUT", "/login")}
    return sorted(routes | others)


def test_nothing_is_answered_under_a_foreign_name(still_site: ApiSite) -> None:
    """421 at every address, with a session and a token, with nothing done; but health, which load balancers ask for."""
    before, token = still_site.contents(), still_site.ours.token
    client = Client(still_site.url, token)
    foreign = {"Host": "evil.example"}

    body = {
        route: client.call(route[0], f"/{route[1]}", headers=foreign).status
        for route in [*_routes(), ("GET", f"/static/{VERSION}/theme.css")]
    }

    assert len(body) > 100
    assert {route for route, status in body.items() if status != 421} == set()
    assert still_site.contents() == before
    assert [client.call("GET", f"//{path}", headers=foreign).status for path in ("healthz", "readyz")] == [200, 200]


def test_a_foreign_name_is_told_to_each_in_its_own_words(still_site: ApiSite) -> None:
    """A page for people, a problem for programs, k6's own form for k6; each names what to set and has no address."""
    browser, client = Browser(still_site.url), Client(still_site.url, still_site.ours.token)
    foreign = {"Host": "evil.example:8025"}

    page = browser.get("/login", **foreign)
    problem = client.call("GET", "/runs", headers=foreign)
    k6 = client.call("POST", "//v1/tests", {"name": "x"}, headers=foreign)

    _check_headers(page)
    assert "This server is not known as evil.example." in page.words
    assert problem.json["code"] == "misdirected"
    assert problem.headers["content-type"] == "application/problem+json"
    for sentence in (page.words, problem.json["detail"], k6.json["error"]["message"]):
        assert "LOADBELL_BASE_URL" in sentence
        assert "loadbell.example.org" not in sentence


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://evil.example/login", "127.0.0.1", 421),
        ("http://127.0.0.1@evil.example/login", "127.0.0.1", 421),
        ("http://evil.example", "127.0.0.1", 421),
        ("http:///login", "127.0.0.1", 421),
        ("http://127.0.0.1:8025/login?next=/account", "evil.example", 200),
        ("HTTPS://Loadbell.example.org/login", "evil.example", 200),
        ("http://localhost?x=/", "127.0.0.1", 303),
        ("/login?next=http://evil.example/", "127.0.0.1", 200),
        ("/login?next=http://evil.example/", "evil.example", 421),
        ("//evil.example/login", "127.0.0.1", 404),
    ],
)
def test_the_host_in_the_target_counts(still_site: ApiSite, target: str, host: str, status: int) -> None:
    """A request may name the server in its first line, as to a proxy: then ``Host`` says nothing (RFC 9112, 3.2.2)."""
    parts = urlsplit(still_site.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 30) as connection:
        connection.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n".encode()
        )
        first = connection.makefile("rb").readline().decode()

    assert first.split()[1] == str(status)
