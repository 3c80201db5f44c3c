"""Members, projects and organizations over REST: what the routes give, and who may ask."""

from loadbell.domain.orgs import Role, Scope
from tests.api.site import ApiSite

PROJECT_KEYS = ["id", "organization_id", "name", "default", "archived_at", "created_at"]


def test_a_projects_way(still_site: ApiSite) -> None:
    """Added, listed, archived, restored, looked at with a dry run, deleted."""
    site = still_site
    home = f"/organizations/{site.ours.organization_id}/projects"
    made = site.client.ok("POST", home, {"name": "Shop"})
    path = f"/projects/{made['id']}"

    assert PROJECT_KEYS == list(made)
    assert made == site.client.ok("GET", path)
    assert made in site.client.ok("GET", home)["items"]
    assert site.client.ok("PATCH", path, {"archived": True, "name": "Old"})["archived_at"]
    assert 409 == site.client.call("POST", "/runs", {"name": "r", "project_id": made["id"]}).status
    assert site.client.ok("PATCH", path, {"archived": False})["archived_at"] is None
    site.client.ok("POST", "/runs", {"name": "r", "project_id": made["id"]})
    before = site.contents()
    looked = site.client.ok("DELETE", f"{path}?dry_run=true")
    assert before == site.contents()
    assert looked == site.client.ok("DELETE", path)
    assert {"tests": 1, "runs": 1, "open_runs": 1}.items() <= looked.items()
    assert 404 == site.client.call("GET", path).status
    assert 409 == site.client.call("DELETE", f"/projects/{site.ours.project_id}?dry_run=true").status


def test_who_may_ask_about_projects_and_members(still_site: ApiSite) -> None:
    """Another organization: 404; a member: 403; no token: 401, whatever else is wrong; a token that reads: reads."""
    site = still_site
    home = f"/organizations/{site.ours.organization_id}"
    reader, member = site.with_token(scope=Scope.READ), site.with_token(role=Role.MEMBER)
    user = f"{home}/members/{site.ours.user_id}"
    for method, path, body in (
        ("GET", f"{home}/projects", None),
        ("GET", f"/projects/{site.ours.project_id}", None),
        ("GET", f"{home}/members", None),
        ("PATCH", f"/projects/{site.ours.project_id}", {"name": "x"}),
        ("DELETE", f"/projects/{site.ours.project_id}?dry_run=maybe", None),
        ("PATCH", user, {"role": "admin"}),
        ("DELETE", f"{home}?dry_run=true", None),
        ("PATCH", home, {"name": "x"}),
    ):
        wrong = "maybe" in path
        assert 401 == site.nobody.call(method, path, body).status, path
        assert (422 if wrong else 404) == site.their_client.call(method, path, body).status, path
        assert (422 if wrong else 403) == member.call(method, path, body).status, path
        assert (422 if wrong else 200 if method == "GET" else 403) == reader.call(method, path, body).status, path


def test_an_organizations_end(still_site: ApiSite) -> None:
    """Renamed, looked at, deleted by its owner; its token is worth nothing afterwards, and others are as they were."""
    site = still_site
    made = site.client.ok("POST", "/organizations", {"name": "Short"})
    owner = type(site.client)(site.url, made["token"])
    path = f"/organizations/{made['id']}"
    assert 404 == owner.call("PATCH", path, {"default_project_id": site.ours.project_id}).status
    assert "Long" == owner.ok("PATCH", path, {"name": "Long"})["name"]
    looked = owner.ok("DELETE", f"{path}?dry_run=true")

    assert {"members": 1, "projects": 1, "tokens": 1, "runs": 0}.items() <= looked.items()
    assert looked == owner.ok("DELETE", path)
    assert 401 == owner.call("GET", path).status
    assert 200 == site.client.call("GET", f"/organizations/{site.ours.organization_id}").status


def test_a_member_reads_the_name_and_leaves(still_site: ApiSite) -> None:
    """With a manage token; one that reads may not leave."""
    site = still_site
    home = f"/organizations/{site.ours.organization_id}"
    member = site.with_token(role=Role.MEMBER)
    newest = site.client.ok("GET", f"{home}/members?limit=1")["items"][0]

    assert ["user_id", "email", "name", "role", "project_ids", "created_at"] == list(newest)
    assert "Ours" == member.ok("GET", home)["name"]
    assert 204 == member.call("DELETE", f"{home}/members/{newest['user_id']}").status
    assert 401 == member.call("GET", home).status
