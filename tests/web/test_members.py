"""The pages of members and invitations."""

import re

from loadbell.domain.orgs import Role
from tests.api.site import ApiSite
from tests.web.browser import Browser
from tests.web.team import PASSWORD, Team


def test_somebody_is_invited_and_joins(team: Team) -> None:
    """The link is shown this once; it lets its reader in, with the projects that were chosen."""
    path = f"{team.path}/members"
    page = team.admin.post(path, {"email": "jo@example.net", "role": "member", "project_ids": str(team.project_id)})
    link = re.search(r"https?://[^/]+(/invitations/[\w-]+)", page.text)
    assert link is not None
    assert "jo@example.net was invited." in page.words
    listed = team.admin.get(path)
    assert "jo@example.net Member · invited just now" in listed.words
    assert link[0] not in listed.text

    guest = Browser(team.site.url)
    joined = guest.post(link[1], {"name": "Jo", "password": PASSWORD})

    assert joined.status in {200, 303}
    words = team.owner.get(path).words
    assert "Jo jo@example.net Member Web shop" in words
    assert "No pending invitations." in words


def test_what_is_wrong_with_an_invitation(team: Team) -> None:
    """It is told at its field, and what was typed is kept."""
    path = f"{team.path}/members"
    for fields, wrong in (
        ({"email": "nonsense", "role": "member"}, 'id="email-wrong"'),
        ({"email": "a@example.net", "role": "owner"}, 'id="role-wrong"'),
        ({"email": "a@example.net", "role": "member", "project_ids": "999999"}, "of this organization that aren"),
    ):
        page = team.owner.post(path, fields)
        assert page.status == 422
        assert wrong in page.text
        assert fields["email"] in page.text


def test_an_invitation_is_revoked(team: Team) -> None:
    """Its link no longer works."""
    path = f"{team.path}/members"
    page = team.owner.post(path, {"email": "jo@example.net", "role": "admin"})
    link = re.search(r"/invitations/lb\w_[\w-]+", page.text)
    revoke = re.search(r'action="([^"]+/revoke)"', page.text)
    assert link is not None
    assert revoke is not None

    answer = team.owner.post(revoke[1], {}, of=path)

    assert answer.location == f"{path}?done=revoked"
    assert Browser(team.site.url).get(link[0]).status == 404
    assert team.owner.post(revoke[1], {}, of=path).status == 404


def test_a_member_is_changed_and_removed(team: Team) -> None:
    """Role and projects are kept; who was removed opens nothing here any more."""
    user = team.user(Role.MEMBER)
    path = f"{team.path}/members"

    answer = team.admin.post(f"{path}/{user}", {"role": "admin", "project_ids": str(team.project_id)})
    assert answer.location == f"{path}?done=changed"
    assert "Admin all Edit" in team.admin.get(path).words
    team.admin.post(f"{path}/{user}", {"role": "member", "project_ids": str(team.project_id)})
    assert "Member Web shop Edit" in team.admin.get(path).words
    wrong = team.admin.post(f"{path}/{user}", {"role": "owner"})
    assert wrong.status == 422

    page = team.admin.post(f"{path}/{user}/remove", {}, of=f"{path}/{user}")
    assert page.location == f"{path}?done=removed"
    assert team.member.get(f"{team.path}/settings").status == 404


def test_nobody_removes_the_owner(team: Team) -> None:
    """The page offers no way, and the form is refused with the way out."""
    owner = team.user(Role.OWNER)
    path = f"{team.path}/members/{owner}"
    assert "Remove from organization" not in team.admin.get(path).words
    refused = team.admin.post(f"{path}/remove", {}, of=path)
    assert refused.status == 403
    assert "transfer ownership first" in refused.words


def test_members_are_told_whom_to_ask(team: Team) -> None:
    """The Roles lines: who belongs to it is for the owner and admins."""
    user = team.user(Role.OWNER)
    path = f"{team.path}/members"
    for address in (path, f"{path}/{user}"):
        refused = team.member.get(address)
        assert refused.status == 403
        assert "Ask the owner or an admin" in refused.words
    for form in ("", f"/{user}", f"/{user}/remove", "/invitations/1/revoke"):
        assert team.member.post(f"{path}{form}", {"role": "member"}, of="/account").status == 403, form


def test_strangers_and_other_sites(team: Team, still_site: ApiSite) -> None:
    """Another organization's members are not there; a form without its token does nothing."""
    user = team.user(Role.MEMBER)
    theirs = f"/organizations/{still_site.theirs.organization_id}/members"
    assert team.owner.get(theirs).status == 404
    assert team.owner.get(f"{team.path}/members/{still_site.theirs.user_id}").status == 404
    for form in ("", f"/{user}", f"/{user}/remove", "/invitations/1/revoke"):
        assert team.owner.post(f"{theirs}{form}", {"role": "member"}, of="/account").status == 404
        assert team.owner.send("POST", f"{team.path}/members{form}", {"role": "member"}).status == 403
