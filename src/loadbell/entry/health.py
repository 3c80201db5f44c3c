"""Health and readiness of the process, for supervisors and load balancers."""

import asyncio

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

from loadbell.domain.errors import Unavailable
from loadbell.entry.problems import refuse
from loadbell.entry.requests import AppContext
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import has_user

TIMEOUT_S = 2.0
"""How long a database read may take before this process counts as not ready."""

ANY_HOST = {"any_host": True}
"""The ``opt`` of routes under any host name: load balancers use addresses, and nothing secret is returned."""

_NO_STORE = {"Cache-Control": "no-store"}


def health_handlers(context: AppContext) -> list[HTTPRouteHandler]:
    """``/healthz`` and ``/readyz`` of the process behind ``context``."""

    @get("/healthz", opt=ANY_HOST)
    async def healthz() -> Response[bytes]:
        """200 whenever the process serves."""
        return Response(b'{"status":"ok"}', media_type=MediaType.JSON, headers=_NO_STORE)

    @get("/readyz", opt=ANY_HOST)
    async def readyz() -> Response[bytes]:
        """200 when the database answers a read, else 503."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await context.database.read(_check_database)
        except Unavailable as refusal:
            return refuse(refusal)
        except TimeoutError:
            return refuse(Unavailable(f"The database didn't respond within {TIMEOUT_S:g} s."))
        return Response(b'{"status":"ready"}', media_type=MediaType.JSON, headers=_NO_STORE)

    return [healthz, readyz]


async def _check_database(tx: Transaction) -> bool:
    return await has_user(tx)
