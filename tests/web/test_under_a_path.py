"""A server under a path, such as https://example.org/tools/bell: every link, form, redirect and cookie carries it."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from html import unescape
from pathlib import Path

import pytest

from loadbell import web
from loadbell.domain.orgs import Role
from loadbell.entry.paths import strip_root
from loadbell.web import rendering
from tests.api.conftest import NewStore
from tests.api.site import ApiSite, served
from tests.web.browser import Browser, Page
from tests.web.events import open_stream
from tests.web.team import Team

ROOT = "/tools/bell"
LEADS = re.compile(r"""\s(href|src|srcset|action|formaction|poster|sse-connect|hx-[a-z-]+|data-[a-z-]*)="([^"]*)\"""")
NEXT = re.compile(r'name="next" value="([^"]*)"')
TEMPLATES = Path(rendering.__file__).parent / "templates"


class Proxied(Browser):
    """A browser at a proxy in front of the server, which takes the path away or leaves it."""

    def __init__(self, url: str, *, strips: bool = True) -> None:
        super().__init__(url)
        self._strips = strips

    def send(
        self, method: str, path: str, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Page:
        """One request to a path as the browser sees it."""
        assert f"{path}/".startswith(f"{ROOT}/"), f"{path} leads out of {ROOT}"
        page = super().send(method, path[len(ROOT) :] or "/" if self._strips else path, fields, headers)
        if "location" in page.headers:
            assert page.location.startswith(f"{ROOT}/")
        for cookie in page.set_cookies.values():
            assert f"Path={ROOT};" in f"{cookie};"
        return page

    def sign_in(self, email: str, password: str, onward: str = f"{ROOT}/") -> Page:
        """Fills in the form at /login."""
        return self.post(f"{ROOT}/login", {"email": email, "password": password, "next": onward})


@pytest.fixture(scope="module")
def far_site(new_store: NewStore) -> Iterator[ApiSite]:
    """A server under the path."""
    with served(new_store(), with_worker=False, base_url=f"https://example.org{ROOT}") as site:
        yield site


def _fill(site: ApiSite, browser: Callable[[str], Browser]) -> Team:
    """A team that has one of each thing that has a page."""
    team = Team(site, browser)
    client, settings = team.client(), {"url": "http://127.0.0.1:9/x"}
    for name in ("Pager", "Paused"):
        channel = client.ok("POST", f"{team.path}/channels", {"kind": "webhook", "name": name, "settings": settings})
        if name == "Paused":
            client.ok("POST", f"/channels/{channel['id']}/pause", {})
    for body in ({"status": 3, "result": "failed"}, {"status": 3, "result": "passed"}, {"status": 2}):
        client.ok("POST", "/runs", {"name": "Checkout", **body})
    client.ok("POST", f"{team.path}/invitations", {"email": "kim@example.org", "role": "admin"})
    team.user(Role.MEMBER)
    return team


def _leads(page: Page) -> set[tuple[str, str]]:
    """By what and where the page leads: links, forms, files, streams, and where one comes back to."""
    found = [*LEADS.findall(page.text), *(("next", value) for value in NEXT.findall(page.text))]
    return {(name, unescape(value)) for name, value in found if value.startswith("/")}


@pytest.mark.parametrize("strips", [True, False], ids=["stripped", "kept"])
def test_every_page_leads_to_pages_under_the_path(far_site: ApiSite, *, strips: bool) -> None:
    """Each address on each page stands under the path and is there; redirects and cookies have the path, too.

    Whether the proxy takes it away or leaves it.
    """
    owner = _fill(far_site, partial(Proxied, strips=strips)).owner
    waiting, items = [f"{ROOT}/", f"{ROOT}/nothing", f"{ROOT}/welcome", f"{ROOT}/k6"], set[str]()
    while waiting:
        path = waiting.pop().partition("#")[0]
        if path in items:
            continue
        page = owner.get(path)
        items.add(path)
        assert page.status in ({404} if path.endswith("/nothing") else {200, 303}), path
        leads = {("location", page.location)} if "location" in page.headers else _leads(page)
        for by, target in leads:
            if by in {"action", "formaction"}:
                answer = owner.send("POST", target.partition("#")[0], {})
                assert answer.status == 403 or "GET" in answer.headers["allow"], f"{path} posts to {target}"
            elif by != "sse-connect":
                waiting.append(target)

    kinds = {re.sub("(?<=/)([0-9a-f-]{36}|[0-9]+)", "1", path.partition("?")[0]).removeprefix(ROOT) for path in items}
    handlers = [one for noun in web._NOUNS for one in noun.HANDLERS if "GET" in one.http_methods]
    pages = {re.sub("{[^}]*}", "1", path) for one in handlers for path in one.paths}
    apart = {"/setup", "/login", "/forgot-password", "/invitations/1", "/reset-password/1"}
    assert {page for page in pages if not page.endswith("/live")} - kinds <= apart


def test_what_a_visitor_sees_leads_under_the_path(far_site: ApiSite) -> None:
    """The pages before one has signed in, one by one, and on to the page that was asked for."""
    team = _fill(far_site, Proxied)
    visitor = Proxied(far_site.url)
    for path in ("login", "forgot-password", "invitations/lbi_unknown", "reset-password/lbr_unknown", "nothing"):
        page = visitor.get(f"{ROOT}/{path}")
        assert {target for _, target in _leads(page) if not target.startswith(f"{ROOT}/")} == set()
    run = team.client().ok("GET", "/runs")["items"][0]

    led = visitor.get(f"{ROOT}/runs/{run['id']}")
    form = visitor.get(led.location)

    assert led.location == f"{ROOT}/login?next={ROOT}/runs/{run['id']}"
    assert form.hidden("next") == f"{ROOT}/runs/{run['id']}"
    assert "__Secure-loadbell_visitor" in visitor.cookies


@pytest.mark.parametrize(
    ("onward", "location"),
    [
        (f"{ROOT}/account?done=name", f"{ROOT}/account?done=name"),
        ("/account", f"{ROOT}/account"),
        (ROOT, f"{ROOT}/"),
        ("", f"{ROOT}/"),
        ("https://evil.example/", f"{ROOT}/"),
        ("//evil.example", f"{ROOT}/"),
        (f"{ROOT}//evil.example", f"{ROOT}//evil.example"),  # still this server's
        (f"{ROOT}ish", f"{ROOT}{ROOT}ish"),
    ],
)
def test_where_one_goes_on_is_under_the_path(far_site: ApiSite, onward: str, location: str) -> None:
    """Whether the address was given with the path or without, and never to another site."""
    team = Team(far_site, Proxied)
    page = team.owner.post(f"{ROOT}/theme", {"theme": "dark", "next": onward}, of=f"{ROOT}/account")

    assert (page.status, page.location) == (303, location)


def test_live_pages_lead_under_the_path(far_site: ApiSite) -> None:
    """What a stream brings later has the same links as the page that it replaces a part of."""
    team = _fill(far_site, Proxied)
    run = team.client().ok("GET", "/runs")["items"][0]
    for path in ("/runs", f"/runs/{run['id']}", "/welcome", f"{team.path}/deliveries"):
        page = team.owner.get(f"{ROOT}{path}")
        (stream,) = (unescape(value) for name, value in LEADS.findall(page.text) if name == "sse-connect")
        assert stream.startswith(f"{ROOT}/")
        with open_stream(team.owner, stream.removeprefix(ROOT)) as events:
            event = events.next()
        assert event is not None
        targets = [unescape(value) for _, value in LEADS.findall(event.data) if value.startswith("/")]
        assert targets
        assert {target for target in targets if not target.startswith(f"{ROOT}/")} == set()


def test_what_programs_are_told_leads_under_the_path(far_site: ApiSite) -> None:
    """A run's address, k6's line, an invitation's link, the OpenAPI document, commands on pages."""
    team = Team(far_site, Proxied)
    client, base = team.client(), f"https://example.org{ROOT}"

    run = client.ok("POST", "/runs", {"name": "x"})
    k6 = client.ok("POST", "//v1/tests", {"name": "x"})
    invited = client.ok("POST", f"{team.path}/invitations", {"email": "kim@example.org", "role": "admin"})
    document = client.ok("GET", "/openapi.json")
    welcome = team.owner.get(f"{ROOT}/welcome").words

    assert run["url"] == f"{base}/runs/{run['id']}"
    assert k6["config"]["testRunDetails"] == f"{base}/runs/{k6['reference_id']}"
    assert invited["url"].startswith(f"{base}/invitations/")
    assert document["servers"] == [{"url": f"{base}/api/v1"}]
    assert f"export LOADBELL_URL={base}" in welcome
    assert f"export K6_CLOUD_HOST={base}" in welcome


