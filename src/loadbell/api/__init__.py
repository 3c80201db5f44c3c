"""
REST v1, by noun.

Each noun's module exports ``HANDLERS``, each of which is a route (``routes.py``) that says what it takes and gives.
The contract is the OpenAPI document at ``/api/v1/openapi.json``, which is written from those.
"""

from litestar import MediaType, Response, Router, get

from loadbell.api import (
    account,
    audit,
    channels,
    deliveries,
    invitations,
    members,
    organizations,
    password_resets,
    projects,
    replays,
    runs,
    sessions,
    tokens,
)
from loadbell.api.openapi import PREFIX, document
from loadbell.entry.requests import AppContext

_NOUNS = {
    "sessions": sessions.HANDLERS,
    "account": account.HANDLERS,
    "runs": runs.HANDLERS,
    "channels": channels.HANDLERS,
    "deliveries": deliveries.HANDLERS,
    "replays": replays.HANDLERS,
    "organizations": organizations.HANDLERS,
    "members": members.HANDLERS,
    "projects": projects.HANDLERS,
    "tokens": tokens.HANDLERS,
    "invitations": invitations.HANDLERS,
    "password-resets": password_resets.HANDLERS,
    "audit": audit.HANDLERS,
}


def routers(context: AppContext) -> list[Router]:
    """All of REST v1, and the document that describes it."""
    data = document(_NOUNS.items(), context.installation.base_url)

    @get("/openapi.json")
    async def openapi() -> Response[bytes]:
        """The OpenAPI document; public."""
        return Response(data, media_type=MediaType.JSON)

    handlers = [handler for noun in _NOUNS.values() for handler in noun]
    return [Router(PREFIX, route_handlers=[*handlers, openapi])]
