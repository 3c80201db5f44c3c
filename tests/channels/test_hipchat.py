"""The HipChat channel: what it writes to a room, and how it judges HipChat's answers."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.channels.contract import Envelope
from loadbell.channels.hipchat import CHANNEL, HipChatSettings
from loadbell.channels.settings import parse_settings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Reason
from loadbell.domain.errors import Invalid
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.domain.notices import Fact, Notice, Tone
from loadbell.domain.runs import Link, Threshold
from loadbell.outbound.addresses import AddressPolicy, check_url
from loadbell.outbound.messages import Reply
from loadbell.testing import FakeHipChat
from loadbell.testing.hipchat import ROOM_ID, TOKEN, readable
from loadbell.testing.receiver import Received

NOW = 1_795_000_000 * SECOND
URL = "https://hipchat.example/v2/room/7/notification?auth_token=sentinel"
DELIVERY = UUID("19c5d426-3b4d-43c3-8277-37ad7d457430")
FAILED = Notice(
    headline="Load test failed a threshold",
    subject="Checkout <new>",
    tone=Tone.BAD,
    occurred_at=NOW,
    why="1 of 2 thresholds failed.",
    facts=(Fact("Project", "Shop & Co"), Fact("Result", "failed")),
    thresholds=(Threshold("p(95)<500", ok=False, value=812.25), Threshold("checks>0.9", ok=True)),
    metrics=(Fact("http_reqs", "120000"),),
    links=(Link("Open run", "https://loadbell.example/runs/7"), Link("Build", "https://ci.example/?a=1&b=2")),
)
FORBIDDEN = "The receiver answered 403 Forbidden."
PASTE_ANEW = "Copy the room's full URL again and paste it into the channel's settings."
BAD_TOKEN = f"The token in the URL isn't valid. {PASTE_ANEW}"
NO_REDIRECTS = "loadbell doesn't follow redirects. Enter the final URL in the channel's settings."
OUR_FAULT = "This is a bug in loadbell. Please report it with the log entry of this attempt."

parse = partial(parse_settings, ChannelKind("hipchat"), check_url=partial(check_url, policy=AddressPolicy()))


def render(notice: Notice, now: int = NOW) -> dict[str, Any]:
    """The notification as the room takes it; what the room would refuse is an error."""
    envelope = Envelope(DELIVERY, EventName.FINISHED, attempt=1, now=now, payload=b"{}")
    room = FakeHipChat()
    url = f"/v2/room/{ROOM_ID}/notification?auth_token={TOKEN}"
    message = CHANNEL.render(HipChatSettings(url), notice, envelope)
    assert HTTPStatus.NO_CONTENT == room._take(Received(0, message.method, url, message.headers, message.body, 1), {})
    (posted,) = room.posted
    return posted


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, tuple((headers or {}).items()), body, truncated=False, duration=1)


def error(status: int, message: Any) -> bytes:
    return json.dumps({"error": {"code": status, "type": "x", "message": message}}).encode()


def test_a_failed_run_is_told() -> None:
    """The message says what happened to what, why, and what is known; the card says the same."""
    assert {
        "message": (
            "<strong>Load test failed a threshold</strong>: "
            '<a href="https://loadbell.example/runs/7">Checkout &lt;new&gt;</a>'
            "<br>1 of 2 thresholds failed.<br>✗ p(95)&lt;500 — was 812.25<br>✓ checks&gt;0.9"
            "<br>Project: Shop &amp; Co<br>Result: failed<br>http_reqs: 120000"
            '<br><a href="https://ci.example/?a=1&amp;b=2">Build</a><br>2026-11-18 11:06:40 UTC'
        ),
        "message_format": "html",
        "color": "red",
        "notify": True,
        "from": "loadbell",
        "card": {
            "style": "application",
            "id": str(DELIVERY),
            "format": "medium",
            "title": "Load test failed a threshold: Checkout <new>",
            "description": {
                "value": "1 of 2 thresholds failed. ✗ p(95)&lt;500 — was 812.25; ✓ checks&gt;0.9",
                "format": "html",
            },
            "attributes": [
                {"label": "Project", "value": {"label": "Shop & Co"}},
                {"label": "Result", "value": {"label": "failed"}},
                {"label": "http_reqs", "value": {"label": "120000"}},
            ],
            "url": "https://loadbell.example/runs/7",
        },
    } == render(FAILED)


def test_the_least_that_can_be_told() -> None:
    """Nothing but a headline makes a message and a card without empty parts."""
    notification = render(Notice(headline="Test Hook", subject="", tone=Tone.NEWS, occurred_at=NOW))

    assert "<strong>Test Hook</strong><br>2026-11-18 11:06:40 UTC" == notification["message"]
    assert {"style": "application", "id": str(DELIVERY), "format": "medium", "title": "Test Hook"} == notification[
        "card"
    ]


@pytest.mark.parametrize(
    ("tone", "color", "notify"),
    [(Tone.NEWS, "gray", False), (Tone.GOOD, "green", False), (Tone.WARNING, "yellow", False), (Tone.BAD, "red", True)],
)
def test_the_tone_decides_colour_and_bell(tone: Tone, color: str, *, notify: bool) -> None:
    """People are notified of failures only."""
    notification = render(replace(FAILED, tone=tone))

    assert (color, notify) == (notification["color"], notification["notify"])


def test_late_news_says_so() -> None:
    """More than a minute after the event, message and card begin with how late it is."""
    notification = render(FAILED, NOW + 7_200 * SECOND)

    assert notification["message"].startswith("<strong>Load test failed a threshold (delayed 2 h)</strong>: ")
    assert notification["card"]["title"].startswith("Load test failed a threshold (delayed 2 h): ")


def test_the_headers() -> None:
    """The three of LoadImpact first, then the body's type; the URL is as it was pasted, and hidden from repr."""
    message = CHANNEL.render(
        HipChatSettings(URL), FAILED, Envelope(DELIVERY, EventName.FINISHED, attempt=1, now=NOW, payload=b"{}")
    )

    names = [name for name, _ in message.headers]
    assert ["X-LoadImpact-ID", "X-LoadImpact-Event", "User-Agent", "Content-Type"] == names
    assert ("POST", URL) == (message.method, message.url)
    assert "sentinel" not in repr((message, HipChatSettings(URL)))


