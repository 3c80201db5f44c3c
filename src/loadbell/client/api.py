"""
Calls to the REST API over plain ``http.client``.

It uses no proxy, whatever the environment says: the server is the user's own. It follows no redirects, so the token is
sent only to the URL that the user set.
"""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loadbell.client.address import read_address, read_token

_MAX_RESPONSE_SIZE = 1024 * 1024
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_DETAIL_LENGTH = 300

_Headers = Mapping[str, str]
_NONE: _Headers = {}


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The server refused the request, or the URL or token can't be used. Retrying doesn't help."""


class Unreachable(Exception):  # noqa: N818 - reads as what happened
    """There was no usable response. The call may be retried."""


class Server:
    """A loadbell server. Thread-safe: each call opens its own connection."""

    def __init__(self, url: str, token: str) -> None:
        """Checks ``url`` and ``token``; sends nothing.

        Raises:
            Refused: ``url`` or ``token`` can't be used.
        """
        try:
            address, token = read_address(url), read_token(token)
        except ValueError as error:
            raise Refused(str(error)) from None
        self._secure = address.scheme == "https"
        self._host, self._port = address.host, address.port
        self._prefix = f"{address.prefix}/api/v1"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "loadbell-client",
        }

    def create_run(self, body: dict[str, Any], *, key: str, sent_at: float, timeout: float) -> dict[str, Any]:
        """Creates a run from ``body`` and returns it; another call with the same ``key`` returns the same run.

        ``sent_at``: the current time in seconds since the epoch, by the clock of the times in ``body``.
        """
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(sent_at))
        return self.call("POST", "/runs", body, timeout=timeout, headers={"Idempotency-Key": key, "Date": date})

    def update_run(self, run_id: int, body: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """Applies ``body`` to the run and returns it."""
        return self.call("PATCH", f"/runs/{run_id}", body, timeout=timeout)

    def heartbeat(self, run_id: int, *, timeout: float) -> bool:
        """Reports that the run is alive; returns whether somebody asked to abort it."""
        return self.call("POST", f"/runs/{run_id}/heartbeat", {}, timeout=timeout).get("abort") is True

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float, headers: _Headers = _NONE
    ) -> dict[str, Any]:
        """Sends a request to ``path`` below ``/api/v1`` and returns the response, empty if it has no body.

        ``timeout``: in seconds, for each wait on the network.

        Raises:
            Refused: the server refused the request.
            Unreachable: there was no usable response.
        """
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        with self._request(method, path, content, timeout, headers) as response:
            status, raw = response.status, response.read(_MAX_RESPONSE_SIZE)
        return _answer(status, raw)

    def lines(self, path: str, *, timeout: float) -> Iterator[dict[str, Any]]:
        """Yields the objects of a JSON Lines response as they arrive. Errors and ``timeout`` as for :meth:`call`.

        A cut-off or malformed response raises :class:`Unreachable` after its last complete line.
        """
        with self._request("GET", path, b"", timeout, {"Accept": "application/jsonl"}) as response:
            if response.status != http.client.OK:
                _answer(response.status, response.read(_MAX_RESPONSE_SIZE))
            while line := response.readline(_MAX_RESPONSE_SIZE):
                try:
                    item = json.loads(line)
                except ValueError:
                    item = None
                if not isinstance(item, dict) or not line.endswith(b"\n"):
                    raise Unreachable("its response was cut off or isn't JSON Lines")
                yield item

    @contextmanager
    def _request(
        self, method: str, path: str, content: bytes, timeout: float, headers: _Headers
    ) -> Iterator[http.client.HTTPResponse]:
        connection_type = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = connection_type(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, self._prefix + path, content, {**self._headers, **headers})
            yield connection.getresponse()
        except TimeoutError:
            raise Unreachable("it didn't respond in time") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(one_line(str(error) or type(error).__name__)) from None
        finally:
            connection.close()


def one_line(text: str) -> str:
    """Returns ``text`` as one terminal line: only printable characters, at most 300."""
    return "".join(character if character.isprintable() else " " for character in text)[:_MAX_DETAIL_LENGTH].strip()


def _answer(status: int, raw: bytes) -> dict[str, Any]:
    if status == http.client.NO_CONTENT:
        return {}
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if status in {200, 201, 202} and isinstance(answer, dict):
        return answer
    detail = ""
    if isinstance(answer, dict):
        detail = one_line(str(answer.get("detail") or answer.get("title") or ""))
    text = f"HTTP {status}" + (f": {detail}" if detail else "")
    if status in _TRY_AGAIN:
        raise Unreachable(text)
    if status == http.client.UNAUTHORIZED:
        raise Refused(f"LOADBELL_TOKEN was rejected; {text}")
    if answer is None:
        raise Refused(f"there is no loadbell at LOADBELL_URL; {text}")
    raise Refused(text)
