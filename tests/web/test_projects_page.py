"""The pages of projects."""

from tests.api.site import ApiSite
from tests.web.team import Team

FORMS = ("", "/archive", "/default", "/delete")


def add_project(team: Team, name: str = "Night") -> str:
    """The address of a new project."""
    answer = team.owner.post(f"{team.path}/projects", {"name": name})
    assert answer.location == f"{team.path}/projects?done=added"
    items = team.client().ok("GET", f"/organizations/{team.organization_id}/projects")["items"]
    return f"{team.path}/projects/{items[0]['id']}"


def test_a_project_is_added_and_renamed(team: Team) -> None:
    """The list names it; a bad name is told at its field."""
    path = add_project(team, " Night ")
    wrong = team.owner.post(f"{team.path}/projects", {"name": "x" * 201})

    answer = team.admin.post(path, {"name": "Nightly"})
    refused = team.admin.post(path, {"name": ""})

    assert answer.location == f"{team.path}/projects?done=changed"
    assert "Nightly" in team.admin.get(answer.location).words
    for page in (wrong, refused):
        assert page.status == 422
        assert 'id="name-wrong"' in page.text


def test_no_more_projects_than_may_be(team: Team, still_site: ApiSite) -> None:
    """The page says which quota it is and who may raise it, beside what was typed."""
    still_site.sql(
        "INSERT INTO projects (organization_id, name, created_at) WITH RECURSIVE n (i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT CAST(:id AS bigint), 'x', 0 FROM n",
        id=team.organization_id,
    )
    refused = team.owner.post(f"{team.path}/projects", {"name": "One more"})
    still_site.sql("DELETE FROM projects WHERE organization_id = :id AND name = 'x'", id=team.organization_id)

    assert refused.status == 409
    assert "LOADBELL_MAX_PROJECTS" in refused.words
    assert "One more" in refused.text


def test_a_project_is_archived_restored_and_made_the_default(team: Team) -> None:
    """An archived one takes no runs; the default one can be neither archived nor deleted, and the page says why."""
    path = add_project(team)
    team.owner.post(f"{path}/archive", {}, of=path)
    assert "It accepts no new runs; existing runs stay readable." in team.owner.get(path).words
    team.owner.post(f"{path}/archive", {"restore": "yes"}, of=path)
    assert "This project accepts runs." in team.owner.get(path).words

    answer = team.owner.post(f"{path}/default", {}, of=path)

    assert answer.location == f"{team.path}/projects?done=default"
    page = team.owner.get(path)
    assert "make another one the default first." in page.words
    assert "Delete project" not in page.words
    for form in ("/archive", "/delete"):
        assert team.owner.post(f"{path}{form}", {}, of=path).status == 409


def test_a_project_is_deleted(team: Team) -> None:
    """What is lost is named first."""
    path = add_project(team)
    project = int(path.rpartition("/")[2])
    team.client().ok("POST", "/runs", {"name": "Lost", "project_id": project})
    assert "1 test with 1 run, 1 of them unfinished" in team.owner.get(path).words

    answer = team.owner.post(f"{path}/delete", {}, of=path)

    assert answer.location == f"{team.path}/projects?done=deleted"
    assert team.owner.get(path).status == 404


def test_members_are_told_whom_to_ask(team: Team) -> None:
    """Projects are for the owner and admins."""
    path = add_project(team)
    for address in (f"{team.path}/projects", path):
        refused = team.member.get(address)
        assert refused.status == 403
        assert "Ask the owner or an admin" in refused.words
    assert team.member.post(f"{team.path}/projects", {"name": "x"}, of="/account").status == 403
    for form in FORMS:
        assert team.member.post(f"{path}{form}", {"name": "x"}, of="/account").status == 403, form


def test_strangers_and_other_sites(team: Team, still_site: ApiSite) -> None:
    """Another organization's projects are not there; a form without its token does nothing."""
    path = add_project(team)
    other = f"{team.path}/projects/{still_site.theirs.project_id}"
    theirs = f"/organizations/{still_site.theirs.organization_id}/projects"
    for address in (theirs, f"{theirs}/{still_site.theirs.project_id}", other):
        assert team.owner.get(address).status == 404
    for form in FORMS:
        assert team.owner.post(f"{other}{form}", {"name": "x"}, of="/account").status == 404, form
        assert team.owner.send("POST", f"{path}{form}", {"name": "x"}).status == 403
