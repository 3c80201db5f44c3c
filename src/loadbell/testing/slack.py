"""
A fake Slack: one incoming webhook with Slack's documented checks, limits, responses and rate.

Where the documentation leaves a choice, the fake is stricter: it accepts only JSON and no unknown field in a block, and
it counts characters as UTF-16 code units. Sources: docs.slack.dev, pages "Sending messages using incoming
webhooks", "Block Kit" and "Rate limits"; slackapi/bolt-js#2509 for the length of all blocks together.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from loadbell.testing.provider import FakeProvider
from loadbell.testing.receiver import Behaviour, Received, respond

PATH = "/services/T0FAKETEAM/B0FAKEHOOK/notARealTokenButAsLong24"

MAX_TEXT_LENGTH = 40_000
"""Slack cuts a longer text instead of refusing it."""

MAX_BLOCKS_LENGTH = 13_200
MAX_BLOCKS = 50
MAX_ATTACHMENTS = 100


class _Refused(Exception):  # noqa: N818 - reads as what happened
    """The response instead of ``ok``; ``str()`` is Slack's error code."""

    def __init__(self, code: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST, *, wait: int | None = None) -> None:
        self.status = status
        self.body, self.headers = code.encode(), {"Content-Type": "text/html"}
        if wait is not None:
            self.body = json.dumps({"ok": False, "error": code, "retry_after": wait}).encode()
            self.headers = {"Content-Type": "application/json", "Retry-After": str(wait)}
        super().__init__(code)


class FakeSlack(FakeProvider):
    """A Slack channel behind :attr:`webhook_url`, on a real port, as a context manager.

    It responds with 200 ``ok`` to a message that Slack would accept, 400 with Slack's error code to a bad one, 404
    ``no_service`` at another path, and 429 above ``per_second`` messages a second, with up to ``burst`` at once.
    Entering raises ``OSError`` if the address can't be bound.
    """

    def __init__(self, *, per_second: float = 1.0, burst: int = 5, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self._interval = 1 / per_second
        self._burst = burst
        self._full_at = 0.0

    @property
    def webhook_url(self) -> str:
        """The complete webhook URL."""
        return self.url.rstrip("/") + PATH

    def _judge(self, request: Received) -> Behaviour:
        try:
            self._posted.append(self._take(request))
        except _Refused as refused:
            self._refused.append(str(refused))
            return respond(refused.status, refused.headers, refused.body)
        return respond(HTTPStatus.OK, {"Content-Type": "text/html"}, b"ok")

    def _take(self, request: Received) -> dict[str, Any]:
        if urlsplit(request.path).path != PATH:
            raise _Refused("no_service", HTTPStatus.NOT_FOUND)
        now = time.monotonic()
        wait = self._full_at - now - (self._burst - 1) * self._interval
        if wait > 0:
            raise _Refused("rate_limited", HTTPStatus.TOO_MANY_REQUESTS, wait=math.ceil(wait))
        self._full_at = max(self._full_at, now) + self._interval
        return _read(request)

    def _code(self, status: int, body: bytes) -> str:
        code: Any = body.decode("utf-8", "replace").strip()
        with suppress(ValueError, TypeError, KeyError):
            code = json.loads(code)["error"]
        return code if isinstance(code, str) and code.isidentifier() else str(status)


def _read(request: Received) -> dict[str, Any]:
    """Returns the message in a request, as Slack would show it."""
    content_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    try:
        message = json.loads(request.body) if request.method == "POST" and content_type == "application/json" else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("text", ""), str):
        raise _Refused("invalid_payload")
    blocks, attachments = message.get("blocks", []), message.get("attachments", [])
    if not isinstance(blocks, list) or not isinstance(attachments, list):
        raise _Refused("invalid_payload")
    if not (message.get("text", "").strip() or blocks or attachments):
        raise _Refused("no_text")
    if len(attachments) > MAX_ATTACHMENTS:
        raise _Refused("too_many_attachments")
    if len(blocks) > MAX_BLOCKS:
        raise _Refused("invalid_blocks")
    for block in blocks:
        _block(block)
    if sum(map(_length, _texts(blocks))) > MAX_BLOCKS_LENGTH:
        raise _Refused("msg_blocks_too_long")
    if "text" in message:
        message["text"] = message["text"][:MAX_TEXT_LENGTH]
    return message


