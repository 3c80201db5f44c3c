"""Idempotency-Key: a POST may be sent again and happens once."""

import os
import threading
from typing import Any

import pytest

from loadbell.domain.orgs import Role, Scope
from loadbell.testing.receiver import ScriptedReceiver
from tests.api.conftest import NewStore
from tests.api.site import ApiSite, served
from tests.support.server import Answer, Client


def _key(text: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": text or os.urandom(8).hex()}


def _count(site: ApiSite, table: str) -> int:
    return len(site.contents()[table])


def test_the_same_request_has_the_same_answer(still_site: ApiSite) -> None:
    """Status, body and effect of a repeated POST are the first one's, whatever happened to the run meanwhile."""
    site, key = still_site, _key()
    body = {"name": "once", "links": [{"title": "é", "url": "https://example.org"}]}
    first = site.client.call("POST", "/runs", body, headers=key)
    site.client.ok("PATCH", f"/runs/{first.json['id']}", {"status": 3})
    before = site.contents()
    again = site.client.call("POST", "/runs", body, headers=key)

    assert (201, first.body) == (again.status, again.body)
    assert before == site.contents()


def test_another_request_with_the_same_key_is_a_conflict(still_site: ApiSite) -> None:
    """Another body, or another path with the same body, is 409 conflict and changes nothing."""
    site, key = still_site, _key()
    run = site.client.call("POST", "/runs", {"name": "a"}, headers=key).json
    before = site.contents()
    responses = [
        site.client.call("POST", "/runs", {"name": "b"}, headers=key),
        site.client.call("POST", "/organizations", {"name": "a"}, headers=key),
        site.client.call("POST", f"/runs/{run['id']}/abort", headers=key),
    ]

    assert [(409, "conflict")] * 3 == [(answer.status, answer.json["code"]) for answer in responses]
    assert before == site.contents()


def test_a_key_belongs_to_its_token(still_site: ApiSite) -> None:
    """Two tokens may use the same key for different requests."""
    site, key = still_site, _key()
    other = site.with_token()
    first = site.client.call("POST", "/runs", {"name": "a"}, headers=key)
    second = other.call("POST", "/runs", {"name": "b"}, headers=key)

    assert [201, 201] == [first.status, second.status]
    assert first.json["id"] != second.json["id"]


def test_a_refused_request_leaves_its_key_free(still_site: ApiSite) -> None:
    """After 422, 404 or 403 the corrected request may carry the same key."""
    site, key = still_site, _key()
    refused = [
        site.client.call("POST", "/runs", {"name": ""}, headers=key),
        site.client.call("POST", "/runs", {"name": "a", "project_id": site.theirs.project_id}, headers=key),
    ]

    assert [422, 404] == [answer.status for answer in refused]
    assert 201 == site.client.call("POST", "/runs", {"name": "a"}, headers=key).status


def test_a_repeat_is_asked_who_it_is(still_site: ApiSite) -> None:
    """The stored answer is given to the same token only, and not when that token is gone."""
    site, key = still_site, _key()
    token = site.token()
    client = Client(site.url, token)
    client.ok("POST", "/runs", {"name": "a"}, headers=key)
    site.sql("DELETE FROM tokens WHERE prefix = :prefix", prefix=token[:8])

    assert 401 == client.call("POST", "/runs", {"name": "a"}, headers=key).status


def test_whoever_has_lost_the_right_is_not_told_the_answer_again(still_site: ApiSite) -> None:
    """A demoted admin and a member without the project get 409, not the secret; with their rights back, the answer."""
    site, key = still_site, _key()
    project = site.project()
    admin, member = site.with_token(role=Role.ADMIN), site.with_token(role=Role.MEMBER, projects=(project,))
    path = f"/organizations/{site.ours.organization_id}/invitations"
    invited = {"email": f"{os.urandom(6).hex()}@example.org", "role": "admin"}
    run = {"name": "a", "project_id": project}
    first = admin.call("POST", path, invited, headers=key)
    site.sql("UPDATE members SET role = 'member' WHERE user_id = :id", id=first.json["invited_by"])
    reported = member.call("POST", "/runs", run, headers=key)
    site.sql("DELETE FROM assignments WHERE project_id = :id", id=project)
    again = [admin.call("POST", path, invited, headers=key), member.call("POST", "/runs", run, headers=key)]

    assert [201, 201] == [first.status, reported.status]
    assert [(409, "conflict")] * 2 == [(answer.status, answer.json["code"]) for answer in again]
    assert not any(b"lbi_" in answer.body for answer in again)
    site.sql("UPDATE members SET role = 'admin' WHERE user_id = :id", id=first.json["invited_by"])
    assert first.body == admin.call("POST", path, invited, headers=key).body


def test_a_key_is_forgotten_after_a_day(still_site: ApiSite) -> None:
    """24 hours later the key may be used again, for anything."""
    site, key = still_site, _key()
    first = site.client.ok("POST", "/runs", {"name": "a"}, headers=key)
    site.sql("UPDATE idempotency_keys SET created_at = created_at - :day", day=86_401 * 1_000_000)
    second = site.client.ok("POST", "/runs", {"name": "b"}, headers=key)

    assert first["id"] != second["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9", "tab\there", "\u0080"])
