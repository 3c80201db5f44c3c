"""How ``loadbell listen --forward-to`` forwards a request: unchanged, to one URL, without redirects or a proxy."""

import asyncio
import http.client
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from loadbell.testing.receiver import Behaviour, Received, respond

TIMEOUT_S = 30.0
"""How long one step may take: to connect, to send, to get the next part of the response."""

# RFC 9110 section 7.6.1, and what the next connection sets itself.
_HOP_BY_HOP_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True)
class ForwardResult:
    """The response; ``error`` says why there is none."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str | None = None


def make_forwarder(url: str, done: Callable[[Received, ForwardResult], None]) -> Callable[[Received], Behaviour]:
    """A script that forwards each request to ``url`` and returns its response, or 502 if there is none.

    ``done`` is called after each, from a thread of the request's own.

    Raises:
        ValueError: ``url`` is not a complete http or https URL.
    """
    target = urlsplit(url)
    if target.scheme not in {"http", "https"} or not target.hostname or target.port == 0:
        raise ValueError("not a complete http or https URL")

    def script(request: Received) -> Behaviour:
        async def behave(writer: asyncio.StreamWriter) -> bool:
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[ForwardResult] = loop.create_future()

            def give(forwarded: ForwardResult) -> None:
                if not answer.done():  # cancelled: the receiver is ending
                    answer.set_result(forwarded)

            def work() -> None:
                forwarded = _send(target, request)
                done(request, forwarded)
                with suppress(RuntimeError):  # the receiver has ended meanwhile
                    loop.call_soon_threadsafe(give, forwarded)

            # A daemon: an address that hangs must not hold up the end.
            threading.Thread(target=work, name="forward", daemon=True).start()
            forward_result = await answer
            return await respond(forward_result.status, forward_result.headers, forward_result.body)(writer)

        return behave

    return script


def _send(target: SplitResult, request: Received) -> ForwardResult:
    connection = _connection(target)
    try:
        connection.putrequest(
            request.method,
            (target.path or "/") + (f"?{target.query}" if target.query else ""),
            skip_accept_encoding=True,
        )
        for name, value in _end_to_end_headers(request.headers):
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        answer = connection.getresponse()
        return ForwardResult(answer.status, dict(_end_to_end_headers(answer.getheaders())), answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        line = f"loadbell listen got no response from the --forward-to URL: {why}.\n"
        return ForwardResult(502, {"Content-Type": "text/plain; charset=utf-8"}, line.encode(), why)
    finally:
        connection.close()


def _connection(target: SplitResult) -> http.client.HTTPConnection:
    host = target.hostname or ""
    if target.scheme == "https":
        return http.client.HTTPSConnection(host, target.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, target.port, timeout=TIMEOUT_S)


def _end_to_end_headers(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP_HEADERS]
