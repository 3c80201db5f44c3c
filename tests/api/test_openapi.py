"""The OpenAPI document: valid 3.1, public, and true of what is served."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from loadbell.domain.deliveries import Reason
from loadbell.domain.events import EventName
from loadbell.domain.runs import RunStatus
from tests.api.site import ApiSite

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(still_site: ApiSite) -> Document:
    """The document as anybody gets it."""
    answer = still_site.nobody.call("GET", "/openapi.json")
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    read: Document = answer.json
    return read


def _operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document, however deep."""
    if isinstance(tree, dict):
        yield tree
        for part in tree.values():
            yield from _parts(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _parts(part)


def test_the_document_is_openapi_3_1(document: Document) -> None:
    """Its frame is that of OpenAPI 3.1.0, with the server's own address and the bearer scheme."""
    assert "3.1.0" == document["openapi"]
    assert {"title", "version"} <= set(document["info"])
    assert [{"url": "https://loadbell.example.org/api/v1"}] == document["servers"]
    assert ("http", "bearer") == tuple(
        document["components"]["securitySchemes"]["token"][key] for key in ("type", "scheme")
    )
    assert [{"token": []}] == document["security"]
    assert set(document) <= {
        "openapi", "info", "servers", "security", "tags", "paths", "webhooks", "components", "jsonSchemaDialect",
        "externalDocs",
    }  # fmt: skip


def test_every_reference_leads_somewhere(document: Document) -> None:
    """Each ``$ref`` names a schema that is there, and each schema is referred to."""
    references = {part["$ref"] for part in _parts(document) if "$ref" in part}

    assert references == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_every_operation_is_complete(document: Document) -> None:
    """Each has its own name, summary and description, declares the parameters of its path once, and its answers."""
    wrong = []
    for path, method, operation in _operations(document):
        declared = [(one["in"], one["name"]) for one in operation["parameters"]]
        in_path = [("path", name) for name in re.findall(r"\{(\w+)\}", path)]
        complete = (
            operation["summary"]
            and operation["description"]
            and in_path == [one for one in declared if one[0] == "path"]
            and len(declared) == len(set(declared))
            and all("schema" in one for one in operation["parameters"])
            and any(code.startswith("2") for code in operation["responses"])
            and all(response["description"] for response in operation["responses"].values())
            and (method in {"get", "delete"}) == ("requestBody" not in operation)
        )
        if not complete:
            wrong.append((method, path))
    names = [operation["operationId"] for _, _, operation in _operations(document)]

    assert [] == wrong
    assert sorted(set(names)) == sorted(names)


def test_every_refusal_is_a_problem(document: Document) -> None:
    """Each 4xx and 5xx of each operation has the problem schema; those of a credential stand where one is asked for."""
    wrong = []
    for path, method, operation in _operations(document):
        refusals = {code: response for code, response in operation["responses"].items() if code >= "400"}
        problems = [response["content"] for response in refusals.values()]
        expected = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        declared = {"503"} if operation.get("security") == [] else {"401", "403", "503"}
        if any(content != expected for content in problems) or not declared <= set(refusals):
            wrong.append((method, path))
    problem = document["components"]["schemas"]["Problem"]

    assert [] == wrong
    assert ["type", "title", "status", "detail", "code", "errors"] == problem["required"]


def test_enums_hold_the_values_of_the_wire(document: Document) -> None:
    """Statuses are the fourteen integers; reasons are the closed set."""
    schemas = document["components"]["schemas"]

    assert [status.value for status in RunStatus] == sorted(schemas["RunStatus"]["enum"])
    assert sorted(reason.value for reason in Reason) == sorted(schemas["Reason"]["enum"])


def test_an_idempotency_key_is_declared_on_every_post(document: Document) -> None:
    """It can be sent with each POST that takes an API token and with nothing else."""
    declared = {
        (method, path)
        for path, method, operation in _operations(document)
        if "Idempotency-Key" in [one["name"] for one in operation["parameters"]]
    }

    posts = {
        (method, path)
        for path, method, operation in _operations(document)
        if method == "post" and "security" not in operation
    }

    assert posts == declared


def test_webhooks_are_described_as_they_are_sent(document: Document) -> None:
    """Each event is there with its body, the three legacy headers and the signature; no token is asked for."""
    webhooks = document["webhooks"]
    schemas = document["components"]["schemas"]
    bodies = {}
    for name, item in webhooks.items():
        reference = item["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        bodies[name] = schemas[reference.rsplit("/", 1)[1]]["required"]
    run = [
        "status", "status_text", "user_id", "name", "organization_id", "load_test_id", "load_test_run_id",
        "project_id", "event",
    ]  # fmt: skip
    headers = [
        "X-LoadImpact-ID",
        "X-LoadImpact-Event",
        "User-Agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]

    assert [event.value for event in EventName] == list(webhooks)
    paused = ["organization_id", "channel_id", "name", "reason", "event"]
    hook = ["event"]
    assert bodies == {
        "test.started": run, "test.finished": run, "test.notification_channel": hook, "channel.paused": paused,
    }  # fmt: skip
    assert [headers] * 4 == [[one["name"] for one in item["post"]["parameters"]] for item in webhooks.values()]
    assert [[]] * 4 == [item["post"]["security"] for item in webhooks.values()]


def test_answers_have_the_keys_that_the_document_says(still_site: ApiSite, document: Document) -> None:
    """What is served has exactly the properties of its schema, in its order."""
    site, schemas = still_site, document["components"]["schemas"]
    channel = site.channel("http://127.0.0.1:9")
    run = site.client.ok("POST", "/runs", {"name": "n"})
    listed = site.client.ok("GET", f"/runs/{run['id']}/deliveries")
    whole = site.client.ok("GET", f"/deliveries/{listed['items'][0]['id']}")

    assert list(schemas["Run"]["properties"]) == list(run)
    assert list(schemas["CreatedChannel"]["properties"]) == list(channel)
    assert list(schemas["Channel"]["properties"]) == list(site.client.ok("GET", f"/channels/{channel['id']}"))
    assert list(schemas["DeliveryPage"]["properties"]) == list(listed)
    assert list(schemas["Delivery"]["properties"]) == list(listed["items"][0])
    assert list(schemas["DeliveryWithAttempts"]["properties"]) == list(whole)
