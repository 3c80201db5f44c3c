"""The page of API tokens."""

import re

import pytest

from tests.api.site import ApiSite
from tests.support.server import Client
from tests.web.team import Team

GOOD = {"name": "nightly pipeline", "scope": "report", "trigger": "scheduled", "project_id": "", "expires_at": ""}


def test_a_token_is_made_used_and_revoked(team: Team) -> None:
    """It is shown this once, works, is listed with its prefix and last use, and can be taken back."""
    path = f"{team.path}/tokens"
    page = team.admin.post(path, GOOD)
    token = re.search(r"LOADBELL_TOKEN=(lb_[\w-]+)", page.text)
    assert token is not None
    assert "export LOADBELL_URL=http" in page.text
    client = Client(team.site.url, token[1])
    assert client.ok("POST", "/runs", {"name": "Night"})["trigger"] == "scheduled"

    listed = team.owner.get(path)

    assert token[1] not in listed.text
    assert token[1][:8] in listed.text
    assert re.search(r"nightly pipeline lb_\S+ report trigger scheduled admin-\S+ just now never Revoke", listed.words)
    revoke = re.search(r'action="([^"]+/revoke)"', listed.text)
    assert revoke is not None
    assert team.owner.post(revoke[1], {}, of=path).location == f"{path}?done=revoked"
    assert client.call("POST", "/runs", {"name": "Night"}).status == 401


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("scope", "all"),
        ("trigger", "x"),
        ("expires_at", "2020-01-01T00:00"),
        ("expires_at", "soon"),
        ("project_id", "999999"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(team: Team, field: str, value: str) -> None:
    """Nothing is made."""
    page = team.owner.post(f"{team.path}/tokens", {**GOOD, field: value})

    assert page.status == 422
    assert f'id="{field}-wrong"' in page.text
    assert "LOADBELL_TOKEN" not in page.text


def test_members_are_told_whom_to_ask(team: Team) -> None:
    """Tokens are for the owner and admins."""
    path = f"{team.path}/tokens"
    refused = team.member.get(path)
    assert refused.status == 403
    assert "Ask the owner or an admin" in refused.words
    for form in ("", "/1/revoke"):
        assert team.member.post(f"{path}{form}", GOOD, of="/account").status == 403, form


def test_strangers_and_other_sites(team: Team, still_site: ApiSite) -> None:
    """Another organization's tokens are not there; a form without its token does nothing."""
    theirs = f"/organizations/{still_site.theirs.organization_id}/tokens"
    assert team.owner.get(theirs).status == 404
    for form in ("", "/1/revoke"):
        assert team.owner.post(f"{theirs}{form}", GOOD, of="/account").status == 404
        assert team.owner.send("POST", f"{team.path}/tokens{form}", GOOD).status == 403
