"""What anybody may send to any page, as a form, in the address or in a cookie: refused or taken, never our mistake."""

import re
from urllib.parse import urlencode

from loadbell import web
from loadbell.domain.orgs import Role
from tests.api.site import ApiSite
from tests.web.browser import Browser
from tests.web.team import Team

FIELDS = (
    "name", "email", "password", "current_password", "new_password", "next", "theme", "code", "organization", "role",
    "project_ids", "project_id", "default_project_id", "organization_id", "user_id", "scope", "trigger", "expires_at",
    "kind", "url", "token", "room", "headers", "quick", "events", "statuses", "results", "projects", "triggers",
    "since", "until", "q", "status", "result", "source", "channel_id", "event", "period", "cursor", "action", "done",
    "notice", "open", "held", "overlap", "limit",
)  # fmt: skip
"""Every name that a page reads, in a form or in its address."""

VALUES = (
    "", "\x00", "x" * 3_000, "9" * 30, "9" * 5_000, "-1", "0", "\u0661", "1_0", "0001-01-01T00:00+23:59",
    "9999-12-31T23:59:59.999999-23:59", "24:00", "\ufffd", "\U0001f514" * 50, "{{ 7 * 7 }}", "a: b\n\x85c",
    "//evil.example", "https://[::1", "https://a.example:99999/", "https://\u212a.example/", "====",
)  # fmt: skip

WORST = ("\x00", "9" * 30, "x" * 3_000, "\u0661")
"""Those that are tried where little is read."""

FOR_ALL = ("/login", "/setup", "/forgot-password", "/invitations/{token:str}", "/reset-password/{token:str}", "/theme")
"""The forms of people who have not signed in."""

LAST = ("logout", "leave", "transfer", "remove", "end", "revoke", "delete")
"""How the addresses of forms end after which there is less to ask: what they end is gone."""


def addresses(method: str) -> list[str]:
    """Every address of a page's, those in the end after which there is less."""
    paths = {path for noun in web._NOUNS for one in noun.HANDLERS if method in one.http_methods for path in one.paths}
    return sorted(paths, key=lambda path: (path.rpartition("/")[2] in LAST, path))


def test_no_form_is_our_mistake(team: Team, browser: Browser) -> None:
    """Each form of each page, with each of these in every field that any page reads."""
    owner, ids = team.owner, _one_of_each(team)
    token, visitors = owner.get("/account").hidden("csrf_token"), browser.get("/login").hidden("csrf_token")
    wrong = []
    for path in addresses("POST"):
        at = re.sub(r"{(\w+):str}", lambda found: ids[found[1]], path)
        who, its_token = (browser, visitors) if path in FOR_ALL else (owner, token)
        for value in VALUES if path in FOR_ALL else WORST:
            status = who.send("POST", at, {**dict.fromkeys(FIELDS, value), "csrf_token": its_token}).status
            if status >= 500:
                wrong.append((status, path, value))

    assert [] == wrong
    assert len(addresses("POST")) > 30
    assert set(FOR_ALL) <= set(addresses("POST"))


FORMS: dict[str, dict[str, str]] = {
    "/account": {"name": "n"},
    "/account/password": {"current_password": "wrong", "new_password": "another long one"},
    "/welcome/token": {"organization_id": "{organization_id}", "project_id": "{project_id}", "name": "n"},
    "/organizations/{organization_id}/settings": {"name": "n", "default_project_id": "{project_id}"},
    "/organizations/{organization_id}/transfer": {"user_id": "1"},
    "/organizations/{organization_id}/projects": {"name": "n"},
    "/organizations/{organization_id}/projects/{project_id}": {"name": "n"},
    "/organizations/{organization_id}/members": {"email": "a@b.example", "role": "member", "project_ids": "1"},
    "/organizations/{organization_id}/members/{member_id}": {"role": "member", "project_ids": "{project_id}"},
    "/organizations/{organization_id}/tokens": {
        "name": "n", "scope": "read", "trigger": "ci", "expires_at": "2099-01-01T00:00", "project_id": "{project_id}",
    },
    "/organizations/{organization_id}/notifications": {
        "kind": "webhook", "name": "n", "url": "https://a.example/h", "headers": "a: b", "quick": "all",
    },
    "/organizations/{organization_id}/notifications/hipchat": {
        "url": "https://a.hipchat.com/v2/room/1/notification?auth_token=t", "quick": "mine", "events": "test.started",
        "statuses": "3", "results": "failed", "projects": "{project_id}", "triggers": "ci",
    },
    "/channels/{channel_id}": {
        "name": "n", "url": "https://a.example/h", "headers": "a: b", "quick": "mine", "events": "test.finished",
        "statuses": "3", "results": "failed", "projects": "{project_id}", "triggers": "ci",
    },
    "/channels/{channel_id}/replay": {"since": "2026-01-01T00:00", "until": "2026-01-02T00:00", "statuses": "failed"},
    "/channels/{channel_id}/rotate-secret": {"overlap": "24"},
    "/channels/{channel_id}/pause": {"next": "/runs"},
    "/channels/{channel_id}/resume": {"held": "deliver"},
}  # fmt: skip
"""Forms that are good."""


