"""One's organizations and the settings of one, by the pages."""

import re

import pytest

from loadbell.domain.orgs import Role
from tests.api.site import ApiSite
from tests.web.browser import Browser
from tests.web.team import Team


@pytest.fixture
def own(signed_in: Browser) -> int:
    """An organization that the person of the browser owns."""
    page = signed_in.post("/organizations", {"name": "Harbour Shop"})
    assert page.status == 200, page.words
    found = re.search(r"/organizations/(\d+)/settings", page.text)
    assert found is not None
    return int(found[1])


def test_an_organization_is_added(signed_in: Browser) -> None:
    """Its token is shown once; the list names it, as the asker's own, with the way to its settings."""
    page = signed_in.post("/organizations", {"name": " Quay "})

    token = re.search(r"<code>(lb_[^<]+)</code>", page.text)
    assert token is not None
    assert "Quay is ready" in page.words
    listed = signed_in.get("/organizations")
    assert "Quay Owner Organization settings" in listed.words
    assert token[1] not in listed.text


def test_the_bar_names_the_new_organization(signed_in: Browser) -> None:
    """From its first page on, whichever the browser looked at before: what is done next is done there."""
    page = signed_in.post("/organizations", {"name": "Quay"})

    assert '<span class="org">Quay</span>' in page.text
    made = re.search(r"/organizations/(\d+)/settings", page.text)
    assert made is not None
    assert f"/organizations/{made[1]}/notifications" in page.text
    assert '<span class="org">Quay</span>' in signed_in.get("/organizations").text


def test_a_bad_name_is_told_at_its_field(signed_in: Browser, own: int) -> None:
    """Nothing is added or changed; what was written is kept."""
    for path in ("/organizations", f"/organizations/{own}/settings"):
        page = signed_in.post(path, {"name": "x" * 201})
        assert page.status == 422
        assert 'id="name-wrong"' in page.text
        assert "x" * 201 in page.text


def test_its_owner_changes_it(signed_in: Browser, own: int) -> None:
    """A new name is kept, and the page says so; a project that has gone meanwhile is told at its field."""
    path = f"/organizations/{own}/settings"

    answer = signed_in.post(path, {"name": "Pier", "default_project_id": ""})
    wrong = signed_in.post(path, {"name": "Quay", "default_project_id": "999999"})

    assert (answer.status, answer.location) == (303, f"{path}?done=saved")
    page = signed_in.get(answer.location)
    assert "Settings saved." in page.words
    assert 'value="Pier"' in page.text
    assert wrong.status == 422
    assert 'id="default_project_id-wrong"' in wrong.text
    assert 'value="Quay"' in wrong.text


def test_it_is_handed_over(signed_in: Browser, own: int, still_site: ApiSite) -> None:
    """The new owner has it, whoever had it is an admin; somebody who is no member can't get it."""
    path = f"/organizations/{own}"
    assert "You're the only member." in signed_in.get(f"{path}/settings").words
    heir = still_site.person(still_site.theirs)
    stranger = signed_in.post(f"{path}/transfer", {"user_id": str(heir)}, of=f"{path}/settings")
    assert stranger.status == 422
    assert "New owner: choose a current member" in stranger.words
    still_site.sql("UPDATE members SET organization_id = :own WHERE user_id = :heir", own=own, heir=heir)

    answer = signed_in.post(f"{path}/transfer", {"user_id": str(heir)}, of=f"{path}/settings")

    assert answer.status == 303
    page = signed_in.get(answer.location)
    assert "You're now an admin." in page.words
    assert "Delete permanently" not in page.text
    refused = signed_in.post(f"{path}/delete", {}, of=f"{path}/settings")
    assert refused.status == 403
    assert "Ask the owner" in refused.words


def test_its_owner_deletes_it(signed_in: Browser, own: int) -> None:
    """The page names first what is lost; then it is gone for good. The owner can't leave instead."""
    path = f"/organizations/{own}"
    assert "1 project with 0 tests and 0 runs" in signed_in.get(f"{path}/settings").words
    assert signed_in.post(f"{path}/leave", {}, of=f"{path}/settings").status == 409

    answer = signed_in.post(f"{path}/delete", {}, of=f"{path}/settings")

    assert answer.location == "/organizations?done=deleted"
    page = signed_in.get(answer.location)
    assert "Organization deleted." in page.words
    assert "Harbour Shop" not in page.words
    assert signed_in.get(f"{path}/settings").status == 404