@pytest.mark.parametrize(
    "link", ["/runs/7", "ftp://a.example", "javascript:alert(1)", "http://a b", "http://a/" + "x" * 2000]
)
def test_only_links_to_the_web_are_made(link: str) -> None:
    """Any other link is left out of message and card."""
    notification = render(replace(FAILED, links=(Link("x", link),)))

    assert "<a " not in notification["message"]
    assert "url" not in notification["card"]


def test_what_has_no_room_is_counted() -> None:
    """Beyond 10,000 characters whole lines go, beyond ten attributes whole attributes, and their number is told."""
    facts = tuple(Fact(f"fact {number:03}", "&" * 200) for number in range(100))

    notification = render(replace(FAILED, facts=facts))
    lines = notification["message"].split("<br>")
    shown = [line for line in lines if line.startswith("fact")]

    assert 9_700 < len(notification["message"]) <= 10_000
    # Two lines before the facts and the headline; after them a metric, a link and the time.
    assert f"… and {100 - len(shown) + 3} more lines" == lines[-1]
    attributes = notification["card"]["attributes"]
    assert (10, {"label": "…", "value": {"label": "and 92 more"}}) == (len(attributes), attributes[-1])


@pytest.mark.parametrize(("count", "last"), [(10, "✗ 9 x — was 1"), (11, "… and 1 more")])
def test_of_many_failed_thresholds_ten_are_told(count: int, last: str) -> None:
    """They leave room for what else is known."""
    thresholds = tuple(Threshold(f"{number} x", ok=False, value=1.0) for number in range(count))

    notification = render(replace(FAILED, thresholds=thresholds))

    assert f"<br>{last}<br>Project: " in notification["message"]
    assert notification["card"]["description"]["value"].endswith(f"; {last}")


@pytest.mark.parametrize("count", [9, 10])
def test_as_many_attributes_as_there_is_room_for(count: int) -> None:
    """Exactly ten are all shown."""
    facts = tuple(Fact(str(number), "") for number in range(count))

    attributes = render(replace(FAILED, facts=facts, metrics=()))["card"]["attributes"]

    assert [str(number) for number in range(count)] == [one["label"] for one in attributes]