def _length(text: str) -> int:
    return len(text) + sum(char > "\uffff" for char in text)


def _texts(part: Any) -> list[str]:
    """Returns every visible text in the blocks, and the URLs."""
    if isinstance(part, dict):
        return [text for key, value in part.items() if key not in {"type", "style"} for text in _texts(value)]
    if isinstance(part, list):
        return [text for value in part for text in _texts(value)]
    return [part] if isinstance(part, str) else []


Check = Callable[[Any], None]
"""Raises for a part of a block that Slack would refuse."""


def _must(holds: object) -> None:
    if not holds:
        raise _Refused("invalid_blocks")


def _string(most: int, *, least: int = 1) -> Check:
    return lambda value: _must(isinstance(value, str) and least <= _length(value) <= most)


def _one_of(*values: str) -> Check:
    return lambda value: _must(value in values)


def _flag(value: Any) -> None:
    _must(isinstance(value, bool))


def _address(value: Any) -> None:
    _string(3_000)(value)
    _must(value.startswith(("http://", "https://")))


def _object(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    fields = {**required, **optional}

    def check(value: Any) -> None:
        _must(isinstance(value, dict) and set(required) <= set(value) <= set(fields))
        for name, part in value.items():
            fields[name](part)

    return check


def _list_of(item: Check, most: int) -> Check:
    def check(value: Any) -> None:
        _must(isinstance(value, list) and 1 <= len(value) <= most)
        for part in value:
            item(part)

    return check


def _kind_of(kinds: Mapping[str, Check]) -> Check:
    def check(value: Any) -> None:
        _must(isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] in kinds)
        kinds[value["type"]](value)

    return check


def _plain(most: int) -> Check:
    return _object({"type": _one_of("plain_text"), "text": _string(most)}, {"emoji": _flag})


def _text(most: int) -> Check:
    marked = _object({"type": _one_of("mrkdwn"), "text": _string(most)}, {"verbatim": _flag})
    return _kind_of({"plain_text": _plain(most), "mrkdwn": marked})


_TYPE = {"type": _string(255)}
_ID = {"block_id": _string(255)}
_IMAGE = _object({**_TYPE, "image_url": _address, "alt_text": _string(2_000)}, _ID)
_BUTTON = _object(
    {**_TYPE, "text": _plain(75)},
    {
        "url": _address,
        "action_id": _string(255),
        "value": _string(2_000),
        "style": _one_of("primary", "danger"),
        "accessibility_label": _string(75),
    },
)
_SECTION = _object(
    _TYPE,
    {
        **_ID,
        "text": _text(3_000),
        "fields": _list_of(_text(2_000), 10),
        "accessory": _kind_of({"button": _BUTTON, "image": _IMAGE}),
    },
)


def _section(value: Any) -> None:
    _SECTION(value)
    _must("text" in value or "fields" in value)


_block = _kind_of(
    {
        "actions": _object({**_TYPE, "elements": _list_of(_kind_of({"button": _BUTTON}), 25)}, _ID),
        "context": _object(
            {
                **_TYPE,
                "elements": _list_of(
                    _kind_of({"plain_text": _text(2_000), "mrkdwn": _text(2_000), "image": _IMAGE}), 10
                ),
            },
            _ID,
        ),
        "divider": _object(_TYPE, _ID),
        "header": _object({**_TYPE, "text": _plain(150)}, _ID),
        "image": _IMAGE,
        "section": _section,
    }
)
