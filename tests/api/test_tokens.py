"""API tokens over REST: listed, revoked, of one project, and when they were last used."""

from collections.abc import Callable
from typing import Any

import pytest

from loadbell.domain.orgs import Role, Scope
from tests.api.site import ApiSite
from tests.support.server import Client


def _list(site: ApiSite, token: dict[str, Any]) -> dict[str, Any]:
    (found,) = [one for one in site.client.ok("GET", "/tokens?limit=200")["items"] if one["id"] == token["id"]]
    return dict(found)


def _project_client(site: ApiSite, project_id: int) -> Client:
    made = site.client.ok("POST", "/tokens", {"name": "ci", "scope": "manage", "project_id": project_id})
    assert project_id == made["project_id"]
    return Client(site.url, made["token"])


def test_tokens_are_listed_without_what_they_are_made_of(still_site: ApiSite) -> None:
    """Everybody's in the organization, newest first, expired ones too; neither the token nor its hash."""
    site = still_site
    made = site.client.ok("POST", "/tokens", {"name": "mine", "scope": "read", "expires_at": "2999-01-01T00:00:00Z"})
    site.sql("UPDATE tokens SET expires_at = 1 WHERE id = :id", id=made["id"])
    site.with_token(role=Role.ADMIN)
    answer = site.client.call("GET", "/tokens")
    first, second = answer.json["items"][:2]

    assert [made["id"], "mine", "1970-01-01T00:00:00.000Z"] == [second["id"], second["name"], second["expires_at"]]
    assert first["user_id"] != second["user_id"]
    assert list(made)[:-1] == list(second)
    assert made["token"].startswith(second["prefix"])
    assert made["token"].encode() not in answer.body
    assert b"hash" not in answer.body
    assert made["id"] not in [one["id"] for one in site.their_client.ok("GET", "/tokens")["items"]]


def test_a_revoked_token_is_nobodys_at_once(still_site: ApiSite) -> None:
    """The next request with it gets 401; the entry names the token and whose it was; one may revoke the own token."""
    site = still_site
    made = site.client.ok("POST", "/tokens", {"name": "leaked", "scope": "manage"})
    leaked = Client(site.url, made["token"])
    assert 200 == leaked.call("GET", "/tokens").status
    admin = site.with_token(role=Role.ADMIN)
    assert 204 == admin.call("DELETE", f"/tokens/{made['id']}").status
    entry = site.client.ok("GET", f"/organizations/{site.ours.organization_id}/audit?action=token.revoked")["items"][0]

    assert 401 == leaked.call("GET", "/tokens").status
    assert 404 == admin.call("DELETE", f"/tokens/{made['id']}").status
    assert f"token {made['id']}" == entry["subject"]
    assert entry["changes"] == {
        "name": "leaked", "prefix": made["prefix"], "scope": "manage", "user_id": site.ours.user_id,
    }  # fmt: skip
    own = admin.ok("POST", "/tokens", {"name": "own", "scope": "manage"})
    assert 204 == Client(site.url, own["token"]).call("DELETE", f"/tokens/{own['id']}").status


def test_who_may_read_and_revoke_tokens(still_site: ApiSite) -> None:
    """The owner and admins, with the scope for it; a token of another organization is not found."""
    site = still_site
    made = site.client.ok("POST", "/tokens", {"name": "t", "scope": "read"})
    clients = [
        site.with_token(role=Role.MEMBER), site.with_token(scope=Scope.REPORT), site.with_token(scope=Scope.READ),
        site.their_client, site.nobody,
    ]  # fmt: skip

    assert [403, 403, 200, 200, 401] == [client.call("GET", "/tokens").status for client in clients]
    assert [403, 403, 403, 404, 401] == [client.call("DELETE", f"/tokens/{made['id']}").status for client in clients]
    assert made["id"] == _list(site, made)["id"]


