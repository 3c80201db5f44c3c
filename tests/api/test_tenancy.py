"""Two organizations on one server: neither sees, changes or counts anything of the other."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.matrix import LINES, Line
from tests.api.matrix_requests import PASSWORD, Company, find_request, parts, send
from tests.api.site import ApiSite
from tests.support.server import Answer, Client

NOBODYS = 987_654_321
NOBODYS_UUID = "0190c9de-0000-7000-8000-00000000dead"

WITH_IDS = [line for line in LINES if line.ids and not line.note]
LISTS = [line for line in LINES if line.method == "GET" and line.expected["own"] == 200 and not line.note] + [
    line for line in LINES if line.method == "GET" and line.expected["ses"] == 200
]


@pytest.fixture(scope="module")
def ours(still_site: ApiSite) -> Company:
    """A company with one of everything that routes name."""
    return _complete(find_request(still_site))


@pytest.fixture(scope="module")
def theirs(still_site: ApiSite) -> Company:
    """Another one."""
    return _complete(find_request(still_site))


def _complete(company: Company) -> Company:
    for name in dict.fromkeys(name for line in LINES for name in line.ids):
        company.get_path(name)
    return company


def _asker(line: Line) -> str:
    """Who may do it in the own organization, as a column of the matrix."""
    return "own" if line.expected["own"] < 300 else "ses"


def _without_ids(answer: Answer, *ids: Any) -> tuple[int, str]:
    """Status and body without the ids that were asked for."""
    said = answer.body.decode()
    for asked in sorted(map(str, ids), key=len, reverse=True):
        said = re.sub(rf"(?<![\w-]){re.escape(asked)}(?![\w-])", "ID", said)
    return answer.status, said


@pytest.mark.parametrize("line", WITH_IDS, ids=lambda line: line.name)
def test_another_organizations_ids_lead_nowhere(
    still_site: ApiSite, ours: Company, theirs: Company, line: Line
) -> None:
    """Each id in a path, alone and all at once: 404, in the words for an id that nothing has, and nothing changes."""
    good = parts(line, ours, _asker(line)).ids
    swaps = [(name,) for name in line.ids] + [tuple(line.ids)]
    before = still_site.contents()
    for names in swaps:
        foreign = {name: theirs.get_path(name) for name in names}
        unused = {name: NOBODYS_UUID if name == "delivery_id" else NOBODYS for name in names}
        answers = [
            _without_ids(send(line, ours, _asker(line), **others), *others.values(), *good.values())
            for others in (foreign, unused)
        ]

        assert 404 == answers[0][0], (names, answers[0])
        assert answers[0] == answers[1], names
    assert before == still_site.contents()


CHANNEL = {"kind": "webhook", "name": "n", "settings": {"url": "http://127.0.0.1:9/"}}
INVITED = {"email": "new@example.org", "role": "member"}
NAMED: dict[str, tuple[int, Callable[[Company, Any], tuple[str, str, Any]]]] = {
    # A body or query that names the other's project or organization. 404: the request is about that thing. 422: it is
    # about something else, and the field is wrong, as it is for an id that nothing has.
    "POST /runs project_id": (404, lambda _, project: ("POST", "/runs", {"name": "n", "project_id": project})),
    "GET /runs project_id": (404, lambda _, project: ("GET", f"/runs?project_id={project}", None)),
    "POST /organizations/ID/channels subscription.projects": (
        422,
        lambda us, project: (
            "POST",
            f"/organizations/{us.id}/channels",
            {**CHANNEL, "subscription": {"projects": [us.project_id, project]}},
        ),
    ),
    "PATCH /channels/ID subscription.projects": (
        422,
        lambda us, project: (
            "PATCH",
            f"/channels/{us.get_path('channel_id')}",
            {"subscription": {"projects": [project]}},
        ),
    ),
    "POST /tokens project_id": (
        422,
        lambda _, project: ("POST", "/tokens", {"name": "n", "scope": "report", "project_id": project}),
    ),
    "PATCH /organizations/ID default_project_id": (
        404,
        lambda us, project: ("PATCH", f"/organizations/{us.id}", {"default_project_id": project}),
    ),
    "PATCH /organizations/ID/members/ID project_ids": (
        422,
        lambda us, project: (
            "PATCH",
            f"/organizations/{us.id}/members/{us.users['one']}",
            {"project_ids": [us.project_id, project]},
        ),
    ),
    "POST /organizations/ID/invitations project_ids": (
        422,
        lambda us, project: ("POST", f"/organizations/{us.id}/invitations", {**INVITED, "project_ids": [project]}),
    ),
}


@pytest.mark.parametrize("named", NAMED)
def test_another_organizations_project_can_not_be_named(
    still_site: ApiSite, ours: Company, theirs: Company, named: str
) -> None:
    """It is answered as a project that nobody has, and nothing changes."""
    status, ask = NAMED[named]
    ask(ours, 0)  # makes what it is about
    before = still_site.contents()
    answers = [_without_ids(ours.owner.call(*ask(ours, project)), project) for project in (theirs.project_id, NOBODYS)]

    assert status == answers[0][0], answers[0]
    assert answers[0] == answers[1]
    assert before == still_site.contents()


@pytest.mark.parametrize("field", ["organization_id", "project_id"])
def test_a_session_makes_no_token_beyond_its_organizations(
    still_site: ApiSite, ours: Company, theirs: Company, field: str
) -> None:
    """POST /account/tokens: another's organization is 404, another's project 422, each as one that nobody has."""
    body = {"organization_id": ours.id, "name": "n", "scope": "report"}
    foreign = theirs.id if field == "organization_id" else theirs.project_id
    before = still_site.contents()
    answers = [
        _without_ids(ours.client("ses").call("POST", "/account/tokens", {**body, field: value}), value)
        for value in (foreign, NOBODYS)
    ]

    assert {"organization_id": 404, "project_id": 422}[field] == answers[0][0], answers[0]
    assert answers[0] == answers[1]
    assert before == still_site.contents()


@pytest.mark.parametrize("suffix", ["", "/export"])
def test_the_audit_log_is_not_filtered_by_strangers(
    still_site: ApiSite, ours: Company, theirs: Company, suffix: str
) -> None:
    """``user_id`` may be of somebody who left, so it can't be refused: a stranger's finds nothing, as nobody's does."""
    path = f"/organizations/{ours.id}/audit{suffix}?user_id="
    answers = [ours.owner.call("GET", f"{path}{user_id}") for user_id in (theirs.users["own"], NOBODYS)]

    assert (200, answers[0].body) == (answers[1].status, answers[1].body)
    assert answers[0].body in {b"", b'{"items":[],"next_cursor":null}'}