@pytest.mark.parametrize("before", ["", ROOT], ids=["stripped", "kept"])
def test_programs_get_through_with_the_path_and_without(far_site: ApiSite, before: str) -> None:
    """REST, k6, whose addresses look like some of REST's, and health."""
    client = Team(far_site, Proxied).client()

    assert client.call("GET", f"//{before}/api/v1/runs".replace("///", "//")).status == 200
    assert client.call("GET", f"//{before}/api/v1/tests".replace("///", "//")).json["code"] == "not_found"
    assert client.call("POST", f"//{before}/v1/tests".replace("///", "//"), {"name": "x"}).status == 200
    assert client.call("GET", f"//{before}/healthz".replace("///", "//")).status == 200


def test_a_path_that_looks_like_one_of_ours(new_store: NewStore) -> None:
    """Under /runs nobody could tell a page from the path: the proxy takes it away, and what is left is a page."""
    with served(new_store(), with_worker=False, base_url="https://example.org/runs") as site:
        team = Team(site)
        run = team.client().ok("POST", "/runs", {"name": "Checkout"})

        page = team.owner.get(f"/runs/{run['id']}")

    assert page.status == 200
    assert f'action="/runs/runs/{run["id"]}/abort"' in page.text
    assert page.hidden("next") == f"/runs/runs/{run['id']}"


