"""The fake Slack: it takes what Slack documents, and refuses the rest with Slack's own words."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from loadbell.testing import FakeSlack

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    """A Slack that is never too slow for a test."""
    with FakeSlack(per_second=10_000, burst=10_000) as fake:
        yield fake


def post(
    slack: FakeSlack, message: Any, *, method: str = "POST", path: str | None = None, headers: dict[str, str] = JSON
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of the answer; bytes are sent as they are."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    connection = http.client.HTTPConnection("127.0.0.1", slack.port, timeout=10)
    try:
        connection.request(method, path or urlsplit(slack.webhook_url).path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def verdict(slack: FakeSlack, message: Any, **given: Any) -> str:
    """The body of the answer."""
    return post(slack, message, **given)[2]


def plain(size: int) -> dict[str, Any]:
    """A plain text of that length."""
    return {"type": "plain_text", "text": "x" * size}


def blocks(*made: dict[str, Any]) -> dict[str, Any]:
    """A message of these blocks."""
    return {"text": "x", "blocks": list(made)}


def section(**parts: Any) -> dict[str, Any]:
    """A message of one section."""
    return blocks({"type": "section", **parts})


def actions(**parts: Any) -> dict[str, Any]:
    """A message of one button."""
    return blocks({"type": "actions", "elements": [{"type": "button", **parts}]})


def test_a_message_is_taken_and_kept(slack: FakeSlack) -> None:
    """200 ``ok``, and the message is among the posted ones; a refused one is not."""
    message = {
        "text": "Hello",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Hello", "emoji": True}},
            {"type": "section", "block_id": "b", "fields": [{"type": "mrkdwn", "text": "*a*", "verbatim": True}]},
            {"type": "divider"},
            {"type": "actions", "elements": [{"type": "button", "text": plain(1), "url": "https://a.example/"}]},
            {"type": "context", "elements": [plain(1), {"type": "image", "image_url": "https://a", "alt_text": "a"}]},
        ],
    }
    before, refused = len(slack.posted), len(slack.refused)

    assert (200, "ok") == post(slack, message)[::2]
    assert (400, "no_text") == post(slack, {"text": " "})[::2]
    assert [message] == slack.posted[before:]
    assert ["no_text"] == slack.refused[refused:]


@pytest.mark.parametrize(
    ("message", "given", "code"),
    [
        (b"not json", {}, "invalid_payload"),
        (b"[" * 100_000, {}, "invalid_payload"),
        ([], {}, "invalid_payload"),
        ({"text": 1}, {}, "invalid_payload"),
        ({"text": "x", "blocks": {}}, {}, "invalid_payload"),
        ({"text": "x", "attachments": "x"}, {}, "invalid_payload"),
        ({"text": "x"}, {"method": "PUT"}, "invalid_payload"),
        ({"text": "x"}, {"headers": {"Content-Type": "text/plain"}}, "invalid_payload"),
        ({"text": "x"}, {"path": "/services/T0/B0/other"}, "no_service"),
        ({}, {}, "no_text"),
        ({"text": "", "blocks": []}, {}, "no_text"),
        ({"text": "x", "attachments": [{}] * 101}, {}, "too_many_attachments"),
        ({"attachments": [{}] * 100}, {}, "ok"),
        (blocks({"type": "divider"}), {"headers": {"Content-Type": "application/json; charset=utf-8"}}, "ok"),
    ],
)
def test_what_slack_refuses_is_refused_in_its_words(slack: FakeSlack, message: Any, given: Any, code: str) -> None:
    """Method, type, JSON, shape, text and path each have their error code."""
    assert code == verdict(slack, message, **given)


@pytest.mark.parametrize(
    ("below", "above"),
    [
        (blocks(*[{"type": "divider"}] * 50), blocks(*[{"type": "divider"}] * 51)),
        (blocks({"type": "header", "text": plain(150)}), blocks({"type": "header", "text": plain(151)})),
        (section(text=plain(3_000)), section(text=plain(3_001))),
        (section(fields=[plain(1)] * 10), section(fields=[plain(1)] * 11)),
        (section(fields=[plain(2_000)]), section(fields=[plain(2_001)])),
        (section(text=plain(1), block_id="x" * 255), section(text=plain(1), block_id="x" * 256)),
        (
            blocks({"type": "context", "elements": [plain(1)] * 10}),
            blocks({"type": "context", "elements": [plain(1)] * 11}),
        ),
        (actions(text=plain(75)), actions(text=plain(76))),
        (
            actions(text=plain(1), url="https://" + "x" * 2_992),
            actions(text=plain(1), url="https://" + "x" * 2_993),
        ),
    ],
)
def test_each_limit_holds_at_and_above(slack: FakeSlack, below: Any, above: Any) -> None:
    """At its limit a part is taken; one more is ``invalid_blocks``."""
    assert ("ok", "invalid_blocks") == (verdict(slack, below), verdict(slack, above))


@pytest.mark.parametrize(
    "message",
    [
        blocks({"type": "unknown"}),
        blocks({}),
        {"text": "x", "blocks": ["x"]},
        section(),
        section(text=plain(0)),
        section(text="x"),
        section(text={"type": "html", "text": "x"}),
        section(text={"type": ["mrkdwn"], "text": "x"}),
        section(text=plain(1), colour="red"),
        section(text={"type": "mrkdwn", "text": "x", "emoji": True}),
        section(text={"type": "plain_text", "text": "x", "verbatim": True}),
        section(fields=[]),
        blocks({"type": "header", "text": {"type": "mrkdwn", "text": "x"}}),
        actions(text=plain(1), url="javascript:alert(1)"),
        actions(text={"type": "mrkdwn", "text": "x"}),
        actions(text=plain(1), style="green"),
    ],
)
def test_a_malformed_block_is_refused(slack: FakeSlack, message: Any) -> None:
    """Unknown types, missing or unknown parts and marks in a plain text are ``invalid_blocks``."""
    assert "invalid_blocks" == verdict(slack, message)


def test_all_blocks_together_have_a_limit(slack: FakeSlack) -> None:
    """13,200 characters in all blocks are taken, one more is ``msg_blocks_too_long``."""
    items = [{"type": "section", "text": plain(3_000)}] * 4

    assert "ok" == verdict(slack, blocks(*items, {"type": "section", "text": plain(1_200)}))
    assert "msg_blocks_too_long" == verdict(slack, blocks(*items, {"type": "section", "text": plain(1_201)}))


def test_a_long_text_is_cut_not_refused(slack: FakeSlack) -> None:
    """A text of more than 40,000 characters is posted without its end."""
    assert "ok" == verdict(slack, {"text": "x" * 40_001})
    assert 40_000 == len(slack.posted[-1]["text"])


def test_characters_are_counted_as_utf_16_units(slack: FakeSlack) -> None:
    """Where the documentation says "characters", the strictest reading is held."""
    header = {"type": "header", "text": {"type": "plain_text", "text": "\U0001d538" * 76}}

    assert "invalid_blocks" == verdict(slack, blocks(header))


def test_a_flood_is_refused_with_when_to_come_back() -> None:
    """A burst is taken, then 429 with ``Retry-After`` and the same number in the body."""
    with FakeSlack(per_second=0.01, burst=3) as slack:
        answers = [post(slack, {"text": "x"}) for _ in range(5)]

        assert [200, 200, 200, 429, 429] == [status for status, _, _ in answers]
        _, headers, body = answers[-1]
        assert {"ok": False, "error": "rate_limited", "retry_after": int(headers["Retry-After"])} == json.loads(body)
        assert 90 <= int(headers["Retry-After"]) <= 100
        assert (3, ["rate_limited"] * 2) == (len(slack.posted), slack.refused)


def test_what_was_refused_as_too_much_is_taken_later() -> None:
    """The bucket fills again: after the wait that it named the message is taken."""
    with FakeSlack(per_second=50, burst=1) as slack:
        answers = [post(slack, {"text": "x"})[0] for _ in range(2)]
        while post(slack, {"text": "again"})[0] != 200:
            pass

        assert 200 == answers[0]
        assert "again" == slack.posted[-1]["text"]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, b"no_service", ["no_service"]),
        (429, b'{"ok":false,"error":"rate_limited"}', ["rate_limited"]),
        (500, b"<html>", ["500"]),
        (200, b"not ok", []),
    ],
)
def test_an_answer_can_be_fixed_and_freed(status: int, body: bytes, code: list[str]) -> None:
    """With a fixed answer nothing is posted; afterwards the fake judges again."""
    with FakeSlack() as slack:
        slack.answer_with(status, body, {"X-Test": "1"})
        assert (status, "1", body.decode()) == (
            (answer := post(slack, {"text": "x"}))[0], answer[1]["X-Test"], answer[2]
        )  # fmt: skip
        assert (code, []) == (slack.refused, slack.posted)

        slack.answer_with(None)
        assert "ok" == verdict(slack, {"text": "x"})
        assert 2 == len(slack.wait_for(2))
