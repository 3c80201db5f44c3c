"""The audit log over REST: who changed what, when and from where; filtered, by the page, and whole."""

import http.client
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from loadbell.domain.ids import from_datetime
from loadbell.domain.orgs import Role, Scope
from tests.api.site import ApiSite
from tests.support.audit_logs import FILL, filling
from tests.support.server import Client

KEYS = ["id", "user_id", "user", "token_id", "address", "action", "subject", "changes", "created_at"]


def _log(site: ApiSite) -> str:
    return f"/organizations/{site.ours.organization_id}/audit"


def _export(site: ApiSite, query: str = "") -> list[dict[str, Any]]:
    answer = site.client.call("GET", f"{_log(site)}/export{query}")
    assert (200, "application/jsonl") == (answer.status, answer.headers["content-type"].partition(";")[0])
    return [json.loads(line) for line in answer.body.splitlines()]


def test_an_entry_says_who_did_what_when_and_from_where(still_site: ApiSite) -> None:
    """User by id and e-mail, token, address, action, subject, what was before and after, and the time; no secret."""
    site = still_site
    channel = site.channel("https://one.example.org/secret-path")
    site.client.ok("PATCH", f"/channels/{channel['id']}", {"name": "Renamed"})
    entry = site.client.ok("GET", f"{_log(site)}?limit=1")["items"][0]

    assert KEYS == list(entry)
    assert (site.ours.user_id, "ann@example.org", "127.0.0.1") == (entry["user_id"], entry["user"], entry["address"])
    assert ("channel.changed", f"channel {channel['id']}") == (entry["action"], entry["subject"])
    assert {
        "name": {"before": "receiver", "after": "Renamed"},
        "settings.url": "https://one.example.org/…",
    } == entry["changes"]
    own = [token["id"] for token in site.client.ok("GET", "/tokens")["items"] if token["prefix"] == site.ours.token[:8]]
    assert own == [entry["token_id"]]
    assert "secret-path" not in json.dumps(_export(site))


def test_the_pages_are_the_export(still_site: ApiSite) -> None:
    """All pages together are what is exported: newest first, without gap or repeat."""
    site = still_site
    for number in range(5):
        site.client.ok("POST", "/tokens", {"name": f"t{number}", "scope": "read"})
    items = _export(site)
    pages: list[dict[str, Any]] = []
    query = "?limit=2"
    while True:
        page = site.client.ok("GET", _log(site) + query)
        pages += page["items"]
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={page['next_cursor']}"

    assert len(items) >= 5
    assert items == pages
    assert sorted((entry["id"] for entry in items), reverse=True) == [entry["id"] for entry in items]


def test_the_filters(still_site: ApiSite) -> None:
    """By user, by action as a whole word, by time (since included, until not), alone and together, in both forms."""
    site = still_site
    admin = site.with_token(role=Role.ADMIN)
    mine = site.client.ok("POST", "/tokens", {"name": "mine", "scope": "read"})
    hers = admin.ok("POST", "/tokens", {"name": "hers", "scope": "read"})
    admin.call("DELETE", f"/tokens/{mine['id']}")
    start, then = "2999-01-01T00:00:00Z", "2999-01-01T00:00:01Z"
    moments = [("token.created", mine["id"]), ("token.created", hers["id"]), ("token.revoked", mine["id"])]
    for second_of_time, (action, token_id) in enumerate(moments):
        site.sql(
            "UPDATE audit_entries SET created_at = :at WHERE subject = :subject AND action = :action",
            at=from_datetime(datetime(2999, 1, 1, 0, 0, second_of_time, tzinfo=UTC)),
            subject=f"token {token_id}",
            action=action,
        )

    def find(query: str) -> list[str]:
        exported = [f"{one['action']} {one['subject'].split()[1]}" for one in _export(site, f"?since={start}{query}")]
        listed = site.client.ok("GET", f"{_log(site)}?since={start}{query}")["items"]
        assert exported == [f"{one['action']} {one['subject'].split()[1]}" for one in listed]
        return exported

    revoked, second, first = (
        f"token.revoked {mine['id']}", f"token.created {hers['id']}", f"token.created {mine['id']}",
    )  # fmt: skip
    assert [revoked, second, first] == find("")
    assert [revoked, second] == find(f"&user_id={hers['user_id']}")
    assert [second, first] == find("&action=token.created")
    assert [] == find("&action=token")
    assert [second] == find(f"&action=token.created&user_id={hers['user_id']}")
    assert [first] == find(f"&until={then}")
    assert [revoked, second] == [
        f"{item['action']} {item['subject'].split()[1]}" for item in _export(site, f"?since={then}")
    ]


@pytest.mark.parametrize("form", ["", "/export"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("until=5", "until"),
        ("since=2026-01-01T00:00:00", "since"),
        ("user_id=x", "user_id"),
        ("action=%00", "action"),
        ("action=" + "x" * 101, "action"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(still_site: ApiSite, form: str, query: str, field: str) -> None:
    """422 names the field, before anything is streamed."""
    answer = still_site.client.call("GET", f"{_log(still_site)}{form}?{query}")

    assert (422, [field]) == (answer.status, [error["field"] for error in answer.json["errors"]])


@pytest.mark.parametrize("form", ["", "/export"])
def test_who_may_read_the_log(still_site: ApiSite, form: str) -> None:
    """The owner and admins, with a token that reads; others are refused, and whoever is of elsewhere finds nothing."""
    site, path = still_site, _log(still_site) + form

    assert [200, 200, 403, 403, 403] == [
        site.with_token(**properties).call("GET", path).status
        for properties in (
            {"scope": Scope.READ}, {"role": Role.ADMIN}, {"scope": Scope.REPORT}, {"role": Role.MEMBER},
            {"role": Role.MEMBER, "projects": (site.ours.project_id,)},
        )
    ]  # fmt: skip
    assert [404, 401] == [client.call("GET", path).status for client in (site.their_client, site.nobody)]
    assert 404 == site.client.call("GET", f"/organizations/{site.theirs.organization_id}/audit{form}").status


def test_whoever_has_left_keeps_the_name(still_site: ApiSite) -> None:
    """The e-mail address stands in the entries of somebody who is no member any more."""
    site = still_site
    admin = site.with_token(role=Role.ADMIN)
    made = admin.ok("POST", "/tokens", {"name": "t", "scope": "read"})
    before = _export(site, f"?user_id={made['user_id']}")
    site.sql("DELETE FROM members WHERE user_id = :id", id=made["user_id"])

    assert before == _export(site, f"?user_id={made['user_id']}")
    assert before[0]["user"].endswith("@example.org")


def test_an_export_that_cannot_go_on_is_cut(still_site: ApiSite) -> None:
    """Who asks is looked at again on the way: once the token is revoked, the client sees a broken stream."""
    site = still_site
    values = filling(site.ours.organization_id, site.ours.user_id, 3_000, changes=json.dumps({"note": "x" * 10_000}))
    site.sql(FILL, **values)
    token = site.client.ok("POST", "/tokens", {"name": "reader", "scope": "read"})
    parts = urlsplit(site.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    connection.request("GET", f"/api/v1{_log(site)}/export", headers={"Authorization": f"Bearer {token['token']}"})
    response = connection.getresponse()
    assert 200 == response.status
    response.read(1_000)  # it has begun; 30 MB don't fit into the buffers on the way
    site.client.call("DELETE", f"/tokens/{token['id']}")

    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
    assert 401 == Client(site.url, token["token"]).call("GET", "/tokens").status
    site.sql("DELETE FROM audit_entries WHERE organization_id = :id", id=site.ours.organization_id)