def test_taking_the_path_away() -> None:
    """Only as a whole, and once; what remains is a path again."""
    assert [strip_root(path, "/a/b") for path in ("/a/b", "/a/b/", "/a/b/c", "/a/b?x=1")] == ["/", "/", "/c", "/?x=1"]
    assert [strip_root(path, "/a/b") for path in ("/", "/a", "/a/bc", "/c/a/b", "/a/b/a/b")] == [
        "/", "/a", "/a/bc", "/c/a/b", "/a/b",
    ]  # fmt: skip
    assert strip_root("/a", "") == "/a"


def test_no_template_writes_an_address_without_the_path() -> None:
    """Each attribute that leads somewhere begins with ``{{ root }}`` or ``{{ static }}``, or leads to a fragment.

    But a run's links, which lead elsewhere.
    """
    wrong = []
    for path in sorted(TEMPLATES.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        for name, value in [*LEADS.findall(text), *(("next", value) for value in NEXT.findall(text))]:
            leads = not name.startswith("data-") and name != "hx-ext"
            if leads and not value.startswith(("{{ root }}", "{{ static }}/", "#", "{{ link.url }}")):
                wrong.append(f"{path.name}: {name}={value}")

    assert wrong == []


def test_no_script_writes_an_address() -> None:
    """Our script requests nothing by itself; what htmx requests is written in the page."""
    text = (TEMPLATES.parent / "static" / "loadbell.js").read_text(encoding="utf-8")
    assert re.findall(r"""fetch\(|XMLHttpRequest|EventSource|location|["'`]/\w""", text) == []