@pytest.mark.parametrize("length", [499, 500, 501, 10_000])
def test_long_texts_are_cut_visibly(length: int) -> None:
    """At their limit they are whole; above it they end in an ellipsis, never inside an entity."""
    notification = render(replace(FAILED, headline="x", subject="x" * length, why="&" * length))

    subject = notification["message"].partition('runs/7">')[2].partition("</a>")[0]
    assert (length > 500) == (subject == "x" * 499 + "…")
    assert (length > 497) == notification["card"]["title"].endswith("…")
    assert re.fullmatch(r"(&amp;){196,199}…", notification["card"]["description"]["value"])


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=100), st.sampled_from([1, 60, 3000]))
def test_no_text_from_outside_is_markup(subject: str, why: str, label: str, times: int) -> None:
    """Whatever a test is called, the room takes the message, and its tags are ours."""
    notice = replace(FAILED, subject=subject * times, why=why, facts=(Fact(label, subject),), metrics=(), links=())

    message = render(notice)["message"]

    assert 1 == message.count("<strong>") == message.count("</strong>")
    assert message.count("<") == 2 + message.count("<br>")
    assert all(char == "\n" or char.isprintable() or char > "\x9f" for char in readable({"message": message}))


@pytest.mark.parametrize("name", ["a\u202eb", "a\u2066b", "a\u200fb"])
def test_the_writing_direction_stays(name: str) -> None:
    """Marks that would turn round what follows are gone from message and card."""
    notification = json.dumps(render(replace(FAILED, subject=name)), ensure_ascii=False)

    assert name not in notification
    assert "ab" in notification


@pytest.mark.parametrize(
    ("reply", "reason", "retry", "pauses", "message"),
    [
        (answer(204), Reason.OK, False, False, "The receiver answered 204 No Content."),
        (answer(200), Reason.OK, False, False, "The receiver answered 200 OK."),
        (
            answer(400, error(400, "Field 'message' is required")), Reason.BAD_PAYLOAD, False, False,
            f"The receiver answered 400 Bad Request: \"Field 'message' is required\". {OUR_FAULT}",
        ),
        (
            answer(401, error(401, "Invalid OAuth session")), Reason.HTTP_4XX, False, True,
            f'The receiver answered 401 Unauthorized: "Invalid OAuth session". {BAD_TOKEN}',
        ),
        (
            answer(403), Reason.HTTP_4XX, False, True,
            f"{FORBIDDEN} The token in the URL isn't allowed to post to this room. {PASTE_ANEW}",
        ),
        (
            answer(404, b"<html>"), Reason.GONE, False, True,
            f"The receiver answered 404 Not Found. This room doesn't exist. {PASTE_ANEW}",
        ),
        (
            answer(410), Reason.GONE, False, True,
            f"The receiver answered 410 Gone. The room accepts no more messages. {PASTE_ANEW}",
        ),
        (answer(405), Reason.HTTP_4XX, True, False, "The receiver answered 405 Method Not Allowed."),
        (answer(429), Reason.RATE_LIMITED, True, False, "The receiver answered 429 Too Many Requests."),
        (
            answer(503, error(503, "Away")), Reason.HTTP_5XX, True, False,
            'The receiver answered 503 Service Unavailable: "Away".',
        ),
        (answer(302), Reason.HTTP_3XX, True, False, f"The receiver answered 302 Found. {NO_REDIRECTS}"),
    ],
)  # fmt: skip
def test_each_answer_is_judged(reply: Reply, reason: Reason, message: str, *, retry: bool, pauses: bool) -> None:
    """A bad token or room needs a person, a bad message is our fault, all else passes; HipChat's own words are told."""
    outcome = CHANNEL.judge(reply, NOW)

    assert (reason, retry, pauses, message) == (outcome.reason, outcome.retry, outcome.pauses, outcome.message)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("x" * 29 + " " + "b" * 30, ': "' + "x" * 29 + ' …"'),
        ("sp ace\x00\u202e", ': "sp ace\ufffd"'),
        ('say "no"', ": \"say 'no'\""),
        ("no " * 100, ': "' + "no " * 49 + 'no…"'),
        (7, ""),
        ("", ""),
    ],
)
def test_hipchats_words_are_told_short_and_harmless(said: Any, shown: str) -> None:
    """On one line, printable, cut, without what might be the token."""
    assert (
        f"The receiver answered 500 Internal Server Error{shown}."
        == CHANNEL.judge(answer(500, error(500, said)), NOW).message
    )


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b'{"error": "no"}', b'{"error": [1]}'])
def test_an_answer_without_an_error_says_nothing_more(body: bytes) -> None:
    """Any other body leaves the status alone."""
    assert "The receiver answered 500 Internal Server Error." == CHANNEL.judge(answer(500, body), NOW).message


