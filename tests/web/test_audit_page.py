"""The page of the audit log, and the file of it."""

import json
import re

import pytest

from loadbell.domain.orgs import Role
from tests.api.site import ApiSite
from tests.web.team import Team


def change_things(team: Team) -> None:
    """The owner adds a project, then renames the organization."""
    team.owner.post(f"{team.path}/projects", {"name": "Night"})
    team.owner.post(f"{team.path}/settings", {"name": "Pier", "default_project_id": ""})


def test_who_changed_what(team: Team) -> None:
    """Newest first: what, who, from where, and how it changed in words."""
    change_things(team)

    page = team.admin.get(f"{team.path}/audit")

    found = re.findall(r'<span class="name mono">([\w.]+)</span>', page.text)
    assert found == ["organization.changed", "project.created"]
    assert "name: Harbour Shop → Pier" in page.words
    assert "127.0.0.1" in page.words


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("action=project.created", ["project.created"]),
        ("action=nothing", []),
        ("until=2020-01-01T00:00", []),
        ("since=2020-01-01T00:00", ["organization.changed", "project.created"]),
    ],
)
def test_filters(team: Team, query: str, found: list[str]) -> None:
    """They narrow the page and the file alike."""
    change_things(team)

    page = team.owner.get(f"{team.path}/audit?{query}")
    file = team.owner.get(f"{team.path}/audit/export?{query}")

    assert re.findall(r'<span class="name mono">([\w.]+)</span>', page.text) == found
    assert [json.loads(line)["action"] for line in file.text.splitlines()] == found
    assert f"/audit/export?{query.partition('=')[0]}=" in page.text


def test_one_person(team: Team) -> None:
    """Of whom one may choose among the members."""
    change_things(team)
    admin, owner = team.user(Role.ADMIN), team.user(Role.OWNER)

    assert "No entries match these filters." in team.owner.get(f"{team.path}/audit?user_id={admin}").words
    assert "project.created" in team.owner.get(f"{team.path}/audit?user_id={owner}").words


def test_the_file(team: Team) -> None:
    """JSON lines with the fields of the API, to be saved, kept by nobody on the way."""
    change_things(team)

    file = team.owner.get(f"{team.path}/audit/export")

    assert file.headers["content-type"].startswith("application/jsonl")
    assert file.headers["content-disposition"].startswith("attachment;")
    assert file.headers["cache-control"] == "no-store"
    first = json.loads(file.text.splitlines()[0])
    assert first["changes"] == {"name": {"before": "Harbour Shop", "after": "Pier"}}
    assert first["user_id"] == team.user(Role.OWNER)


def test_a_time_that_is_none(team: Team) -> None:
    """The page says what is wrong."""
    page = team.owner.get(f"{team.path}/audit?since=soon")
    assert page.status == 422
    assert "enter a date and time" in page.words


def test_members_and_strangers(team: Team, still_site: ApiSite) -> None:
    """Members are told whom to ask; another organization's log is not there."""
    for path in ("audit", "audit/export"):
        refused = team.member.get(f"{team.path}/{path}")
        assert refused.status == 403
        assert "Ask the owner or an admin" in refused.words
        assert team.owner.get(f"/organizations/{still_site.theirs.organization_id}/{path}").status == 404
