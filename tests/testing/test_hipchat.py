"""The fake HipChat: it takes what HipChat took, and refuses the rest with HipChat's answers."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import pytest

from loadbell.testing import FakeHipChat
from loadbell.testing.hipchat import ROOM_ID, ROOM_NAME, TOKEN, Allowance, readable

PATH = f"/v2/room/{ROOM_ID}/notification"
JSON = {"Content-Type": "application/json"}
ATTRIBUTE = {"label": "Result", "value": {"label": "failed", "style": "lozenge-error"}}
CARD = {"style": "application", "id": "1", "title": "Checkout", "format": "medium", "attributes": [ATTRIBUTE]}


@pytest.fixture
def room() -> Iterator[FakeHipChat]:
    with FakeHipChat() as fake:
        yield fake


class Answer:
    """One answer, read to its end."""

    def __init__(
        self,
        room: FakeHipChat,
        body: Any,
        *,
        path: str = f"{PATH}?auth_token={TOKEN}",
        headers: dict[str, str] = JSON,
        method: str = "POST",
    ) -> None:
        client = HTTPConnection("127.0.0.1", room.port, timeout=10)
        client.request(method, path, body if isinstance(body, bytes) else json.dumps(body), headers)
        answer = client.getresponse()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()
        client.close()

    @property
    def error(self) -> dict[str, Any]:
        """The error that its body tells."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"{PATH}?auth_token={TOKEN}", {}),
        (PATH, {"Authorization": f"Bearer {TOKEN}"}),
        (f"/v2/room/{quote(ROOM_NAME)}/notification?auth_token={TOKEN}", {}),
    ],
)
def test_a_notification_is_taken(room: FakeHipChat, path: str, headers: dict[str, str]) -> None:
    """By id or name, with the token in the URL or as bearer: 204 with no body, and the room has the message."""
    answer = Answer(room, {"message": "hi"}, path=path, headers={**JSON, **headers})

    assert (204, b"") == (answer.status, answer.body)
    assert ([{"message": "hi"}], []) == (room.posted, room.refused)


def test_the_pasted_url_is_complete(room: FakeHipChat) -> None:
    """``notification_url`` is all that a person needs: address, room and token."""
    path = room.notification_url.removeprefix(room.url.rstrip("/"))

    assert 204 == Answer(room, {"message": "hi"}, path=path).status


def test_each_answer_tells_what_is_left(room: FakeHipChat) -> None:
    """Both rates are told, with the second in which they are whole again."""
    before = time.time()
    headers = Answer(room, {"message": "hi"}).headers

    assert ("30", "29") == (headers["X-FloodControl-Limit"], headers["X-FloodControl-Remaining"])
    assert ("500", "499") == (headers["X-Ratelimit-Limit"], headers["X-Ratelimit-Remaining"])
    assert before + 60 <= int(headers["X-FloodControl-Reset"]) <= time.time() + 61
    assert before + 300 <= int(headers["X-Ratelimit-Reset"]) <= time.time() + 301


def test_more_than_the_rooms_rate_is_refused() -> None:
    """The message after the last one of the minute is 429 and not posted."""
    with FakeHipChat(per_minute=2) as room:
        answers = [Answer(room, {"message": "hi"}) for _ in range(3)]

        assert [204, 204, 429] == [answer.status for answer in answers]
        assert "0" == answers[-1].headers["X-FloodControl-Remaining"]
        assert (2, ["rate_limited"]) == (len(room.posted), room.refused)
        assert (429, "Too Many Requests") == (answers[-1].error["code"], answers[-1].error["type"])


def test_a_window_ends_when_it_said() -> None:
    """What is used up comes back at the reset, all at once, and not before."""
    window = Allowance(2, 60)

    assert [True, True, False, False] == [window.take(now) for now in (100.5, 101, 102, 160.4)]
    assert {"X-X-Limit": "2", "X-X-Remaining": "0", "X-X-Reset": "161"} == window.headers("X")
    assert [True, True, False] == [window.take(161) for _ in range(3)]


def test_a_token_can_be_tested_without_posting(room: FakeHipChat) -> None:
    """``auth_test=true`` answers 202 and leaves the room alone."""
    answer = Answer(room, {}, path=f"{PATH}?auth_token={TOKEN}&auth_test=true")

    assert (202, b"", []) == (answer.status, answer.body, room.posted)


@pytest.mark.parametrize(
    ("path", "method", "status", "kind"),
    [
        (PATH, "POST", 401, "Unauthorized"),
        (f"{PATH}?auth_token=wrong", "POST", 401, "Unauthorized"),
        (f"/v2/room/1/notification?auth_token={TOKEN}", "POST", 404, "Not Found"),
        (f"/v1/rooms/message?auth_token={TOKEN}", "POST", 404, "Not Found"),
        (f"{PATH}?auth_token={TOKEN}", "GET", 405, "Method Not Allowed"),
    ],
)
def test_other_requests_are_refused(room: FakeHipChat, path: str, method: str, status: int, kind: str) -> None:
    """No token, a wrong one, another room or another method: HipChat's status and error body."""
    answer = Answer(room, {"message": "hi"}, path=path, method=method)

    assert (status, status, kind) == (answer.status, answer.error["code"], answer.error["type"])
    assert ([], [kind.lower().replace(" ", "_")]) == (room.posted, room.refused)


