"""The whole way of a new team, as its people go it in their browsers. Who plays it says at which site and how."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page

from loadbell.testing.receiver import respond
from tests.browser.site import Site
from tests.browser.tab import Tab
from tests.support.server import Client

PASSWORD = "correct horse battery"
ONE_TRY = {"LOADBELL_RETRY_SCHEDULE": "10m"}
"""For the server, so that what failed is not sent again before somebody redelivers it."""

_OWNER, _ADMIN, _MEMBER = "mara@example.org", "noor@example.org", "tomasz@example.org"
_KINDS = ("Slack", "HipChat", "WebHook")


def play(site: Site, new_tab: Callable[[], Tab], *, script: bool) -> None:
    """Set up, invite, three channels with Test Hook, a run, a failing receiver, and what a member may not."""
    owner = new_tab()
    token = _set_up(owner)
    admin, member = new_tab(), new_tab()
    _join(admin, _invite(owner, _ADMIN, "admin"), "Noor Haddad")
    _join(member, _invite(owner, _MEMBER, "member"), "Tomasz W.")
    _to(admin, "Notifications")
    organization = re.findall(r"/organizations/(\d+)/notifications", admin.page.url)[0]
    _add_channels(site, admin, script=script)
    _test_hooks(site, admin)

    site.receiver.play([respond(500, body=b"the disk is full"), respond(200)])
    owner.go("/runs")
    owner.page.get_by_role("heading", name="No runs yet").wait_for()
    client = Client(site.url, token)
    run = client.ok("POST", "/runs", {"name": "Checkout flow"})["id"]
    if not script:
        owner.page.reload()
    owner.page.get_by_role("link", name="Checkout flow").click()  # with script it has appeared by itself
    owner.page.locator(".verdict").get_by_text("Running").wait_for()
    client.ok("PATCH", f"/runs/{run}", {"status": 3, "result": "passed"})
    if not script:
        owner.page.reload()
    owner.page.locator(".verdict").get_by_text("Finished").wait_for()

    _redeliver(admin)
    _is_refused(member, organization, run)
    for tab in (owner, admin, member):
        tab.page.close()  # before the server, or the streams break


def _set_up(tab: Tab) -> str:
    tab.go("/")
    for label, text in (
        ("Organization", "Harbour Shop"),
        ("Your name", "Mara Lind"),
        ("E-mail address", _OWNER),
        ("Password", PASSWORD),
    ):
        tab.page.get_by_label(label).fill(text)
    tab.page.get_by_role("button", name="Set up loadbell").click()
    tab.page.get_by_text("Waiting for the first run").wait_for()
    tab.page.get_by_role("button", name="Create token").click()
    return tab.page.locator("#token").inner_text()


def _to(tab: Tab, name: str) -> None:
    """The legacy way: by the user menu and the organization's settings."""
    tab.page.get_by_role("button", name="User menu").click()
    tab.page.get_by_role("link", name="Organizations").click()
    tab.page.get_by_role("link", name="Organization settings").click()
    tab.page.get_by_role("link", name=name).click()
    tab.page.get_by_role("heading", name=name, level=1).wait_for()


def _invite(tab: Tab, email: str, role: str) -> str:
    _to(tab, "Members")
    tab.page.get_by_label("E-mail address").fill(email)
    tab.page.get_by_label("Role").select_option(role)
    tab.page.get_by_role("button", name="Invite", exact=True).click()
    tab.page.get_by_text(f"{email} was invited.").wait_for()
    return tab.page.locator("#invitation-link").inner_text()


def _join(tab: Tab, link: str, name: str) -> None:
    tab.go(link.removeprefix(tab.url))
    tab.page.get_by_label("Your name").fill(name)
    tab.page.get_by_label("Password").fill(PASSWORD)
    tab.page.get_by_role("button", name="Join Harbour Shop").click()
    tab.page.get_by_role("heading", name="Welcome to Harbour Shop").wait_for()
    tab.go("/runs")


def _section(page: Page, kind: str) -> Locator:
    return page.get_by_role("region", name=kind, exact=True)


def _add_channels(site: Site, tab: Tab, *, script: bool) -> None:
    headings = tab.page.locator("section.channel h2").all_inner_texts()
    assert list(_KINDS) == [text.strip() for text in headings][: len(_KINDS)]
    urls = (site.slack.webhook_url, site.hipchat.notification_url, site.receiver.url)
    for kind, url in zip(_KINDS, urls, strict=True):
        section = _section(tab.page, kind)
        for button in ("Save", "Test Hook"):
            assert section.get_by_role("button", name=button).is_disabled() == script
        section.get_by_label(f"{kind} URL").fill(url)
        section.get_by_role("button", name="Save").click()
        if kind == "WebHook":
            assert "whsec_" in tab.page.locator("#secret").inner_text()
            tab.page.get_by_role("link", name="Continue to the channel").click()
        else:
            section.get_by_text("Saved. This channel is active.").wait_for()
        section.get_by_text("Active", exact=True).wait_for()


def _test_hooks(site: Site, tab: Tab) -> None:
    for kind in _KINDS:
        section = _section(tab.page, kind)
        section.get_by_role("button", name="Test Hook").click()
        section.get_by_text("Check that the message arrived.").wait_for()
    for url, text in (
        (f"{site.slack.webhook_url}wrong", "404 Not Found"),  # nobody has this hook
        ("http://127.0.0.1:1/services/nobody", "Check that the receiver is up"),
    ):
        section = _section(tab.page, "Slack")
        section.get_by_label("Slack URL").fill(url)
        section.get_by_role("button", name="Test Hook").click()
        section.get_by_text(text).first.wait_for()
        section.get_by_text("What to do:").wait_for()


def _redeliver(tab: Tab) -> None:
    tab.go("/runs")
    tab.page.get_by_role("link", name="Deliveries").click()
    row = tab.page.get_by_role("row", name="500 Internal Server Error")
    row.get_by_role("link", name="test.started").click()
    tab.page.get_by_text("What to do: The receiver failed. Check its logs.").wait_for()
    assert "the disk is full" in tab.words()
    tab.page.get_by_role("button", name="Redeliver").click()
    tab.page.get_by_role("button", name="Redeliver now").click()
    tab.page.get_by_text("Redelivering. The result appears below.").wait_for()
    while not tab.page.locator("header").get_by_text("Delivered", exact=True).count():
        tab.page.reload()  # what a person without script does; it is bounded by the test's own timeout


def _is_refused(tab: Tab, organization: str, run: int) -> None:
    base = f"/organizations/{organization}"
    for path in ("members", "projects", "tokens", "audit", "deliveries"):
        tab.go(f"{base}/{path}", status=403)
        assert "Ask the owner or an admin" in tab.words()
    tab.go(f"/runs/{run}", status=404)  # nobody assigned a project
    tab.go(f"{base}/notifications")
    words = tab.words()
    assert "Ask the owner or an admin of Harbour Shop" in words
    assert "Test Hook" not in words
