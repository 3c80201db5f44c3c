"""Signing in and out, and one's own account, over REST."""

import time
from collections.abc import Iterator

import pytest

from loadbell.domain.orgs import Role
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import insert_member
from loadbell.store.users import insert_user
from tests.api.conftest import NewStore
from tests.api.site import ApiSite, served
from tests.support.server import Answer, Client
from tests.support.signing_in import PASSWORD, QUICK


@pytest.fixture
def site(new_store: NewStore) -> Iterator[ApiSite]:
    """A server of its own for each test: turns are counted by the place, and all tests come from the same one."""
    with served(new_store(), with_worker=False) as site:
        yield site


def _person(site: ApiSite, email: str, role: Role | None = None) -> int:
    """Somebody with the usual password, in our organization if there is a role."""

    async def add(tx: Transaction) -> int:
        user_id = await insert_user(tx, email=email, name="Kim", password_hash=QUICK.hash(PASSWORD))
        if role is not None:
            await insert_member(tx, site.ours.organization_id, user_id, role)
        return user_id

    return site.do(add)


def _attempt(site: ApiSite, email: str, password: str = PASSWORD, **headers: str) -> Answer:
    return site.nobody.call("POST", "/sessions", {"email": email, "password": password}, headers=headers)


def _signed_in(site: ApiSite, email: str = "kim@example.org") -> Client:
    return Client(site.url, _attempt(site, email).json["session"])


def test_a_person_signs_in_looks_around_and_signs_out(site: ApiSite) -> None:
    """201 with a session, which opens the account until it is ended; from then on it is 401.

    Where it came from is what the connection says, whatever headers tell.
    """
    user_id = _person(site, "kim@example.org", Role.ADMIN)
    forged = {"X-Forwarded-For": "192.0.2.66", "X-Real-IP": "192.0.2.66", "Forwarded": "for=192.0.2.66"}
    answer = _attempt(site, "Kim@Example.ORG", **{"User-Agent": "Firefox/999"}, **forged)
    made = answer.json
    kim = Client(site.url, made["session"])
    account = kim.ok("GET", "/account")
    (session,) = kim.ok("GET", "/sessions")["items"]

    assert 201 == answer.status
    assert "no-store" == answer.headers["cache-control"]
    assert ["id", "session", "user_id", "created_at", "expires_at"] == list(made)
    assert {
        "user_id": user_id,
        "email": "kim@example.org",
        "name": "Kim",
        "created_at": account["created_at"],
        "organizations": [{"id": site.ours.organization_id, "name": "Ours", "role": "admin"}],
    } == account
    assert {
        "id": made["id"],
        "current": True,
        "address": "127.0.0.1",
        "agent": "Firefox/999",
        "created_at": made["created_at"],
        "last_used_at": made["created_at"],
        "expires_at": made["expires_at"],
    } == session
    assert 204 == kim.call("DELETE", f"/sessions/{made['id']}").status
    for method, path in (("GET", "/account"), ("GET", "/sessions"), ("DELETE", f"/sessions/{made['id']}")):
        assert 401 == kim.call(method, path).status


def test_a_wrong_password_and_an_unknown_address_read_the_same(site: ApiSite) -> None:
    """Status, headers and body, until both are told to wait, with Retry-After."""
    _person(site, "kim@example.org")
    began = time.monotonic()
    responses, unknown = (
        [_attempt(site, email, "wrong horse") for _ in range(6)] for email in ("kim@example.org", "who@example.org")
    )
    took = time.monotonic() - began

    def summarize(answer: Answer) -> tuple[int, bytes, set[str]]:
        return answer.status, answer.body, set(answer.headers)

    assert [401] * 5 + [429] == [answer.status for answer in responses]
    assert [summarize(answer) for answer in responses[:5]] == [summarize(answer) for answer in unknown[:5]]
    assert [(429, "rate_limited")] * 2 == [(one[5].status, one[5].json["code"]) for one in (responses, unknown)]
    assert all(59 - took <= int(one[5].headers["retry-after"]) <= 60 for one in (responses, unknown))
    assert "Bearer" == responses[0].headers["www-authenticate"]


def test_a_new_session_takes_the_place_of_the_one_that_came_along(site: ApiSite) -> None:
    """The former one is 401 at once; another one goes on and sees where else its user is signed in."""
    _person(site, "kim@example.org")
    other, former = _signed_in(site), _signed_in(site)
    answer = former.call("POST", "/sessions", {"email": "kim@example.org", "password": PASSWORD})

    assert 201 == answer.status
    assert 401 == former.call("GET", "/account").status
    newest, oldest = other.ok("GET", "/sessions")["items"]
    assert (answer.json["id"], False, True) == (newest["id"], newest["current"], oldest["current"])


