"""Bad input on every route: the 4xx of the contract with a clear problem, nothing changed, never a 5xx."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.bad_input import (
    NO_JSON,
    NO_JSON_TYPE,
    NO_OBJECT,
    NUL,
    RUNS_AND_CHANNELS,
    WRONG_QUERY,
    Route,
    Things,
    arrange,
    no_ids,
)
from tests.api.bad_input_people import PEOPLE
from tests.api.site import ApiSite
from tests.support.server import Answer, Client

ROUTES = (*RUNS_AND_CHANNELS, *PEOPLE)
MAX_BODY_SIZE = 1024 * 1024
TITLES = {
    400: {"malformed_body"}, 401: {"unauthenticated"}, 403: {"forbidden"}, 404: {"not_found"},
    405: {"method_not_allowed"}, 409: {"conflict", "illegal_move"}, 413: {"too_large"},
    415: {"unsupported_media_type"}, 422: {"invalid"},
}  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

every_route = pytest.mark.parametrize("route", ROUTES, ids=[route.name for route in ROUTES])
with_body = pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body is not None], ids=lambda route: route.name
)


@pytest.fixture(scope="module")
def things(still_site: ApiSite) -> Things:
    """One of everything, in both organizations."""
    return arrange(still_site)


@pytest.fixture(autouse=True)
def _nothing_changes(request: pytest.FixtureRequest, still_site: ApiSite, things: Things) -> Iterator[None]:
    """After each of these tests everything is stored as it was; but a refused heartbeat is a sign of life, too."""

    def stored() -> dict[str, list[tuple[Any, ...]]]:
        if "heartbeat" in request.node.name:
            still_site.sql("UPDATE runs SET last_report_at = 1")
        return still_site.contents()

    before = stored()
    yield
    assert before == stored()


def _wrong(answer: Answer, status: int, field: str | None = None) -> list[Any]:
    """What is not as the contract has it; nothing when all is well."""
    if answer.status != status:
        return [answer.status, answer.body[:300]]
    problem = answer.json
    found: list[Any] = []
    if answer.headers.get("content-type") != "application/problem+json":
        found.append(answer.headers)
    if list(problem) != ["type", "title", "status", "detail", "code", "errors"]:
        found.append(list(problem))
    if problem["code"] not in TITLES[status] or problem["status"] != status or not problem["detail"]:
        found.append(problem)
    if problem["type"] != f"/problems/{problem['code']}" or not problem["title"]:
        found.append(problem)
    if (status == 422) != bool(problem["errors"]):
        found.append(problem)
    if field is not None and field not in [error["field"] for error in problem["errors"]]:
        found.append((field, problem))
    if any(not error["message"] for error in problem["errors"]):
        found.append(problem)
    if not answer.headers.get("x-request-id"):
        found.append(answer.headers)
    return found


def _only(found: list[tuple[Any, list[Any]]]) -> list[tuple[Any, list[Any]]]:
    return [(case, wrong) for case, wrong in found if wrong]


def _send(client: Client, route: Route, ids: dict[str, str], **given: Any) -> Answer:
    return client.call(route.method, route.at(ids), given.pop("body", route.body), **given)


def test_the_table_knows_every_route(still_site: ApiSite) -> None:
    """A route in the OpenAPI document that is missing from the table, or the reverse, fails."""
    paths = still_site.nobody.ok("GET", "/openapi.json")["paths"]

    assert sorted((method.upper(), path) for path in paths for method in paths[path]) == sorted(
        (route.method, route.path) for route in ROUTES
    )


@every_route
def test_without_a_good_token_nothing_is_told(still_site: ApiSite, things: Things, route: Route) -> None:
    """No credential, an unknown, expired or strange one, another scheme or a cookie: 401, whatever else is wrong."""
    if route.asker == "nobody":
        return
    items: list[tuple[Any, list[Any]]] = []
    for name in ("nobody", "unknown", "expired", "strange"):
        for ids in (things.ours, dict.fromkeys(things.ours, "abc")):
            answer = _send(things.clients[name], route, ids)
            challenge = answer.headers.get("www-authenticate")
            items.append(((name, ids), _wrong(answer, 401) or [challenge][challenge == "Bearer" :]))
    for header in ({"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}, {"Cookie": "loadbell_session=x"}):
        answer = _send(still_site.nobody, route, things.ours, headers=header)
        items.append((header, _wrong(answer, 401)))
    for name in ("nobody", "unknown"):
        if route.body is not None:
            answer = _send(things.clients[name], route, things.ours, body=b"{")
            items.append((name, _wrong(answer, 401)))

    assert [] == _only(items)


@every_route
def test_a_token_that_may_not_is_refused(things: Things, route: Route) -> None:
    """A scope or role that does not reach is 403, and the detail says which would."""
    items = [(name, _wrong(_send(things.clients[name], route, things.ours), 403)) for name in sorted(route.forbidden)]

    assert [] == _only(items)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.ids], ids=lambda route: route.name)
def test_what_is_not_there_is_not_found(things: Things, route: Route) -> None:
    """Unknown, impossible and out-of-range ids, and those of the other organization, are all 404."""
    found = []
    for name in route.ids:
        for other in no_ids(name, things):
            answer = _send(things.clients[route.asker], route, {**things.ours, name: other})
            found.append((other, _wrong(answer, 404)))
    if "member" not in route.forbidden and {"run_id", "delivery_id"} & set(route.ids):
        found.append(("hidden", _wrong(_send(things.clients["member"], route, things.hidden), 404)))

    assert [] == _only(found)


@pytest.mark.parametrize("project_id", [0, -1, 987_654_321, 2**63 - 1, 2**63, 2**64, 10**300, "theirs"])
def test_a_project_that_is_not_there_is_not_found(still_site: ApiSite, project_id: Any) -> None:
    """A run can't be put into an unknown, impossible or foreign project, and those of such a one can't be listed."""
    project_id = still_site.theirs.project_id if project_id == "theirs" else project_id
    created = still_site.client.call("POST", "/runs", {"name": "n", "project_id": project_id})
    response = still_site.client.call("GET", f"/runs?project_id={project_id}")

    assert [] == _wrong(created, 404)
    assert [] == _wrong(response, 404)


@with_body
def test_wrong_fields_are_named(things: Things, route: Route) -> None:
    """Wrong types, lengths, ranges and words are 422, and ``errors`` names the field by its dotted path."""
    assert route.body is not None
    found = []
    for field, value in route.wrong:
        body = {**route.body, field.split(".")[0]: value}
        answer = _send(things.clients[route.asker], route, things.ours, body=body)
        found.append(((field, repr(value)[:80]), _wrong(answer, 422, field)))

    assert [] == _only(found)


@with_body
def test_missing_fields_are_all_named(things: Things, route: Route) -> None:
    """An empty object names every field that the route can't do without."""
    optional = {"overlap"}
    required = set(route.body or ()) - optional
    if route.method == "PATCH" or not required:
        return
    answer = _send(things.clients[route.asker], route, things.ours, body={})

    assert [] == _wrong(answer, 422)
    assert required == {error["field"] for error in answer.json["errors"]}