def test_a_project_token_is_for_a_project_that_takes_runs(still_site: ApiSite) -> None:
    """422 for another organization's, an unknown and an archived project, in the same words."""
    site = still_site
    archived = site.project()
    site.sql("UPDATE projects SET archived_at = 1 WHERE id = :id", id=archived)
    responses = [
        site.client.call("POST", "/tokens", {"name": "t", "scope": "read", "project_id": project})
        for project in (site.theirs.project_id, 987_654, archived, 0, -1)
    ]

    assert {422} == {answer.status for answer in responses}
    assert 1 == len({answer.body for answer in responses})
    assert ["project_id"] == [error["field"] for error in responses[0].json["errors"]]


def test_a_project_token_does_what_a_member_of_it_may(still_site: ApiSite) -> None:
    """Runs of its project and their deliveries, and names of channels; nothing else, though its user is the owner."""
    site = still_site
    mine, other = site.project(), site.project()
    channel = site.channel("https://one.example.org/path")
    hidden = site.client.ok("POST", "/runs", {"name": "n", "project_id": other})
    ci = _project_client(site, mine)
    run = ci.ok("POST", "/runs", {"name": "n"})
    organization = f"/organizations/{site.ours.organization_id}"
    delivery = ci.ok("GET", f"/runs/{run['id']}/deliveries")["items"][0]

    assert mine == run["project_id"]
    assert [run["id"]] == [one["id"] for one in ci.ok("GET", "/runs")["items"]]
    assert 404 == ci.call("GET", f"/runs/{hidden['id']}").status
    assert 404 == ci.call("POST", "/runs", {"name": "n", "project_id": other}).status
    hidden_delivery = site.client.ok("GET", f"/runs/{hidden['id']}/deliveries")["items"][0]
    assert [200, 404] == [ci.call("GET", f"/deliveries/{one['id']}").status for one in (delivery, hidden_delivery)]
    assert {} == ci.ok("GET", f"/channels/{channel['id']}")["settings"]
    assert "Ours" == ci.ok("GET", organization)["name"]
    refused = [
        *(("GET", f"{organization}/{noun}") for noun in ("members", "projects", "invitations", "audit", "deliveries")),
        ("GET", "/tokens"), ("DELETE", f"/channels/{channel['id']}"), ("POST", f"/deliveries/{delivery['id']}/cancel"),
        ("DELETE", organization), ("DELETE", f"/projects/{mine}"),
    ]  # fmt: skip
    wrong = {route: ci.call(*route).status for route in refused}
    assert {403} == set(wrong.values()), wrong


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.call("GET", "/runs").status,
        lambda client: client.call("POST", "/runs", {"name": "n"}).status,
        lambda client: client.call("DELETE", "/channels/987654").status,
    ],
    ids=["read", "write", "refused"],
)
def test_the_last_use_is_kept_once_a_minute(still_site: ApiSite, use: Callable[[Client], int]) -> None:
    """Reads, writes and refused requests count; many within a minute are noted once, the next minute's again."""
    site = still_site
    made = site.client.ok("POST", "/tokens", {"name": "t", "scope": "manage"})
    client = Client(site.url, made["token"])
    assert _list(site, made)["last_used_at"] is None
    use(client)
    first = _list(site, made)["last_used_at"]
    for _ in range(5):
        use(client)

    assert first is not None
    assert first == _list(site, made)["last_used_at"]
    site.sql("UPDATE tokens SET last_used_at = last_used_at - 60000000 WHERE id = :id", id=made["id"])
    before = _list(site, made)["last_used_at"]
    use(client)
    assert before < first < _list(site, made)["last_used_at"]


def test_a_token_loses_with_its_user(still_site: ApiSite) -> None:
    """Demoted, its user's token does less from the next request on; removed, it is nobody's."""
    site = still_site
    admin = site.with_token(role=Role.ADMIN)
    made = admin.ok("POST", "/tokens", {"name": "t", "scope": "manage"})
    site.sql("UPDATE members SET role = 'member' WHERE user_id = :id", id=made["user_id"])
    token = Client(site.url, made["token"])

    assert [403, 200] == [token.call("GET", path).status for path in ("/tokens", "/organizations")]
    site.sql("DELETE FROM members WHERE user_id = :id", id=made["user_id"])
    assert 401 == token.call("GET", "/organizations").status