@pytest.mark.parametrize("line", LISTS, ids=lambda line: line.name)
def test_what_the_other_organization_has_does_not_show(still_site: ApiSite, line: Line) -> None:
    """Each answer of ours, and each page of it, stays the same to the byte when the neighbour gets something of all."""
    us, neighbour = _complete(find_request(still_site)), find_request(still_site)
    before = _pages(line, us)
    _complete(neighbour)

    assert before == _pages(line, us)


def _pages(line: Line, company: Company) -> list[Any]:
    """The whole answer, then one item a page, without when credentials were last used: that is to the minute."""
    good, client = parts(line, company, _asker(line)), company.client(_asker(line))
    path = line.path.format(**good.ids)
    response = client.call("GET", path)
    items = [_without_uses(response)]
    if b'"next_cursor":' not in response.body:
        return items
    page = client.call("GET", f"{path}?limit=1")
    while page.json["next_cursor"] is not None:
        items.append(_without_uses(page))
        page = client.call("GET", f"{path}?limit=1&cursor={page.json['next_cursor']}")
    return [*items, _without_uses(page)]


def _without_uses(answer: Answer) -> tuple[int, str]:
    return answer.status, re.sub(r'"last_used_at":("[^"]*"|null)', "", answer.body.decode())


def test_somebody_in_both_is_two_members(still_site: ApiSite) -> None:
    """Each organization sees and removes its own: the other's role, projects and tokens stay out of sight, and stay."""
    us, them = find_request(still_site), find_request(still_site)
    shared = us.users["mem"]
    invited = {"email": us.email("mem"), "role": "member", "project_ids": [them.project_id]}
    token = them.owner.ok("POST", f"/organizations/{them.id}/invitations", invited)["token"]
    joined = still_site.nobody.ok("POST", "/invitations/accept", {"token": token, "password": PASSWORD})
    body = {
        company.id: next(
            member
            for member in company.owner.ok("GET", f"/organizations/{company.id}/members")["items"]
            if member["user_id"] == shared
        )
        for company in (us, them)
    }

    assert shared == joined["user_id"]
    assert ([us.project_id], [them.project_id]) == (body[us.id]["project_ids"], body[them.id]["project_ids"])
    assert 204 == us.owner.call("DELETE", f"/organizations/{us.id}/members/{shared}").status
    assert 401 == us.client("mem").call("GET", "/runs").status
    assert 200 == Client(still_site.url, joined["token"]).call("GET", f"/runs?project_id={them.project_id}").status