@with_body
@pytest.mark.parametrize("declared", ["application/json", None, "text/plain"])
def test_an_empty_body_where_fields_are_required_names_them(things: Things, route: Route, declared: str | None) -> None:
    """No byte at all is read as an empty object, however it is declared: 422 with each field that is missing."""
    required = set(route.body or ()) - {"overlap"}
    if route.method == "PATCH" or not required:
        return
    answer = _raw(things.clients[route.asker], route, things.ours, [], declared)

    assert [] == _wrong(answer, 422)
    assert required == {error["field"] for error in answer.json["errors"]}
    assert "the body is empty" in answer.json["detail"]


@with_body
def test_what_is_not_json_is_malformed(things: Things, route: Route) -> None:
    """Cut, invalid or mis-encoded JSON, lone surrogates, NaN and nesting without end are 400."""
    items = [
        (name, _wrong(_send(things.clients[route.asker], route, things.ours, body=body), 400)) for name, body in NO_JSON
    ]

    assert [] == _only(items)


@with_body
def test_json_that_is_no_object_is_refused(things: Things, route: Route) -> None:
    """A list, text, number or null as a whole body is 422."""
    items = [
        (name, _wrong(_send(things.clients[route.asker], route, things.ours, body=body), 422, "body"))
        for name, body in NO_OBJECT
    ]

    assert [] == _only(items)


@with_body
def test_numbers_beyond_measure_are_refused(things: Things, route: Route) -> None:
    """1e400 is 422 at its field, one that nobody knows too."""
    found = []
    for field, body in (("metrics", b'{"metrics": {"a": 1e400}}'), ("x", b'{"x": [1, -1e999]}')):
        answer = _send(things.clients[route.asker], route, things.ours, body=body)
        named = [error["field"].split(".")[0] for error in answer.json["errors"]]
        found.append((field, _wrong(answer, 422) or [named][field in named :]))

    assert [] == _only(found)


@with_body
def test_the_character_nul_is_refused(things: Things, route: Route) -> None:
    """U+0000 in any text or key, of unknown fields too, is 422 and its place is named."""
    items = [
        (field, _wrong(_send(things.clients[route.asker], route, things.ours, body=body.encode()), 422, field))
        for field, body in NUL
    ]

    assert [] == _only(items)


@with_body
def test_another_content_type_is_refused(things: Things, route: Route) -> None:
    """A body that is not declared as JSON in UTF-8 is 415, whatever it is."""
    body = json.dumps(route.body).encode()
    items = [
        (
            kind,
            _wrong(
                _send(things.clients[route.asker], route, things.ours, body=body, headers={"Content-Type": kind}), 415
            ),
        )
        for kind in NO_JSON_TYPE
    ]
    items.append(("none", _wrong(_raw(things.clients[route.asker], route, things.ours, [body], None), 415)))

    assert [] == _only(items)


