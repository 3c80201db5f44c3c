"""How a person comes in, in a real browser: with scripts and without."""

from pathlib import Path

import pytest

from tests.browser.site import running_site
from tests.browser.tab import Tab, chromium
from tests.support.chromium import MISSING, find_chromium
from tests.support.server import Client, run_loadbell, server_environment

_PASSWORD = "correct horse battery"


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_an_invited_person_joins_signs_out_and_in(tmp_path: Path, *, script: bool) -> None:
    """The link asks for a name and a password and shows the token once; that password then signs in, another not."""
    if find_chromium() is None:
        pytest.skip(MISSING)
    items = ("setup", "--organization", "Acme", "--email", "owner@example.org", "--password-stdin", "--json")
    process = run_loadbell(*items, environment=server_environment(tmp_path), stdin=_PASSWORD + "\n")
    assert process.returncode == 0, process.stderr
    with running_site(tmp_path) as site, chromium() as browser:
        owner = Tab(browser, site.url)
        owner.sign_in("owner@example.org", _PASSWORD)
        session = next(one["value"] for one in owner.context.cookies() if one["name"] == "loadbell_session")
        organization = Client(site.url, session).ok("GET", "/account")["organizations"][0]["id"]
        body = {"name": "to invite", "scope": "manage", "organization_id": organization}
        api = Client(site.url, Client(site.url, session).ok("POST", "/account/tokens", body)["token"])
        invited = api.ok(
            "POST", f"/organizations/{organization}/invitations", {"email": "jo@example.org", "role": "admin"}
        )
        tab = Tab(browser, site.url, script=script)
        tab.page.goto(invited["url"])
        tab.page.get_by_label("Your name").fill("Jo Braun")
        tab.page.get_by_label("Password").fill(_PASSWORD)
        tab.page.get_by_role("button", name="Join Acme").click()
        tab.page.get_by_role("heading", name="Welcome to Acme").wait_for()
        token = tab.page.locator("pre.token").inner_text()
        assert "Jo Braun" in {one["name"] for one in _members(Client(site.url, token), organization)}

        tab.go("/account")
        tab.page.get_by_role("button", name="User menu").click()
        tab.page.get_by_role("button", name="Sign out").click()
        tab.page.wait_for_url(lambda url: "/login" in url)
        tab.expect("status of 401")
        tab.page.get_by_label("E-mail").fill("jo@example.org")
        tab.page.get_by_label("Password").fill("not this one")
        tab.page.get_by_role("button", name="Sign in").click()
        tab.page.get_by_role("alert").or_(tab.page.locator(".answer.bad")).first.wait_for()
        assert "" == tab.page.get_by_label("Password").input_value()
        tab.page.get_by_label("Password").fill(_PASSWORD)
        tab.page.get_by_role("button", name="Sign in").click()
        tab.page.get_by_role("button", name="User menu").wait_for()

        assert [] == owner.problems + tab.problems


def _members(client: Client, organization: int) -> list[dict[str, str]]:
    items: list[dict[str, str]] = client.ok("GET", f"/organizations/{organization}/members")["items"]
    return items
