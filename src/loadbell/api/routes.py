"""
Routes of REST v1: a handler is a function that runs as one unit of work and says the rest by its annotations.

    @route("PATCH", "/projects/{project_id}", "Change a project", refusals=(404, 409))
    async def update_project(unit: UnitOfWork[Principal], project_id: int, body: ProjectChangeBody) -> Project:
        …

- ``unit``: who may ask. A ``Principal`` shows an API token, ``SignedIn`` a session, a ``Visitor`` nothing.
- ``body`` and ``query``: a Struct that the JSON or the query string is read as. A POST without ``body`` needs no field.
- every other parameter: the id of that name in the path, an ``int`` or a ``UUID``.
- what it returns: the JSON of a successful response; None: no content.

GET reads one snapshot; the other methods write, and a POST with a token is done once for each ``Idempotency-Key``. The
body is read before the transaction; path and query are looked at inside it, after the credential. What can't be one
unit of work (hashing a password, waiting for a Test Hook) takes an ``ApiRequest``, ``SessionRequest`` or
``PublicRequest`` instead of ``unit``, and may return a ``Response`` of its own.

The OpenAPI document is written from the same :class:`Operation`.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_args, get_origin
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from loadbell.api.bodies import Nothing
from loadbell.api.operations import Credential, Operation
from loadbell.domain.errors import Refused
from loadbell.domain.orgs import Principal, SignedIn, Visitor
from loadbell.entry.requests import ApiRequest, AppContext, AppRequest, PublicRequest, SessionRequest, json_response
from loadbell.store.unit_of_work import UnitOfWork, exclusive, is_exclusive

_REQUESTS: Mapping[Any, tuple[Credential, type[AppRequest[Any]]]] = {
    asked: (credential, kind)
    for credential, kind, who in (
        (Credential.TOKEN, ApiRequest, Principal),
        (Credential.SESSION, SessionRequest, SignedIn),
        (Credential.NONE, PublicRequest, Visitor),
    )
    for asked in (kind, who)
}
_NOUNS = {"user_id": "member"}  # of ids in a path, where the name of the parameter says another


@dataclass(frozen=True)
class _Handler:
    function: Callable[..., Coroutine[Any, Any, Any]]
    method: str
    status: int
    request: type[AppRequest[Any]]
    is_unit: bool  #: it runs as one unit of work
    body: type[msgspec.Struct] | None
    takes_body: bool  #: else the body is read, and holds nothing
    query: type[msgspec.Struct] | None
    ids: Mapping[str, type]

    async def respond(self, context: AppContext, received: Request[Any, Any, Any]) -> Response[Any]:
        request = self.request(context, received)
        body = None if self.body is None else await request.body(self.body)
        arguments = {"body": body} if self.takes_body else {}
        if self.is_unit:
            result = await self._run(request, arguments)
        else:
            result = await self.function(request, **await self._read_parameters_authenticated(request), **arguments)
        if isinstance(result, Response):
            return result
        return Response(None, status_code=self.status) if result is None else json_response(self.status, result)

    async def _run(self, request: AppRequest[Any], arguments: Mapping[str, Any]) -> Any:
        async def work(unit: UnitOfWork[Any]) -> Any:
            return await self.function(unit, **self._read_parameters(request), **arguments)

        if is_exclusive(self.function):
            work = exclusive(work)
        if self.method == "GET":
            return await request.read(work)
        if self.method == "POST" and isinstance(request, ApiRequest):
            return await request.write_once(work)
        return await request.write(work)

    async def _read_parameters_authenticated(self, request: AppRequest[Any]) -> dict[str, Any]:
        try:
            return self._read_parameters(request)
        except Refused:  # whoever may not ask at all learns nothing of what else is wrong
            await request.check_credential()
            raise

    def _read_parameters(self, request: AppRequest[Any]) -> dict[str, Any]:
        """What path and query say."""
        parameters: dict[str, Any] = {}
        for name, kind in self.ids.items():
            noun = _NOUNS.get(name, name.removesuffix("_id"))
            parameters[name] = request.uuid(name, noun) if kind is UUID else request.integer_id(name, noun)
        if self.query is not None:
            parameters["query"] = request.query(self.query)
        return parameters


def route(  # noqa: PLR0913 - one argument for each thing that annotations don't say
    method: str,
    path: str,
    summary: str,
    *,
    status: int = HTTPStatus.OK,
    refusals: tuple[int, ...] = (),
    answers: Mapping[int, Any] | None = None,
    reads: type[msgspec.Struct] | None = None,
    media_type: str = "application/json",
) -> Callable[[Callable[..., Coroutine[Any, Any, Any]]], HTTPRouteHandler]:
    """Makes a handler of a function; see the module.

    ``refusals``: statuses beside those that every route of its kind can have. ``answers``: what it returns by status,
    where that is more than its annotation says. ``reads``: the body that a function which takes a request reads itself.
    """

    def decorate(function: Callable[..., Coroutine[Any, Any, Any]]) -> HTTPRouteHandler:
        signature = inspect.signature(function)
        first, *others = signature.parameters.values()
        is_unit = get_origin(first.annotation) is UnitOfWork
        credential, request_type = _REQUESTS[get_args(first.annotation)[0] if is_unit else first.annotation]
        kinds = {parameter.name: parameter.annotation for parameter in others}
        takes_body = "body" in kinds
        body, query = kinds.pop("body", Nothing if method == "POST" else None), kinds.pop("query", None)
        if reads is not None:
            body = None
        gives = signature.return_annotation
        handler = _Handler(
            function,
            method,
            HTTPStatus.NO_CONTENT if gives is None else status,
            request_type,
            is_unit,
            body,
            takes_body,
            query,
            kinds,
        )

        async def respond(request: Request[Any, Any, Any]) -> Response[Any]:
            context: AppContext = request.app.state["context"]
            return await handler.respond(context, request)

        respond.__name__, respond.__doc__ = function.__name__, function.__doc__
        operation = Operation(
            summary, answers or {handler.status: gives}, reads or body, query, credential, refusals, media_type
        )
        return HTTPRouteHandler(
            path.replace("_id}", "_id:str}"),
            http_method=[method],  # type: ignore[list-item]  # it takes the names of methods as texts, too
            status_code=HTTPStatus.OK,  # for Litestar; that of the Response counts
            opt={"operation": operation},
        )(respond)

    return decorate
