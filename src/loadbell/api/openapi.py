"""The OpenAPI 3.1 document, written from the handlers' own operations and from the types that they take and give."""

import inspect
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler

from loadbell import __version__
from loadbell.api import webhooks
from loadbell.api.operations import Credential, Operation
from loadbell.api.settings_schemas import describe_settings
from loadbell.entry.bodies import MAX_BODY_SIZE
from loadbell.entry.problems import CODES, MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem
from loadbell.entry.requests import MAX_KEY_LENGTH

PREFIX = "/api/v1"
_REF = "#/components/schemas/{name}"
_UUIDS = {"delivery_id"}

_INTRODUCTION = f"""
Report load test runs and manage their notifications.

* Send `Authorization: Bearer TOKEN` with every request. A token belongs to one user in one organization. Routes for
  your account take a session instead, from `POST /sessions`; a few take nothing.
* Send `Idempotency-Key` with a POST so that you can repeat it safely: for 24 hours, the same key and body return the
  same response.
* Lists are newest first; pass `next_cursor` as `cursor` for the next page.
* Errors are Problems (RFC 9457). `code` is one of: {", ".join(CODES)}.
* A body has at most {MAX_BODY_SIZE:,} bytes.
""".strip()

_WHEN = {
    400: "The body isn't valid JSON.",
    401: "The credential is missing, unknown or expired.",
    403: "The token's scope or its user's role does not allow this, or the route needs a session.",
    404: "It doesn't exist, or the token can't see it.",
    405: "The method isn't allowed here.",
    409: "It conflicts with the current state (`conflict`) or isn't possible in the current status (`illegal_move`).",
    413: "The body is too large.",
    415: "The Content-Type isn't application/json.",
    422: "A field is invalid; `errors` lists each.",
    429: "Too many requests; Retry-After says how long to wait.",
    503: "The service is unavailable; nothing was changed. Send the request again.",
}


_Schemas = dict[Any, dict[str, Any]]
"""The schema of each type that an operation names."""


@dataclass(frozen=True)
class _Route:
    path: str
    method: str
    name: str
    tag: str
    description: str
    operation: Operation


def document(tags: Iterable[tuple[str, Iterable[HTTPRouteHandler]]], base_url: str) -> bytes:
    """The document for these handlers, by noun, served at ``base_url``, as JSON."""
    routes = [_route(tag, handler) for tag, handlers in tags for handler in handlers]
    values = dict.fromkeys(kind for route in routes for kind in _types(route.operation))
    kinds = [*values, Problem, *webhooks.PAYLOADS.values()]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    describe_settings(components)
    schema_of: _Schemas = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = _operation(route, schema_of)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "loadbell",
                "version": __version__,
                "summary": "Notifies your team when a load test starts or ends.",
                "description": _INTRODUCTION,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": f"{base_url}{PREFIX}"}],
            "security": [{"token": []}],
            "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
            "paths": paths,
            "webhooks": webhooks.describe_webhooks({name: schema_of[kind] for name, kind in webhooks.PAYLOADS.items()}),
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
                    "session": {"type": "http", "scheme": "bearer", "description": "A session, from signing in."},
                },
            },
        }
    )


def _route(tag: str, handler: HTTPRouteHandler) -> _Route:
    operation: Operation = handler.opt["operation"]
    (path,), (method,) = handler.paths, handler.http_methods
    description = inspect.cleandoc(handler.fn.__doc__ or "")
    return _Route(
        path=re.sub(r"\{(\w+):str\}", r"{\1}", path),
        method=HttpMethod(method).value.lower(),
        name=handler.fn.__name__,
        tag=tag,
        description=" ".join(description.split()),
        operation=operation,
    )


def _types(operation: Operation) -> Iterable[Any]:
    yield from (kind for kind in operation.answers.values() if kind is not None)
    if operation.body is not None:
        yield operation.body
    if operation.query is not None:
        yield from typing.get_type_hints(operation.query, include_extras=True).values()


def _operation(route: _Route, schema_of: _Schemas) -> dict[str, Any]:
    operation = route.operation
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route.path)]
    if operation.query is not None:
        hints = typing.get_type_hints(operation.query, include_extras=True)
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": _without_null(schema_of[hint])}
            for name, hint in hints.items()
        ]
    if _is_idempotent(route):
        parameters.append(_IDEMPOTENCY_KEY)
    described: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": operation.summary,
        "description": route.description,
        "parameters": parameters,
    }
    if operation.body is not None:
        required = any(field.required for field in msgspec.structs.fields(operation.body))
        described["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": schema_of[operation.body]}},
        }
    if operation.credential is not Credential.TOKEN:
        described["security"] = [] if operation.credential is Credential.NONE else [{operation.credential.value: []}]
    described["responses"] = {
        **{
            str(status): _answer(status, kind, operation.media_type, schema_of)
            for status, kind in operation.answers.items()
        },
        **{str(status): _refusal(status, schema_of) for status in sorted(_refusals(route))},
    }
    return described


def _refusals(route: _Route) -> set[int]:
    refusals = {503, *route.operation.refusals}
    if route.operation.credential is not Credential.NONE:
        refusals |= {401, 403}
    if route.operation.query is not None:
        refusals.add(422)
    if route.operation.body is not None:
        refusals |= {400, 413, 415, 422}
    if _is_idempotent(route):
        refusals |= {409, 422}
    return refusals


def _is_idempotent(route: _Route) -> bool:
    """Whether the route takes an Idempotency-Key: those are kept by token."""
    return route.method == "post" and route.operation.credential is Credential.TOKEN


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query string has no null: what may be null may be left out."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid"} if name in _UUIDS else {"type": "integer", "format": "int64"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _answer(status: int, kind: Any, media_type: str, schema_of: _Schemas) -> dict[str, Any]:
    values: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": {"X-Request-ID": _REQUEST_ID}}
    if kind is not None:
        values["content"] = {media_type: {"schema": schema_of[kind]}}
    return values


def _refusal(status: int, schema_of: _Schemas) -> dict[str, Any]:
    headers = {"X-Request-ID": _REQUEST_ID}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"description": "Bearer", "schema": {"type": "string"}}
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        headers["Retry-After"] = {
            "description": "Seconds to wait.",
            "schema": {"type": "integer", "examples": [RETRY_AFTER_SECONDS]},
        }
    return {
        "description": _WHEN[status],
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": schema_of[Problem]}},
    }


_REQUEST_ID: dict[str, Any] = {
    "description": "Identifies the request in the server's log. If you send one, it is used.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "For 24 hours, the same key and body return the same response; another body is refused with 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
}
