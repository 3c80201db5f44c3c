"""The outermost layer: gives every request an id, in the response and in every log line."""

import re
import time

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from loadbell.accounts.credentials import Prefix
from loadbell.domain.ids import Entropy
from loadbell.entry.problems import INTERNAL, problem, send_problem

log = structlog.get_logger()

_FIT = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_HEADER = b"x-request-id"
_MAX_LOGGED_LENGTH = 2_048
_CREDENTIAL = re.compile(rf"({'|'.join(Prefix)})[\w-]+")


class RequestIds:
    """Wraps an application. Uses a caller's ``X-Request-ID`` if it is safe to log, else creates one."""

    def __init__(self, application: ASGIApp, entropy: Entropy) -> None:
        self._application = application
        self._entropy = entropy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._application(scope, receive, send)
            return
        data = next((value for name, value in scope["headers"] if name.lower() == _HEADER), b"")
        request_id = data if _FIT.fullmatch(data) else self._entropy(12).hex().encode()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [
                    *message["headers"],
                    (_HEADER, request_id),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id.decode("ascii")):
            try:
                await self._application(scope, receive, send_with_id)
            except Exception:
                log.exception("A request failed", method=scope["method"], path=loggable(scope["path"]))
                if not status:
                    await send_problem(problem(INTERNAL, FAILED), send_with_id)
            # Only the path is logged: query and headers may be secret.
            took = round((time.perf_counter() - began) * 1000, 1)
            log.debug("Request", method=scope["method"], path=loggable(scope["path"]), status=status, duration_ms=took)


def loggable(path: str) -> str:
    """Removes the credential of a mailed link from ``path``."""
    return _CREDENTIAL.sub(r"\1…", path[:_MAX_LOGGED_LENGTH])


FAILED = "loadbell failed on this request. Its X-Request-ID finds the reason in the server's log."
