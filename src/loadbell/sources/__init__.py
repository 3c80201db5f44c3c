"""Foreign protocols that report runs, each in modules of its own."""

from litestar import Router

from loadbell.entry.requests import AppContext
from loadbell.sources import k6_cloud_v1


def routers(context: AppContext) -> list[Router]:
    """Returns the routes of all protocols."""
    return [k6_cloud_v1.router(context)]
