"""Organizations and tokens over REST."""

from typing import Any

import pytest

from loadbell.domain.orgs import Role, Scope
from tests.api.site import ApiSite
from tests.support.server import Client


def test_a_new_organization_is_its_owners_alone(site: ApiSite) -> None:
    """POST /organizations answers 201 with id, project and a manage token, which sees nothing of the first one."""
    answer = site.client.call("POST", "/organizations", {"name": "Second"})
    made = answer.json
    second = Client(site.url, made["token"])
    run = second.ok("POST", "/runs", {"name": "n"})

    assert 201 == answer.status
    assert ["id", "project_id", "token"] == list(made)
    assert (made["id"], made["project_id"], site.ours.user_id) == (
        run["organization_id"], run["project_id"], run["user_id"],
    )  # fmt: skip
    assert 404 == site.client.call("GET", f"/runs/{run['id']}").status
    assert 404 == second.call("GET", f"/organizations/{site.ours.organization_id}/channels").status
    assert [] == second.ok("GET", f"/organizations/{made['id']}/channels")["items"]


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("role", list(Role)[1:])
def test_a_token_finds_its_organization(site: ApiSite, scope: Scope, role: Role) -> None:
    """GET /organizations lists the token's own organization and no other, for every scope and role, and who asks.

    The default project is named only to those who see it.
    """
    listed = site.with_token(scope=scope, role=role).ok("GET", "/organizations")
    (own,) = listed["items"]

    assert ["id", "name", "default_project_id", "created_at", "user_id", "role"] == list(own)
    assert (site.ours.organization_id, "Ours", None) == (own["id"], own["name"], listed["next_cursor"])
    assert (None if role is Role.MEMBER else site.ours.project_id) == own["default_project_id"]
    assert role.value == own["role"]
    (theirs,) = site.their_client.ok("GET", "/organizations")["items"]
    assert site.theirs.organization_id == theirs["id"]


@pytest.mark.parametrize("scope", ["report", "read", "manage"])
def test_a_new_token_may_do_what_its_scope_says(site: ApiSite, scope: str) -> None:
    """POST /tokens answers 201 with what lists show and the token; it works within its scope."""
    answer = site.client.call(
        "POST", "/tokens", {"name": "t", "scope": scope, "trigger": "ci", "expires_at": "2999-01-01T00:00:00+01:00"}
    )
    client = Client(site.url, answer.json["token"])
    run = client.call("POST", "/runs", {"name": "n"})

    assert 201 == answer.status
    assert [
        "id", "user_id", "name", "scope", "trigger", "project_id", "prefix", "created_at", "expires_at",
        "last_used_at", "token",
    ] == list(answer.json)  # fmt: skip
    assert 200 == client.call("GET", "/runs").status
    assert (403 if scope == "read" else 201) == run.status
    assert scope == "read" or run.json["trigger"] == "ci"
    assert (201 if scope == "manage" else 403) == client.call(
        "POST", "/tokens", {"name": "u", "scope": "report"}
    ).status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "t", "scope": "all"}, "scope"),
        ({"name": "t"}, "scope"),
        ({"scope": "read"}, "name"),
        ({"name": "", "scope": "read"}, "name"),
        ({"name": "t", "scope": "read", "trigger": "moon"}, "trigger"),
        ({"name": "t", "scope": "read", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "t", "scope": "read", "expires_at": "2999-01-01T00:00:00"}, "expires_at"),
        ({"name": "t", "scope": "read", "expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"name": "t", "scope": "read", "expires_at": 5}, "expires_at"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(site: ApiSite, body: dict[str, Any], field: str) -> None:
    """422 names the field."""
    answer = site.client.call("POST", "/tokens", body)

    assert (422, [field]) == (answer.status, [error["field"] for error in answer.json["errors"]])


def test_only_owners_and_admins_make_tokens(site: ApiSite) -> None:
    """A member with a manage token may not make another one; an admin may."""
    body = {"name": "t", "scope": "report"}

    assert 403 == site.with_token(role=Role.MEMBER).call("POST", "/tokens", body).status
    assert 201 == site.with_token(role=Role.ADMIN).call("POST", "/tokens", body).status
    assert 403 == site.with_token(scope=Scope.READ).call("POST", "/organizations", {"name": "x"}).status
