"""Invitations and forgotten passwords over REST."""

import os
import re
from typing import Any

import pytest

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role, Scope
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.password_resets import insert_reset
from tests.api.site import ApiSite, clock
from tests.support.server import Client
from tests.support.stores import as_of

PASSWORD = "correct horse"


def _email() -> str:
    return f"{os.urandom(8).hex()}@example.net"


def _path(site: ApiSite) -> str:
    return f"/organizations/{site.ours.organization_id}/invitations"


def _invite(site: ApiSite, **given: Any) -> dict[str, Any]:
    body: dict[str, Any] = site.client.ok("POST", _path(site), {"email": _email(), "role": "member", **given})
    return body


def test_an_invitation_from_its_link_to_a_members_token(site: ApiSite) -> None:
    """POST shows the link once, GET lists it without, acceptance needs no credential and gives a working token."""
    body = _invite(site, project_ids=[site.ours.project_id])
    listed = site.client.ok("GET", _path(site) + "?limit=1")["items"]
    answer = site.nobody.call("POST", "/invitations/accept", {"token": body["token"], "password": PASSWORD})
    member = Client(site.url, answer.json["token"])

    assert ["id", "organization_id", "email", "role", "project_ids", "invited_by", "created_at", "expires_at"] == list(
        listed[0]
    )
    assert {**listed[0], "url": body["url"], "token": body["token"], "mailed": True} == body
    assert f"https://loadbell.example.org/invitations/{body['token']}" == body["url"]
    assert (201, ["user_id", "organization_id", "token"]) == (answer.status, list(answer.json))
    assert 201 == member.call("POST", "/runs", {"name": "n", "project_id": site.ours.project_id}).status
    assert 403 == member.call("GET", _path(site)).status
    assert 404 == site.nobody.call("POST", "/invitations/accept", {"token": body["token"], "password": PASSWORD}).status


def test_somebody_with_an_account_proves_it(site: ApiSite) -> None:
    """A wrong password is 401 and uses nothing up, the right one joins, and the link of a member is 409."""
    email = _email()
    first = _invite(site, email=email)
    user = site.nobody.ok("POST", "/invitations/accept", {"token": first["token"], "password": PASSWORD})["user_id"]
    theirs = f"/organizations/{site.theirs.organization_id}/invitations"
    made = site.their_client.ok("POST", theirs, {"email": email, "role": "admin"})
    wrong = site.nobody.call("POST", "/invitations/accept", {"token": made["token"], "password": "wrong horse"})
    joined = site.nobody.ok("POST", "/invitations/accept", {"token": made["token"], "password": PASSWORD})
    again = site.their_client.call("POST", theirs, {"email": email, "role": "member"})

    assert (401, "unauthenticated") == (wrong.status, wrong.json["code"])
    assert (user, site.theirs.organization_id) == (joined["user_id"], joined["organization_id"])
    assert (409, "conflict") == (again.status, again.json["code"])


def test_a_repeated_invitation_is_the_same(site: ApiSite) -> None:
    """With an Idempotency-Key the link is shown again and works; the copy of it that is kept is sealed."""
    body, key = {"email": _email(), "role": "member"}, {"Idempotency-Key": os.urandom(8).hex()}
    first, second = (site.client.ok("POST", _path(site), body, headers=key) for _ in range(2))

    assert first == second
    assert first["token"] not in str(site.contents())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "member"}, "email"),
        ({"email": "bob", "role": "member"}, "email"),
        ({"email": "a@b.c,d@e.f", "role": "member"}, "email"),
        ({"email": "a@b.c", "role": "owner"}, "role"),
        ({"email": "a@b.c"}, "role"),
        ({"email": "a@b.c", "role": "member", "project_ids": [999_999]}, "project_ids"),
        ({"email": "a@b.c", "role": "member", "project_ids": [2**63]}, "project_ids"),
        ({"email": "a@b.c", "role": "member", "project_ids": ["1"]}, "project_ids.0"),
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(site: ApiSite, body: dict[str, Any], field: str) -> None:
    """422 names the field."""
    answer = site.client.call("POST", _path(site), body)

    assert (422, [field]) == (answer.status, [error["field"] for error in answer.json["errors"]])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": PASSWORD}, "token"),
        ({"token": "x"}, "password"),
        ({"token": "x", "password": PASSWORD, "name": "x" * 201}, "name"),
        ({"token": "x", "password": PASSWORD, "name": "a\x00b"}, "name"),
    ],
)
def test_an_acceptance_that_makes_no_sense_is_refused(site: ApiSite, body: dict[str, Any], field: str) -> None:
    """422 names the field, whether or not the link is good."""
    answer = site.nobody.call("POST", "/invitations/accept", body)

    assert (422, [field]) == (answer.status, [error["field"] for error in answer.json["errors"]])