def test_an_api_token_opens_no_account(site: ApiSite) -> None:
    """403 on each route that is a person's, whoever's token it is; a session is 401 where a token is needed."""
    _person(site, "kim@example.org", Role.ADMIN)
    kim = _signed_in(site)
    for method, path in (
        ("GET", "/sessions"),
        ("DELETE", "/sessions/1"),
        ("GET", "/account"),
        ("PATCH", "/account"),
        ("POST", "/account/password"),
        ("POST", "/account/tokens"),
        ("POST", "/account/organizations"),
    ):
        assert 403 == site.client.call(method, path, {} if method in {"PATCH", "POST"} else None).status
    assert 401 == kim.call("GET", "/runs").status


def test_nobody_ends_the_session_of_somebody_else(site: ApiSite) -> None:
    """404, as for one that is not there."""
    _person(site, "kim@example.org")
    _person(site, "lee@example.org")
    kim, lee = _signed_in(site), _signed_in(site, "lee@example.org")
    (hers,) = kim.ok("GET", "/sessions")["items"]

    assert [404] * 3 == [lee.call("DELETE", f"/sessions/{one}").status for one in (hers["id"], 999_999, "x")]
    assert 200 == kim.call("GET", "/account").status


def test_a_person_changes_its_name_and_password(site: ApiSite) -> None:
    """The name shows; a new password ends the other sessions; the former one does not let in any more."""
    _person(site, "kim@example.org")
    kim, other = _signed_in(site), _signed_in(site)

    assert "Kim Lee" == kim.ok("PATCH", "/account", {"name": "Kim Lee"})["name"]
    assert "Kim Lee" == kim.ok("PATCH", "/account", {})["name"]
    wrong = kim.call("POST", "/account/password", {"current_password": "x", "new_password": "another horse"})
    short = kim.call("POST", "/account/password", {"current_password": PASSWORD, "new_password": "short"})
    right = kim.call("POST", "/account/password", {"current_password": PASSWORD, "new_password": "another horse"})
    assert (422, "current_password") == (wrong.status, wrong.json["errors"][0]["field"])
    assert (422, "new_password") == (short.status, short.json["errors"][0]["field"])
    assert (204, b"") == (right.status, right.body)
    assert (200, 401) == (kim.call("GET", "/account").status, other.call("GET", "/account").status)
    assert (401, 201) == tuple(_attempt(site, "kim@example.org", text).status for text in (PASSWORD, "another horse"))


def test_a_person_makes_a_token_of_an_organization(site: ApiSite) -> None:
    """As POST /tokens: an admin does, a member is 403, others' organization 404; the token works and is hers."""
    _person(site, "kim@example.org", Role.ADMIN)
    _person(site, "lee@example.org", Role.MEMBER)
    kim, lee = _signed_in(site), _signed_in(site, "lee@example.org")
    body = {"organization_id": site.ours.organization_id, "name": "CI", "scope": "report", "trigger": "ci"}
    answer = kim.call("POST", "/account/tokens", {**body, "project_id": site.ours.project_id})
    run = Client(site.url, answer.json["token"]).ok("POST", "/runs", {"name": "n"})

    assert 201 == answer.status
    assert (kim.ok("GET", "/account")["user_id"], "ci") == (run["user_id"], run["trigger"])
    assert 403 == lee.call("POST", "/account/tokens", body).status
    for organization_id in (site.theirs.organization_id, 999_999, 0, -1, 2**63):
        assert 404 == kim.call("POST", "/account/tokens", {**body, "organization_id": organization_id}).status


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["email", "password"]),
        ({"email": "kim@example.org", "password": 5}, ["password"]),
        ({"email": "x" * 255, "password": "y" * 1001}, ["email", "password"]),
        ({"email": "kim\x00@example.org", "password": "y"}, ["email"]),
    ],
)
def test_a_sign_in_that_makes_no_sense_is_refused(site: ApiSite, body: dict[str, object], fields: list[str]) -> None:
    """422 names the fields and shows no password."""
    answer = site.nobody.call("POST", "/sessions", body)

    assert (422, fields) == (answer.status, [error["field"] for error in answer.json["errors"]])
    assert b"yyy" not in answer.body
