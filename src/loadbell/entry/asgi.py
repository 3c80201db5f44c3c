"""
The ASGI application around the front ends: routing, errors as responses, request ids, health.

``app.py`` wires it::

    context = AppContext(database, installation, …)
    uvicorn.Config(build_asgi(context, [*loadbell.api.routers(context), …]))
"""

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.enums import HttpMethod, ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from loadbell.domain.errors import NotFound, Refused
from loadbell.entry.health import ANY_HOST, health_handlers
from loadbell.entry.paths import mount_below_root
from loadbell.entry.problems import INTERNAL, METHOD_NOT_ALLOWED, MalformedBody, Misdirected, problem, refuse
from loadbell.entry.request_ids import FAILED, RequestIds, loggable
from loadbell.entry.request_limits import RequestLimits
from loadbell.entry.requests import AppContext

log = structlog.get_logger()

AnyRequest = Request[Any, Any, Any]
ErrorPage = Callable[[AnyRequest, Response[bytes], str], Response[Any]]
"""Turns a problem into a page for people; the last argument is the root path of the server."""

PAGES = {"pages": True}
"""The ``opt`` of a router whose errors are pages."""


def build_asgi(
    context: AppContext,
    routers: Sequence[Router],
    error_page: ErrorPage | None = None,
    *,
    rewrite: Callable[[ASGIApp], ASGIApp] | None = None,
    at_once: int,
) -> ASGIApp:
    """Returns the application that serves ``routers`` and the health of this process.

    ``rewrite`` may change a request's path before it is routed. ``at_once``: requests handled at the same time.
    """

    async def ours_only(request: AnyRequest) -> Response[bytes] | None:
        if not ANY_HOST.items() <= request.route_handler.opt.items():
            context.hosts.check(request.scope)
        return await _possible_methods(request)

    def lost(request: AnyRequest, error: HTTPException) -> Response[bytes]:
        try:
            context.hosts.check(request.scope)
        except Misdirected as refusal:
            return refuse(refusal)
        return handle_http_error(request, error)

    application = Litestar(
        [*health_handlers(context), *routers],
        before_request=ours_only,
        exception_handlers={
            Refused: _as_page(context, _refuse, error_page),
            HTTPException: _as_page(context, lost, error_page),
            Exception: _as_page(context, handle_failure, error_page),
        },
        state=State({"context": context}),
        openapi_config=None,  # api/openapi.py derives the document from the handlers' real inputs and outputs
        logging_config=None,
    )
    routed = mount_below_root(application if rewrite is None else rewrite(application), context.root, routers)
    return RequestIds(RequestLimits(_head_as_get(routed), at_once), context.database.entropy)


async def _possible_methods(request: AnyRequest) -> Response[bytes] | None:
    """The response to OPTIONS. Litestar's own names only the method that was registered first at the path."""
    if request.method != HttpMethod.OPTIONS:
        return None
    template = request.scope["path_template"]
    methods = next(route.methods for route in request.app.routes if route.path_format == template)
    return Response(b"", status_code=HTTPStatus.NO_CONTENT, headers={"Allow": _allow(methods)})


def _allow(methods: Iterable[str]) -> str:
    """The Allow header for ``methods``; HEAD is allowed wherever GET is."""
    possible = set(methods)
    return ", ".join(sorted(possible | {HttpMethod.HEAD.value} if HttpMethod.GET in possible else possible))


def _head_as_get(application: ASGIApp) -> ASGIApp:
    """Wraps ``application`` to answer HEAD like GET, without the body (RFC 9110 section 9.3.2).

    An endless response, such as an event stream, ends after its head.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.HEAD:
            await application(scope, receive, send)
            return
        ended = False

        async def send_head(message: Message) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.body":
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await send(message)

        asked: Any = {**scope, "method": HttpMethod.GET.value}
        await application(asked, receive, send_head)

    return answer


def _as_page(
    context: AppContext, answer: Callable[[AnyRequest, Any], Response[bytes]], error_page: ErrorPage | None
) -> Callable[[AnyRequest, Exception], Response[Any]]:
    """Returns ``answer``, as a page if the route has pages."""

    def handle(request: AnyRequest, error: Exception) -> Response[Any]:
        response = answer(request, error)
        return (
            response if error_page is None or not _wants_html(request) else error_page(request, response, context.root)
        )

    return handle


def _wants_html(request: AnyRequest) -> bool:
    handler = request.scope.get("route_handler")
    if handler is not None:
        return "pages" in handler.opt
    return "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")


def _refuse(_request: AnyRequest, refusal: Refused) -> Response[bytes]:
    return refuse(refusal)


def handle_http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """The response to Litestar's own errors: only of routing, since loadbell parses requests itself."""
    if error.status_code == METHOD_NOT_ALLOWED.status:
        allow = _allow((error.headers or {}).get("allow", "").split(", "))
        detail = f"{request.method} is not possible here. Possible: {allow}."
        return problem(METHOD_NOT_ALLOWED, detail, headers={"Allow": allow})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return refuse(NotFound("This URL doesn't exist."))
    if error.status_code < INTERNAL.status:
        return refuse(MalformedBody("The request is malformed."))
    return handle_failure(request, error)


def handle_failure(request: AnyRequest, error: Exception) -> Response[bytes]:
    """The response to an error in loadbell itself, which is logged."""
    log.error("A request failed", method=request.method, path=loggable(request.scope["path"]), exc_info=error)
    return problem(INTERNAL, FAILED)
