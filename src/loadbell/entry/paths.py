"""Serving under a root path, such as ``https://example.org/loadbell``."""

from collections.abc import Sequence

from litestar import Router
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


def strip_root(path: str, root: str) -> str:
    """Removes ``root`` from ``path``; a path that isn't below it stays as it is."""
    below = path.removeprefix(root)
    if below == path or not below.startswith(("/", "?")):
        return path if below else "/"
    return below if below.startswith("/") else f"/{below}"


def mount_below_root(application: ASGIApp, root: str, routers: Sequence[Router]) -> ASGIApp:
    """Serves ``application`` below ``root``, and without it for proxies that strip it.

    If a path of ours begins like ``root``, the two are ambiguous: then the proxy must strip it.
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
