"""Foreign protocols that bring runs, each in modules of its own; ``routers`` has the routes of all."""

from litestar import Router

from loadbell.entry.requests import AppContext
from loadbell.sources import k6_cloud_v1


def routers(context: AppContext) -> list[Router]:
    """What load tools of themselves speak to."""
    return [k6_cloud_v1.router(context)]
