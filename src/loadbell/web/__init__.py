"""
The pages, by noun.

Each noun's module exports ``HANDLERS``; a handler gets the request as ``page: NamedDependency[PageRequest]``. What they
promise to every browser (headers, cookies, forms) is in ``page.py`` and ``rendering.py``, and in
``docs/decisions/0019-pages.md``.
"""

from typing import Any

from litestar import Request, Router
from litestar.di import Provide

from loadbell.entry.asgi import PAGES
from loadbell.entry.requests import AppContext
from loadbell.web import (
    account,
    audit,
    channels,
    deliveries,
    invitations,
    k6,
    members,
    notifications,
    organizations,
    passwords,
    projects,
    rendering,
    runs,
    setup,
    sign_in,
    tokens,
    welcome,
)
from loadbell.web.live import Live
from loadbell.web.page import PageRequest

_NOUNS = (
    setup,
    sign_in,
    welcome,
    k6,
    account,
    organizations,
    runs,
    deliveries,
    notifications,
    channels,
    invitations,
    passwords,
    members,
    projects,
    tokens,
    audit,
)


def routers(context: AppContext, live: Live) -> list[Router]:
    """All pages, and the files they are made with."""

    def page(request: Request[Any, Any, Any]) -> PageRequest:
        return PageRequest(context, request, live)

    handlers = [handler for noun in _NOUNS for handler in noun.HANDLERS]
    provided = {"page": Provide(page, sync_to_thread=False)}
    return [Router("/", route_handlers=[*handlers, rendering.static_file], dependencies=provided, opt=PAGES)]
