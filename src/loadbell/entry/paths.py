"""Serving under a path, such as ``https://example.org/loadbell``: what stands before every path of ours."""

from collections.abc import Sequence

from litestar import Router
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


def strip_root(path: str, root: str) -> str:
    """``path`` as it is below ``root``; a path that does not stand below it is as it is."""
    below = path.removeprefix(root)
    if below == path or not below.startswith(("/", "?")):
        return path if below else "/"
    return below if below.startswith("/") else f"/{below}"


def mount_below_root(application: ASGIApp, root: str, routers: Sequence[Router]) -> ASGIApp:
    """``application``, reached with ``root`` before its paths, or without it by a proxy that has taken it away.

    Where a path of ours begins like ``root`` nobody could tell the two apart: then the proxy has to take it away.
    """
    ours = {route.path.split("/")[1] for router in routers for route in router.routes}
    if not root or root.split("/")[1] in ours:
        return application

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            path = strip_root(scope["path"], root)
            if path != scope["path"]:
                scope["path"], scope["raw_path"] = path, path.encode()
        await application(scope, receive, send)

    return answer