@pytest.mark.parametrize(
    "notification",
    [
        {"message": "x" * 10_000, "from": "x" * 64, "color": "random", "notify": True, "message_format": "text"},
        {"message": '<b>x</b> &amp; &#39;<br/><br><a href="http://a.example/?a&amp;b">y</a>'},
        {"message": "a < b & c", "message_format": "text"},
        {"message": "x", "card": CARD},
        {"message": "x", "card": {**CARD, "title": "x" * 500, "attributes": [ATTRIBUTE] * 10, "url": "http://a"}},
        {"message": "x", "card": {**CARD, "description": {"value": "<b>x</b>" + "x" * 992, "format": "html"}}},
        {"message": "x", "card": {**CARD, "description": "x" * 500, "icon": "http://a", "activity": {"html": "x"}}},
        {"message": "x", "card": {**CARD, "thumbnail": {"url": "x" * 250, "width": 1.5}, "icon": {"url": "http://a"}}},
    ],
)  # fmt: skip
def test_what_hipchat_took_is_taken(room: FakeHipChat, notification: dict[str, Any]) -> None:
    """Each documented field, up to its limit."""
    assert 204 == Answer(room, notification).status
    assert [notification] == room.posted


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"{", ""),
        (b"[" * 100_000, ""),
        ([], ""),
        ({}, "message"),
        ({"message": ""}, "message"),
        ({"message": 1}, "message"),
        ({"message": "x" * 10_001}, "message"),
        ({"message": "x", "message_format": "markdown"}, "message_format"),
        ({"message": "x", "color": "pink"}, "color"),
        ({"message": "x", "notify": "true"}, "notify"),
        ({"message": "x", "from": "x" * 65}, "from"),
        ({"message": "x", "attach_to": None}, "attach_to"),
        ({"message": "x", "nope": 1}, "nope"),
        ({"message": "a < b"}, "message"),
        ({"message": "a & b"}, "message"),
        ({"message": "a &amp b"}, "message"),
        ({"message": "<b>x"}, "message"),
        ({"message": "x</b>"}, "message"),
        ({"message": "<b><i>x</b></i>"}, "message"),
        ({"message": "<script>x</script>"}, "message"),
        ({"message": "<b"}, "message"),
        ({"message": "x", "card": []}, "card"),
        ({"message": "x", "card": {}}, "card.style"),
        ({"message": "x", "card": {**CARD, "style": "new"}}, "card.style"),
        ({"message": "x", "card": {**CARD, "id": 1}}, "card.id"),
        ({"message": "x", "card": {**CARD, "title": "x" * 501}}, "card.title"),
        ({"message": "x", "card": {**CARD, "format": "html"}}, "card.format"),
        ({"message": "x", "card": {**CARD, "url": ""}}, "card.url"),
        ({"message": "x", "card": {**CARD, "date": True}}, "card.date"),
        ({"message": "x", "card": {**CARD, "description": "x" * 501}}, "card.description"),
        (
            {"message": "x", "card": {**CARD, "description": {"value": "x" * 1001, "format": "text"}}},
            "card.description.value",
        ),
        (
            {"message": "x", "card": {**CARD, "description": {"value": "<br/>", "format": "html"}}},
            "card.description.value",
        ),
        ({"message": "x", "card": {**CARD, "attributes": []}}, "card.attributes"),
        ({"message": "x", "card": {**CARD, "attributes": [ATTRIBUTE] * 11}}, "card.attributes"),
        ({"message": "x", "card": {**CARD, "attributes": [{"label": "x"}]}}, "card.attributes[0].value"),
        (
            {"message": "x", "card": {**CARD, "attributes": [{**ATTRIBUTE, "label": "x" * 51}]}},
            "card.attributes[0].label",
        ),
        (
            {"message": "x", "card": {**CARD, "attributes": [{"value": {"label": "x", "style": "red"}}]}},
            "card.attributes[0].value.style",
        ),
        ({"message": "x", "card": {**CARD, "activity": {"html": "<p>x</p>"}}}, "card.activity.html"),
        ({"message": "x", "card": {**CARD, "thumbnail": {"url": "x" * 251}}}, "card.thumbnail.url"),
    ],
)  # fmt: skip
def test_a_bad_field_is_refused_by_its_name(room: FakeHipChat, body: Any, field: str) -> None:
    """400 names the field; the room has nothing, and its allowance is not touched."""
    answer = Answer(room, body)

    assert (400, "Bad Request", field) == (answer.status, answer.error["type"], answer.error["field"])
    assert ([], ["bad_request"]) == (room.posted, room.refused)
    assert "29" == Answer(room, {"message": "x"}).headers["X-FloodControl-Remaining"]


def test_only_json_is_taken(room: FakeHipChat) -> None:
    """Another content type is a bad request, so that a sender that forgets it is caught."""
    assert 400 == Answer(room, {"message": "x"}, headers={"Content-Type": "text/plain"}).status


def test_it_can_be_told_what_to_answer(room: FakeHipChat) -> None:
    """``answer_with`` replaces the judgement until it is given back; nothing is posted meanwhile."""
    room.answer_with(503, b"away", {"Retry-After": "7"})
    answer = Answer(room, {"message": "x"})
    room.answer_with(None)

    assert (503, b"away", "7") == (answer.status, answer.body, answer.headers["Retry-After"])
    assert 204 == Answer(room, {"message": "y"}).status
    assert ([{"message": "y"}], ["service_unavailable"]) == (room.posted, room.refused)


@pytest.mark.parametrize(
    ("notification", "text"),
    [
        ({"message": "<b>A &amp; B</b><br>&lt;c&gt;"}, "A & B\n<c>"),
        ({"message": "<b>x</b>", "message_format": "text"}, "<b>x</b>"),
    ],
)
def test_what_a_person_would_read(notification: dict[str, Any], text: str) -> None:
    """Markup is taken as markup, and entities as characters."""
    assert text == readable(notification)