def test_a_member_reads_and_leaves(signed_in: Browser, still_site: ApiSite) -> None:
    """A member is told whom to ask, may change nothing, and may go."""
    path = f"/organizations/{still_site.ours.organization_id}"
    page = signed_in.get(f"{path}/settings")
    assert "Only the owner and admins can change these settings." in page.words
    for action, fields in (("settings", {"name": ""}), ("transfer", {"user_id": "1"}), ("delete", {})):
        refused = signed_in.post(f"{path}/{action}", fields, of=f"{path}/settings")
        assert refused.status == 403
        assert "Ask the owner" in refused.words

    answer = signed_in.post(f"{path}/leave", {}, of=f"{path}/settings")

    assert answer.location == "/organizations?done=left"
    assert "You left the organization." in signed_in.get(answer.location).words
    assert signed_in.get(f"{path}/settings").status == 404


def test_an_admin_changes_it_but_does_not_end_it(team: Team) -> None:
    """An admin renames it and may leave; to hand it over or delete it the admin is told to ask the owner."""
    path = f"{team.path}/settings"
    page = team.admin.get(path)
    assert "You're an admin." in page.words
    assert "Leave organization" in page.words
    assert "Transfer ownership" not in page.words
    assert "Delete permanently" not in page.words

    assert team.admin.post(path, {"name": "Pier", "default_project_id": str(team.project_id)}).status == 303
    for action, fields in (("transfer", {"user_id": str(team.user(Role.ADMIN))}), ("delete", {})):
        refused = team.admin.post(f"{team.path}/{action}", fields, of=path)
        assert refused.status == 403
        assert "Ask the owner" in refused.words

    assert 'value="Pier"' in team.admin.get(path).text
    assert "You're the owner." in team.owner.get(path).words


def test_an_archived_project_is_told_at_its_field(team: Team) -> None:
    """It was archived while the form was open: nothing is changed, not even the name."""
    client, path = team.client(), f"{team.path}/settings"
    project = client.ok("POST", f"{team.path}/projects", {"name": "Old"})["id"]
    client.ok("PATCH", f"/projects/{project}", {"archived": True})

    page = team.owner.post(path, {"name": "Pier", "default_project_id": str(project)})

    assert page.status == 422
    assert 'id="default_project_id-wrong"' in page.text
    assert "Harbour Shop. You're the owner." in team.owner.get(path).words


@pytest.mark.parametrize("chosen", ["", "x", "999999", "oneself"])
def test_who_can_not_own_it_is_told_at_the_field(team: Team, chosen: str) -> None:
    """Nobody, a stranger, or the owner already: it stays as it is, and the page says what to choose instead."""
    team.browser(Role.ADMIN)
    user_id = str(team.user(Role.OWNER)) if chosen == "oneself" else chosen

    page = team.owner.post(f"{team.path}/transfer", {"user_id": user_id}, of=f"{team.path}/settings")

    assert page.status == 422
    assert 'id="user_id-wrong"' in page.text
    assert "You're the owner." in page.words


def test_another_organization_is_not_there(signed_in: Browser, still_site: ApiSite) -> None:
    """Its pages and forms are answered as if nothing had that id."""
    path = f"/organizations/{still_site.theirs.organization_id}"

    assert signed_in.get(f"{path}/settings").status == 404
    for action in ("settings", "transfer", "leave", "delete"):
        assert signed_in.post(f"{path}/{action}", {"name": "Mine"}, of="/organizations").status == 404


def test_forms_prove_where_they_come_from(signed_in: Browser, own: int) -> None:
    """Without the token of the page nothing is done."""
    assert signed_in.send("POST", "/organizations", {"name": "Quay"}).status == 403
    for action in ("settings", "transfer", "leave", "delete"):
        assert signed_in.send("POST", f"/organizations/{own}/{action}", {"name": "Quay"}).status == 403