IN_7_S = str(NOW // SECOND + 7)
IN_90_S = str(NOW // SECOND + 90)


@pytest.mark.parametrize("status", [204, 429])
@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"X-FloodControl-Remaining": "0", "X-FloodControl-Reset": IN_7_S}, 7),
        (
            {
                "X-FloodControl-Remaining": "0", "X-FloodControl-Reset": IN_7_S,
                "X-Ratelimit-Remaining": "470", "X-Ratelimit-Reset": IN_90_S,
            },
            7,
        ),
        (
            {
                "X-FloodControl-Remaining": "0", "X-FloodControl-Reset": IN_7_S,
                "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": IN_90_S,
            },
            90,
        ),
        ({"X-FloodControl-Remaining": "0", "X-FloodControl-Reset": "1"}, None),
        ({"X-FloodControl-Remaining": "0", "X-FloodControl-Reset": "soon"}, None),
        ({"X-FloodControl-Remaining": "0", "X-FloodControl-Reset": f"{IN_7_S}000"}, None),
        ({"X-FloodControl-Remaining": "0"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_rate_that_is_used_up_is_waited_for(status: int, headers: dict[str, str], wait: int | None) -> None:
    """Until the reset that HipChat names, after success as after a refusal; what makes no sense is not believed."""
    outcome = CHANNEL.judge(answer(status, headers=headers), NOW)

    assert (None if wait is None else wait * SECOND) == outcome.retry_after


def test_what_is_left_of_a_rate_holds_up_nothing() -> None:
    """A reset alone is no reason to wait, unless the message was refused; then Retry-After comes first."""
    rates = {"X-FloodControl-Remaining": "3", "X-FloodControl-Reset": IN_7_S}

    assert None is CHANNEL.judge(answer(204, headers=rates), NOW).retry_after
    assert 7 * SECOND == CHANNEL.judge(answer(429, headers={"X-FloodControl-Reset": IN_7_S}), NOW).retry_after
    assert 2 * SECOND == CHANNEL.judge(answer(429, headers={**rates, "Retry-After": "2"}), NOW).retry_after


def test_the_rate_limit_keeps_the_documented_rate_from_any_start() -> None:
    """However the messages wait, no minute holds more than thirty."""
    rate_limit, full_at, sent = CHANNEL.rate_limit, 0, list[int]()
    assert rate_limit is not None
    for now in range(0, 200 * SECOND, SECOND // 10):
        allowed = rate_limit.allowed(full_at, now)
        full_at = rate_limit.after(full_at, now, allowed)
        sent += [now] * allowed

    assert 30 == max(sum(start <= number <= start + 60 * SECOND for number in sent) for start in sent)
    assert len(sent) > 80


@pytest.mark.parametrize("url", [f"{URL}&auth_test=true", f"{URL}&auth_test="])
def test_a_url_that_would_post_nothing_is_refused(url: str) -> None:
    """``auth_test`` in it would make every delivery look like a success; the sentence shows nothing of the URL."""
    with pytest.raises(Invalid) as caught:
        parse({"url": url})

    ((field, message),) = [(error.field, error.message) for error in caught.value.errors]
    assert ("settings.url", True) == (field, "auth_test" in message)
    assert "sentinel" not in message


def test_a_room_on_any_host_is_taken() -> None:
    """The URL is taken as it was pasted."""
    assert HipChatSettings(URL) == parse({"url": URL})