def test_a_key_that_is_none_is_refused(still_site: ApiSite, key: str) -> None:
    """Empty, longer than 255 characters or not printable ASCII: 422 names the header; nothing is done."""
    before = still_site.contents()
    answer = still_site.client.call("POST", "/runs", {"name": "a"}, headers={"Idempotency-Key": key})

    assert (422, ["Idempotency-Key"]) == (answer.status, [error["field"] for error in answer.json["errors"]])
    assert before == still_site.contents()


def test_the_longest_key_works(still_site: ApiSite) -> None:
    """255 printable characters, spaces inside too, are a key."""
    key = _key("".join(chr(33 + index % 94) for index in range(254)).replace("a", " ") + "!")
    first = still_site.client.call("POST", "/runs", {"name": "a"}, headers=key)

    assert first.body == still_site.client.call("POST", "/runs", {"name": "a"}, headers=key).body


def test_duplicates_at_the_same_time_happen_once(still_site: ApiSite) -> None:
    """Of eight identical requests that arrive together one is done, and all get its answer."""
    site, key = still_site, _key()
    before = _count(site, "runs")
    answers: list[Answer] = []
    start = threading.Barrier(8)

    def send() -> None:
        start.wait()
        answers.append(site.client.call("POST", "/runs", {"name": "together"}, headers=key))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ({201}, 1) == ({answer.status for answer in answers}, len({answer.body for answer in answers}))
    assert before + 1 == _count(site, "runs")


def test_the_answer_outlives_the_server(new_store: NewStore) -> None:
    """A request that is repeated after a restart has the answer that it had before."""
    url, key = new_store(), _key()
    with served(url, with_worker=False) as site:
        client = site.client
        first = client.call("POST", "/tokens", {"name": "t", "scope": "read"}, headers=key)
    with served(url, with_worker=False, settle=False) as again:
        second = Client(again.url, client.token).call("POST", "/tokens", {"name": "t", "scope": "read"}, headers=key)

    assert (201, first.body) == (second.status, second.body)


def test_every_post_happens_once(site: ApiSite, receiver: ScriptedReceiver) -> None:
    """Each route that changes something by POST gives the same answer to the same key, and has no second effect."""
    channel = site.channel(receiver.url)
    run = site.client.ok("POST", "/runs", {"name": "n", "watchdog_s": 60})
    organization = f"/organizations/{site.ours.organization_id}"
    form = {"kind": "webhook", "settings": {"url": receiver.url}}
    tested = site.client.ok("POST", f"/channels/{channel['id']}/test", headers=_key())
    routes: list[tuple[str, Any]] = [
        ("/runs", {"name": "m", "status": 3}),
        (f"/runs/{run['id']}/heartbeat", {"metrics": {"vus": 1}}),
        (f"/runs/{run['id']}/abort", None),
        (f"{organization}/channels", {**form, "name": "again"}),
        (f"/channels/{channel['id']}/test", None),
        (f"{organization}/channels/test", form),
        (f"/deliveries/{tested['id']}/redeliver", None),
        ("/organizations", {"name": "o"}),
        ("/tokens", {"name": "t", "scope": "read"}),
    ]
    different = []
    for path, body in routes:
        key = _key()
        first = site.client.call("POST", path, body, headers=key)
        counts = {table: len(rows) for table, rows in site.contents().items() if table != "attempts"}
        second = site.client.call("POST", path, body, headers=key)
        after = {table: len(rows) for table, rows in site.contents().items() if table != "attempts"}
        if (first.status, first.body, counts) != (second.status, second.body, after) or first.status >= 400:
            different.append((path, first, second))

    assert [] == different


def test_scopes_hold_before_keys(still_site: ApiSite) -> None:
    """A token that may not do something may not do it with a key either."""
    read = still_site.with_token(scope=Scope.READ)
    member = still_site.with_token(role=Role.MEMBER)

    assert 403 == read.call("POST", "/runs", {"name": "a"}, headers=_key()).status
    assert 403 == member.call("POST", "/tokens", {"name": "a", "scope": "read"}, headers=_key()).status