def test_invitations_are_the_business_of_owner_and_admins(site: ApiSite) -> None:
    """A member gets 403, also for one that is there; another organization gets 404."""
    made = _invite(site)
    text = f"/invitations/{made['id']}"
    member, reader = site.with_token(role=Role.MEMBER), site.with_token(scope=Scope.READ)
    body = {"email": _email(), "role": "member"}

    assert [403] * 3 == [member.call(*items).status for items in (("GET", _path(site)), ("DELETE", text))] + [
        member.call("POST", _path(site), body).status
    ]
    assert [200, 403, 403] == [
        reader.call(method, path, given).status
        for method, path, given in (("GET", _path(site), None), ("DELETE", text, None), ("POST", _path(site), body))
    ]
    assert [404] * 3 == [
        site.their_client.call(method, path, given).status
        for method, path, given in (("GET", _path(site), None), ("DELETE", text, None), ("POST", _path(site), body))
    ]
    assert [204, 404] == [site.with_token(role=Role.ADMIN).call("DELETE", text).status for _ in range(2)]
    assert 404 == site.nobody.call("POST", "/invitations/accept", {"token": made["token"], "password": PASSWORD}).status


def test_a_password_link_sets_a_password(site: ApiSite) -> None:
    """Asking is answered 202 and {} for anybody; the link is answered with the user, once."""
    made = _invite(site)
    user = site.nobody.ok("POST", "/invitations/accept", {"token": made["token"], "password": PASSWORD})["user_id"]
    asked = [site.nobody.call("POST", "/password-resets", {"email": each}) for each in (made["email"], _email(), "x")]
    link = site.do(lambda tx: _mailed_link(tx, made["email"]))
    weak = site.nobody.call("POST", "/password-resets/accept", {"token": link, "password": "short"})
    body = {"token": link, "password": "another horse"}
    done = [site.nobody.call("POST", "/password-resets/accept", body) for _ in range(2)]
    signed_in = site.nobody.call("POST", "/sessions", {"email": made["email"], "password": "another horse"})

    assert [(202, {})] * 3 == [(answer.status, answer.json) for answer in asked]
    assert (422, ["password"]) == (weak.status, [error["field"] for error in weak.json["errors"]])
    assert [(200, {"user_id": user}), 404] == [(done[0].status, done[0].json), done[1].status]
    assert 201 == signed_in.status


def test_an_expired_password_link_is_not_there(site: ApiSite) -> None:
    """404, as for one that never was."""
    token = make_credential(Prefix.RESET, os.urandom)

    async def keep(tx: Transaction) -> None:
        await insert_reset(
            as_of(tx, clock() - SECOND),
            user_id=site.ours.user_id,
            reset_hash=hash_credential(token),
            expires_at=clock(),
        )

    site.do(keep)

    assert [404, 404] == [
        site.nobody.call("POST", "/password-resets/accept", {"token": each, "password": PASSWORD}).status
        for each in (token, "lbr_unknown")
    ]


def test_asking_too_often_is_refused_for_a_while(still_site: ApiSite) -> None:
    """429 with Retry-After, for an address that is nobody's."""
    email = _email()
    statuses = [still_site.nobody.call("POST", "/password-resets", {"email": email}).status for _ in range(4)]
    refused = still_site.nobody.call("POST", "/password-resets", {"email": email})

    assert [202, 202, 202, 429] == statuses
    assert "rate_limited" == refused.json["code"]
    assert 0 < int(refused.headers["retry-after"]) <= 300


async def _mailed_link(tx: Transaction, email: str) -> str:
    rows = await tx.all(Statement("SELECT body FROM mails WHERE recipient = :email ORDER BY id DESC"), email=email)
    (link,) = re.findall(r"/reset-password/(\S+)", tx.unseal(rows[0]["body"]))
    return str(link)