def test_no_field_of_a_good_form_is_our_mistake(team: Team) -> None:
    """Each field that a page reads, with each of these in it, while all others are as they should be."""
    owner, ids = team.owner, _one_of_each(team)
    token = owner.get("/account").hidden("csrf_token")
    wrong = []
    for path, good in FORMS.items():
        form = {name: value.format(**ids) for name, value in good.items()} | {"csrf_token": token}
        for name in good:
            for value in VALUES:
                status = owner.send("POST", path.format(**ids), {**form, name: value}).status
                if status >= 500:
                    wrong.append((status, path, name, value))

    assert [] == wrong


def test_no_address_is_our_mistake(team: Team, browser: Browser) -> None:
    """Each page, with each of these as what its address asks for, and as the ids in it."""
    owner, ids = team.owner, _one_of_each(team)
    wrong = []
    for path in addresses("GET"):
        if path.endswith("/live"):
            continue  # an endless answer; what it asks for is read as that of its page
        at = re.sub(r"{(\w+):str}", lambda found: ids[found[1]], path)
        for value in (text[:100] for text in VALUES[:12]):
            items = [f"{at}?{urlencode({name: value})}" for name in FIELDS if value == "\x00"]
            items.append(f"{at}?{urlencode(dict.fromkeys(FIELDS, value))}")
            items.append(re.sub(r"{\w+:str}", urlencode({"": value})[1:] or "-", path))
            for address in items:
                status = owner.get(address).status
                if status >= 500:
                    wrong.append((status, address))

    assert [] == wrong


def test_no_cookie_is_our_mistake(still_site: ApiSite) -> None:
    """Each cookie that a page reads, with each of these in it and in quotation marks."""
    wrong = []
    for name in ("session", "organization", "visitor", "theme"):
        for value in (*VALUES, "lbs_", "lbs_\xff", "gAAAAA==", "%00", "%ff", '"', "\\377", "lbs_\\000"):
            for prefix in ("", "__Host-", "__Secure-"):
                text = f'{prefix}loadbell_{name}={_header(value)}; {prefix}loadbell_{name}="{_header(value)}"'
                for path in ("/login", "/runs"):
                    status = Browser(still_site.url).get(path, Cookie=text).status
                    if status not in {200, 303}:
                        wrong.append((status, name, value))

    assert [] == wrong


def _header(value: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "", value[:3_000]).encode().decode("latin-1")


def _one_of_each(team: Team) -> dict[str, str]:
    """One of everything that an address may name."""
    client = team.client()
    new = {"kind": "webhook", "name": "c", "settings": {"url": "http://127.0.0.1:9/h"}}
    channel = client.ok("POST", f"{team.path}/channels", new)
    run = client.ok("POST", "/runs", {"name": "r"})
    delivery = client.ok("GET", f"/runs/{run['id']}/deliveries")["items"][0]
    return {
        "organization_id": str(team.organization_id), "project_id": str(team.project_id), "user_id": "1",
        "member_id": str(team.user(Role.MEMBER)), "channel_id": str(channel["id"]), "kind": "webhook",
        "run_id": str(run["id"]), "delivery_id": delivery["id"], "token_id": "1", "session_id": "1",
        "invitation_id": "1", "token": "lbi_x",
    }  # fmt: skip
