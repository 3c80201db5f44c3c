"""
A fake HipChat: one room with the documented checks, limits and responses of HipChat's API v2.

HipChat has ended (the cloud on 2019-02-15, the self-hosted servers on 2020-06-30), so loadbell's HipChat channel is
tested against this. Where the documentation leaves a choice, the fake is stricter: it accepts only JSON, no unknown
field, and only well-formed HTML. Sources: the API v2 page "Send room notification", Atlassian's page "Sending
messages", and the schemas in the responses of real servers.
"""

import html
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from loadbell.testing.provider import FakeProvider
from loadbell.testing.receiver import Behaviour, Received, respond

ROOM_ID = "4711"
ROOM_NAME = "Load tests"
TOKEN = "notARealTokenButAsLongAsHipChatsOwnWere0"  # noqa: S105 - opens nothing but this fake

REQUESTS_PER_FIVE_MINUTES = 500

CARD_TAGS = frozenset({"a", "b", "i", "strong", "span"})
_TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
MESSAGE_TAGS = frozenset({"a", "b", "i", "strong", "em", "br", "img", "pre", "code", "ul", "ol", "li"} | _TABLE)

_TAG = re.compile(r'<(/?)([a-z]+)((?: [a-z-]+="[^"<>]*")*) ?/?>')
_BARE_AMPERSAND = re.compile(r"&(?!(?:#\d+|#x[0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);)")
_VOID = frozenset({"br", "img"})


class _Refused(Exception):  # noqa: N818 - reads as what happened
    """The response instead of 204, with ``details`` in addition to code, type and message."""

    def __init__(self, status: HTTPStatus, message: str, **details: str) -> None:
        self.status = status
        error = {"code": status.value, "type": status.phrase, "message": message, **details}
        self.body = json.dumps({"error": error}).encode()
        super().__init__(message)


@dataclass
class Allowance:
    """At most ``limit`` uses in each window of ``seconds``; a window begins with the first use after the last one."""

    limit: int
    seconds: float
    used: int = 0
    ends_at: float = 0.0

    def take(self, now: float) -> bool:
        """Takes one and returns True, or False if none are left at ``now`` (seconds since the epoch)."""
        if now >= self.ends_at:
            self.used, self.ends_at = 0, now + self.seconds
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def headers(self, name: str) -> dict[str, str]:
        """Returns ``X-NAME-Limit``, ``-Remaining`` and ``-Reset`` (whole seconds since the epoch, rounded up)."""
        left = self.limit - self.used
        return {
            f"X-{name}-Limit": str(self.limit),
            f"X-{name}-Remaining": str(left),
            f"X-{name}-Reset": str(math.ceil(self.ends_at)),
        }


class FakeHipChat(FakeProvider):
    """A HipChat room at :attr:`notification_url`, on a real port, as a context manager.

    It responds with 204 to a notification that HipChat would accept, 202 to ``auth_test=true``, 400 to a bad field, 401
    to a bad token, 404 to another room, 405 to another method, and 429 above ``per_minute`` messages a minute or 500
    requests in five minutes. The token may be in the URL or in ``Authorization: Bearer``. Entering raises ``OSError``
    if the address can't be bound.
    """

    def __init__(self, *, per_minute: int = 30, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self._messages = Allowance(per_minute, 60)
        self._calls = Allowance(REQUESTS_PER_FIVE_MINUTES, 300)

    @property
    def notification_url(self) -> str:
        """The complete URL with its token."""
        return f"{self.url}v2/room/{ROOM_ID}/notification?auth_token={TOKEN}"

    def _judge(self, request: Received) -> Behaviour:
        rates: dict[str, str] = {}
        try:
            status = self._take(request, rates)
        except _Refused as refused:
            self._refused.append(self._code(refused.status, refused.body))
            return respond(refused.status, {**rates, "Content-Type": "application/json"}, refused.body)
        return respond(status, rates)

    def _take(self, request: Received, rates: dict[str, str]) -> HTTPStatus:
        """Judges one request; adds the rate limit headers to ``rates``."""
        target = urlsplit(request.path)
        query = parse_qs(target.query)
        kind, _, token = (request.header("Authorization") or "").partition(" ")
        if query.get("auth_token", [token if kind.lower() == "bearer" else ""])[0] != TOKEN:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "Invalid OAuth session")
        now = time.time()
        allowed = self._calls.take(now)
        rates |= self._calls.headers("Ratelimit")
        if not allowed:
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests with this token")
        rooms = {f"/v2/room/{room}/notification" for room in (ROOM_ID, ROOM_NAME)}
        if unquote(target.path) not in rooms:
            raise _Refused(HTTPStatus.NOT_FOUND, "Room not found")
        if request.method != "POST":
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "A notification is sent by POST")
        if query.get("auth_test") == ["true"]:
            return HTTPStatus.ACCEPTED
        notification = _read(request)
        allowed = self._messages.take(now)
        rates |= self._messages.headers("FloodControl")
        if not allowed:
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many messages to this room")
        self._posted.append(notification)
        return HTTPStatus.NO_CONTENT

    def _code(self, status: int, body: bytes) -> str:  # noqa: ARG002 - HipChat has no words of its own
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return "rate_limited"
        phrase = next((known.phrase for known in HTTPStatus if known == status), str(status))
        return phrase.lower().replace(" ", "_").replace("-", "_")


def readable(notification: Mapping[str, Any]) -> str:
    """Returns the visible text of an accepted notification."""
    message = str(notification["message"])
    if notification.get("message_format", "html") == "text":
        return message
    return html.unescape(_TAG.sub(lambda tag: "\n" if tag[2] == "br" else "", message))