@with_body
def test_a_body_over_the_cap_is_refused(things: Things, route: Route) -> None:
    """1 MiB and a byte is 413, announced by Content-Length or sent in chunks; so is far more."""
    asker = things.clients[route.asker]
    large = json.dumps({**(route.body or {}), "x": "x" * MAX_BODY_SIZE}).encode()
    items = [
        ("announced", _wrong(_send(asker, route, things.ours, body=large), 413)),
        (
            "chunked",
            _wrong(_raw(asker, route, things.ours, [large[i : i + 65536] for i in range(0, len(large), 65536)]), 413),
        ),
        ("endless", _wrong(_raw(asker, route, things.ours, [b" " * 65536] * 200), 413)),
    ]

    assert [] == _only(items)


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_another_method_is_refused(things: Things, path: str) -> None:
    """405 with an Allow header that names what is possible."""
    possible = {route.method for route in ROUTES if route.path == path}
    found = []
    for method in set(METHODS) - possible:
        answer = things.clients["owner"].call(method, path.format(**things.ours), {})
        allow = set(answer.headers.get("allow", "").split(", "))
        found.append((method, _wrong(answer, 405) or [allow][allow == _allowed(possible) :]))

    assert [] == _only(found)


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_what_is_possible_can_be_asked(things: Things, path: str) -> None:
    """OPTIONS names every method of the address."""
    answer = things.clients["owner"].call("OPTIONS", path.format(**things.ours))
    possible = {route.method for route in ROUTES if route.path == path}

    assert (204, _allowed(possible)) == (answer.status, set(answer.headers["allow"].split(", ")))


def _allowed(possible: set[str]) -> set[str]:
    return possible | {"OPTIONS"} | ({"HEAD"} if "GET" in possible else set())


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/runs/1/nothing", "/channels", "/deliveries", "//metrics/x"])
def test_an_address_that_leads_nowhere_is_not_found(still_site: ApiSite, path: str) -> None:
    """404 as a problem, with and without a token."""
    assert [] == _wrong(still_site.client.call("GET", path), 404)
    assert [] == _wrong(still_site.nobody.call("GET", path), 404)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.query], ids=lambda route: route.name)
def test_wrong_queries_are_named(things: Things, route: Route) -> None:
    """A limit, cursor or filter that can't be is 422 and named."""
    found = []
    for name in route.query:
        for value in WRONG_QUERY[name]:
            path = f"{route.at(things.ours)}?{name}={value}"
            answer = things.clients[route.asker].call(route.method, path)
            found.append(((name, value), _wrong(answer, 422, name)))

    assert [] == _only(found)


def test_the_cap_itself_is_accepted(still_site: ApiSite, things: Things) -> None:
    """A body of exactly 1 MiB is read: it fails for its content, not its size."""
    frame = len(json.dumps({"name": "", "x": ""}))
    answer = still_site.client.call("POST", "/runs", {"name": "", "x": "x" * (MAX_BODY_SIZE - frame)})

    assert [] == _wrong(answer, 422, "name")


def test_a_connection_survives_a_refusal(still_site: ApiSite) -> None:
    """After a body over the cap the same connection serves the next request."""
    parts = urlsplit(still_site.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    headers = {"Authorization": f"Bearer {still_site.client.token}", "Content-Type": "application/json"}
    statuses = []
    for method, path, body in (
        ("POST", "/api/v1/runs", b" " * 3 * MAX_BODY_SIZE),
        ("GET", "/api/v1/runs?limit=1", None),
    ):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()

    assert [413, 200] == statuses


def test_half_a_body_does_nothing(still_site: ApiSite, things: Things) -> None:
    """A client that goes away in the middle of its report has reported nothing, and the server goes on."""
    parts = urlsplit(still_site.url)
    head = (
        f"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {still_site.client.token}\r\n"
        'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"name": "n"}'
    )
    with socket.create_connection((parts.hostname, parts.port or 80)) as connection:
        connection.sendall(head.encode())
    with socket.create_connection((parts.hostname, parts.port or 80)) as connection:
        connection.sendall(head.replace("Length: 100", "Length: nine").encode())
        refused = connection.recv(1000)

    assert refused.startswith(b"HTTP/1.1 400")
    assert 200 == still_site.client.call("GET", "/runs?limit=1").status


def _raw(
    client: Client, route: Route, ids: dict[str, str], chunks: list[bytes], kind: str | None = "application/json"
) -> Answer:
    """The request in chunks, without a Content-Length; without a Content-Type if ``kind`` is None."""
    parts = urlsplit(client.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest(route.method, f"/api/v1{route.at(ids)}")
        connection.putheader("Authorization", f"Bearer {client.token}")
        connection.putheader("Transfer-Encoding", "chunked")
        if kind is not None:
            connection.putheader("Content-Type", kind)
        connection.endheaders()
        for chunk in chunks:
            connection.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        connection.send(b"0\r\n\r\n")
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()