def _read(request: Received) -> dict[str, Any]:
    content_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise _bad("", "content_type", "Send application/json")
    try:
        notification = json.loads(request.body)
    except (ValueError, RecursionError):
        raise _bad("", "json", "The request body is not valid JSON") from None
    _NOTIFICATION("", notification)
    values: dict[str, Any] = notification
    if values.get("message_format", "html") == "html":
        _check_html("message", values["message"], MESSAGE_TAGS)
    card = values.get("card", {})
    if isinstance(description := card.get("description"), dict) and description["format"] == "html":
        _check_html("card.description.value", description["value"], CARD_TAGS)
    if "activity" in card:
        _check_html("card.activity.html", card["activity"]["html"], CARD_TAGS)
    return values


def _bad(field: str, validation: str, message: str) -> _Refused:
    return _Refused(HTTPStatus.BAD_REQUEST, message, field=field, validation=validation)


Check = Callable[[str, Any], None]
"""Raises for a field's value that HipChat would refuse."""


def _text(least: int = 1, most: int | None = None) -> Check:
    def check(field: str, value: Any) -> None:
        if not isinstance(value, str):
            raise _bad(field, "type", f"Value for field '{field}' is not of type 'string'")
        if len(value) < least or (most is not None and len(value) > most):
            raise _bad(field, "length", f"Length of value for field '{field}' must be {least} to {most or 'any'}")

    return check


def _is(wanted: type | tuple[type, ...], name: str) -> Check:
    def check(field: str, value: Any) -> None:
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise _bad(field, "type", f"Value for field '{field}' is not of type '{name}'")

    return check


def _one_of(*values: str) -> Check:
    def check(field: str, value: Any) -> None:
        if value not in values:
            raise _bad(field, "enum", f"Value for field '{field}' is not one of {', '.join(values)}")

    return check


def _object(required: Mapping[str, Check], optional: Mapping[str, Check], *, others: bool = False) -> Check:
    fields = {**required, **optional}

    def check(field: str, value: Any) -> None:
        _is(dict, "object")(field, value)
        inside = f"{field}." if field else ""
        for name in required:
            if name not in value:
                raise _bad(inside + name, "required", f"Field '{inside}{name}' is required")
        for name, part in value.items():
            if name in fields:
                fields[name](inside + name, part)
            elif not others:
                raise _bad(inside + name, "additionalProperties", f"Field '{inside}{name}' is not known")

    return check


def _list_of(item: Check, least: int, most: int) -> Check:
    def check(field: str, value: Any) -> None:
        _is(list, "array")(field, value)
        if not least <= len(value) <= most:
            raise _bad(field, "length", f"Field '{field}' must have {least} to {most} items")
        for number, part in enumerate(value):
            item(f"{field}[{number}]", part)

    return check


def _text_or(text: Check, other: Check) -> Check:
    def check(field: str, value: Any) -> None:
        (text if isinstance(value, str) else other)(field, value)

    return check


_NUMBER = _is((int, float), "number")
_FORMAT = _one_of("html", "text")
_ICON = _text_or(_text(), _object({"url": _text()}, {"url@2x": _text()}, others=True))
_LOZENGES = ("lozenge-success", "lozenge-error", "lozenge-current", "lozenge-complete", "lozenge-moved", "lozenge")
_VALUE = _object({"label": _text()}, {"url": _text(), "style": _one_of(*_LOZENGES), "icon": _ICON})
_CARD = _object(
    {"style": _one_of("application", "file", "image", "link", "media"), "id": _text(), "title": _text(1, 500)},
    {
        "description": _text_or(_text(1, 500), _object({"value": _text(1, 1000), "format": _FORMAT}, {})),
        "format": _one_of("compact", "medium"),
        "url": _text(),
        "date": _NUMBER,
        "thumbnail": _object(
            {"url": _text(1, 250)}, {"url@2x": _text(1, 250), "width": _NUMBER, "height": _NUMBER}, others=True
        ),
        "attributes": _list_of(_object({"value": _VALUE}, {"label": _text(1, 50)}), 1, 10),
        "activity": _object({"html": _text()}, {"icon": _ICON}),
        "icon": _ICON,
    },
)
_NOTIFICATION = _object(
    {"message": _text(1, 10_000)},
    {
        "message_format": _FORMAT,
        "color": _one_of("yellow", "green", "red", "purple", "gray", "random"),
        "notify": _is(bool, "boolean"),
        "from": _text(0, 64),
        "attach_to": _text(0, 36),
        "card": _CARD,
    },
)


def _check_html(field: str, text: str, tags: frozenset[str]) -> None:
    """Raises for tags not in ``tags``, tags not closed in order, and unescaped characters."""
    open_tags: list[str] = []
    for ending, name, _ in _TAG.findall(text):
        if name not in tags:
            raise _bad(field, "html", f"Tag '{name}' is not allowed in field '{field}'")
        if ending and (not open_tags or open_tags.pop() != name):
            raise _bad(field, "html", f"Tag '{name}' in field '{field}' is closed but not open")
        if not ending and name not in _VOID:
            open_tags.append(name)
    if open_tags:
        raise _bad(field, "html", f"Tag '{open_tags[-1]}' in field '{field}' is not closed")
    if {"<", ">"} & set(_TAG.sub("", text)) or _BARE_AMPERSAND.search(text):
        raise _bad(field, "html", f"Field '{field}' is not valid HTML")
