"""The Slack channel: what its messages say, that they keep Slack's limits, and what it tells of an answer."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.channels.contract import Envelope
from loadbell.channels.settings import parse_settings
from loadbell.channels.slack import CHANNEL, SlackSettings
from loadbell.channels.wording import length
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Reason
from loadbell.domain.errors import Invalid
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.domain.notices import Fact, Notice, Tone, minimal_notice
from loadbell.domain.runs import Link, Threshold
from loadbell.outbound.addresses import AddressPolicy, check_url
from loadbell.outbound.messages import Reply
from loadbell.testing import FakeSlack
from tests.channels.conformance import DELIVERY, NOW, URL, post

NOTICE = Notice(
    headline="Load test failed",
    subject="Checkout",
    tone=Tone.BAD,
    occurred_at=NOW,
    why="1 of 2 thresholds failed.",
    facts=(Fact("Project", "Shop"), Fact("Duration", "10 min")),
    thresholds=(Threshold("p(95)<500", ok=False, value=812.3), Threshold("checks>0.9", ok=True, value=1.0)),
    metrics=(Fact("http_reqs", "120000"),),
    links=(Link("Open run", "https://loadbell.example/runs/7"), Link("Build", "https://ci.example/42")),
)
MANY = tuple(Fact(f"label {number} " + "&" * 500, "&" * 500) for number in range(30))


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    """A Slack that is never too slow for a test."""
    with FakeSlack(per_second=10_000, burst=10_000) as fake:
        yield fake


def message(notice: Notice, *, url: str = URL, late: int = 0) -> dict[str, Any]:
    """The content of the message for ``notice``."""
    envelope = Envelope(DELIVERY, EventName.FINISHED, 1, NOW + late * SECOND, b"{}")
    content: dict[str, Any] = json.loads(CHANNEL.render(SlackSettings(url), notice, envelope).body)
    return content


def texts(part: Any) -> list[str]:
    """Every text of a message."""
    if isinstance(part, dict):
        return [text for value in part.values() for text in texts(value)]
    return (
        [text for value in part for text in texts(value)] if isinstance(part, list) else [part] * isinstance(part, str)
    )


def mark(content: dict[str, Any]) -> list[str]:
    """The texts in which marks are read: the fallback text, and what is said to be mrkdwn."""
    parts = [part for block in content["blocks"] for part in (block.get("text"), *block.get("fields", ()))]
    return [content["text"], *(part["text"] for part in parts if part and part["type"] == "mrkdwn")]


def block(content: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first block of that kind."""
    return next(block for block in content["blocks"] if block["type"] == kind)


def render_accepted(slack: FakeSlack, notice: Notice) -> bool:
    """Whether Slack takes the message for ``notice``."""
    rendered = CHANNEL.render(
        SlackSettings(slack.webhook_url), notice, Envelope(DELIVERY, EventName.STARTED, 1, NOW, b"")
    )
    return CHANNEL.judge(post(rendered), NOW).ok


@pytest.mark.parametrize(
    "part",
    [
        "Checkout",
        "Load test failed",
        "1 of 2 thresholds failed.",
        "p(95)&lt;500 — was 812.3",
        "Shop",
        "10 min",
        "120000",
        "https://loadbell.example/runs/7",
        "https://ci.example/42",
    ],
)
def test_the_blocks_and_the_text_each_tell_the_whole_story(part: str) -> None:
    """Slack shows the blocks, Mattermost the text: what happened, to which test, how long, why, and where to look."""
    content = message(NOTICE)

    assert part in content["text"]
    assert any(part in text for text in texts(content["blocks"]))


def test_every_threshold_has_its_verdict() -> None:
    """What was crossed comes before what held, each with the value that it was judged by and its unit."""
    thresholds = (
        Threshold("checks>0.9", ok=True, value=1.0),
        Threshold("p(95)<500", ok=False, value=812.3, unit="ms"),
        Threshold("count>1", ok=True),
    )
    content = message(replace(NOTICE, thresholds=thresholds))

    assert "\n✗ p(95)&lt;500 — was 812 ms\n✓ checks&gt;0.9 — was 1\n✓ count&gt;1\n" in content["text"]


@pytest.mark.parametrize(
    ("tone", "symbol"), [(Tone.GOOD, "✅"), (Tone.BAD, "❌"), (Tone.WARNING, "⚠️"), (Tone.NEWS, "🔔")]
)
def test_the_outcome_is_seen_at_once(tone: Tone, symbol: str) -> None:
    """The first character of header and text says how it went; only what is proven good gets the tick."""
    content = message(replace(NOTICE, tone=tone))

    assert f"{symbol} Load test failed: Checkout" == block(content, "header")["text"]["text"]
    assert content["text"].startswith(symbol)


def test_late_news_says_so() -> None:
    """A message that is sent two hours after its event says that, in the header and in the text."""
    content = message(NOTICE, late=7200)

    assert "❌ Load test failed (delayed 2 h): Checkout" == block(content, "header")["text"]["text"]
    assert content["text"].startswith("❌ Load test failed (delayed 2 h): Checkout\n")


def test_the_button_leads_to_the_run_and_other_links_are_named() -> None:
    """The first link is the button; the others follow as links."""
    content = message(NOTICE)

    (button,) = block(content, "actions")["elements"]
    assert ("Open run", "https://loadbell.example/runs/7") == (button["text"]["text"], button["url"])
    assert "<https://ci.example/42|Build>" in texts(content["blocks"])


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "/runs/7",
        "https://a.example/\u202ex",
        "https://a.example/a b",
        "https://a.example/" + "x" * 3_000,
    ],
)
def test_a_link_that_slack_would_refuse_is_left_out(url: str, slack: FakeSlack) -> None:
    """A link to anywhere but the web, broken or too long for a button makes no link and spoils no message."""
    notice = replace(NOTICE, links=(Link("Open", url),))

    assert url not in str(message(notice))
    assert render_accepted(slack, notice)


def test_links_that_do_not_fit_are_counted() -> None:
    """Links stay whole, or are left out and counted."""
    links = tuple(Link(f"Build {number}", f"https://ci.example/{number}?a=1&b=<|>" + "x" * 200) for number in range(20))
    content = message(replace(NOTICE, links=links))

    for text in (mark(content)[0], mark(content)[-1]):
        told = re.findall(r"<https://[^<>|]+\|Build \d+>", text)
        assert len(told) == text.count("<") > 0
        assert re.search(r" … and \d+ more$", text)


@pytest.mark.parametrize(
    "name", ["<!channel>", "<!here|x>", "<@U123>", "<!subteam^S1>", "@channel", "@here now", "x @all", "(@ann)"]
)
def test_a_name_pings_nobody(name: str) -> None:
    """No mention of Slack or Mattermost survives, wherever a text from outside stands."""
    notice = replace(
        NOTICE,
        subject=name,
        why=name,
        facts=(Fact(name, name),),
        metrics=(Fact(name, name),),
        thresholds=(Threshold(name, ok=False),),
        links=(Link(name, "https://a.example/"), Link(name, "https://b.example/")),
    )
    content = message(notice)

    assert not any(re.search(r"<(?!https://)|(?<![\w])@\w", text) for text in mark(content))
    assert not any(re.search(r"<(?!https://)", text) for text in texts(content))


def test_text_from_outside_makes_no_link_picture_or_heading() -> None:
    """Mattermost reads Markdown in the text: a note hides no address behind words and fetches no picture."""
    note = "# Big [Sign in](https://evil.example/) ![x](https://evil.example/t.png)"
    content = message(replace(NOTICE, why=note, facts=(Fact("Note", note),)))

    assert not any("](" in text or re.search(r"(?m)^#", text) for text in mark(content))
    assert any("Sign in" in text for text in mark(content))


def test_a_name_opens_no_code_block() -> None:
    """Three backticks in a name swallow nothing of what follows."""
    assert "```" not in message(replace(NOTICE, subject="a ``` b"))["text"]


@pytest.mark.parametrize(("size", "cut"), [(149, False), (150, False), (151, True)])
def test_the_header_keeps_its_limit(size: int, slack: FakeSlack, *, cut: bool) -> None:
    """150 characters, escapes counted, stay whole; one more is cut, and shows it."""
    subject = "&" + "x" * (size - length("❌ Load test failed: ") - len("&amp;"))
    notice = replace(NOTICE, subject=subject)
    header = block(message(notice), "header")["text"]["text"]

    assert min(size, 150) == length(header)
    assert (cut, render_accepted(slack, notice)) == (header.endswith("…"), True)


def test_more_than_fits_is_counted(slack: FakeSlack) -> None:
    """Ten thresholds are named, ten facts shown; what is beyond is a number, not silence."""
    notice = replace(NOTICE, facts=MANY[:11], thresholds=tuple(Threshold(f"t{n}", ok=False) for n in range(12)))
    content = message(notice)

    assert "✗ t9\n… and 2 more" in content["text"]
    assert "… and 2 more" == block({"blocks": content["blocks"][2:]}, "section")["fields"][-1]["text"]
    assert render_accepted(slack, notice)


@pytest.mark.parametrize("size", [99, 100, 101, 10_000])
def test_a_value_keeps_our_limit(size: int) -> None:
    """A fact, a metric and a threshold have 100 characters each; a cut ends in "…", in the blocks and the text."""
    notice = replace(
        NOTICE,
        facts=(Fact("f", "f" * size),),
        metrics=(Fact("m", "m" * size),),
        thresholds=(Threshold("t" * size, ok=False),),
    )
    content = message(notice)

    for letter in "fmt":
        shown = letter * size if size <= 100 else letter * 99 + "…"
        assert re.search(rf"(?<!{letter}){shown}(?!{letter}|…)", content["text"])
        assert any(re.search(rf"(?<!{letter}){shown}(?!{letter}|…)", text) for text in texts(content["blocks"]))


def test_the_longest_message_stays_below_what_slack_takes(slack: FakeSlack) -> None:
    """With everything as long as it can be, escaped fivefold, the texts together stay below 13,200 characters."""
    long = "&" * 10_000
    links = (Link(long, "https://a.example/" + "x" * 2_982), *(Link(long, f"https://{n}.example/") for n in range(20)))
    notice = Notice(
        "Load test aborted by script error", long, Tone.BAD, NOW, long, MANY,
        tuple(Threshold(long, ok=False, value=1e300) for _ in range(100)), MANY, links,
    )  # fmt: skip
    content = message(notice, late=90_000)

    assert sum(map(length, texts(content))) < 13_200
    assert length(content["text"]) <= 2_000
    assert render_accepted(slack, notice)


@given(
    st.builds(
        Notice,
        st.just("Load test"),
        st.text(),
        st.sampled_from(Tone),
        st.just(NOW),
        st.none() | st.text(),
        st.lists(st.builds(Fact, st.text(), st.text()), max_size=12).map(tuple),
    )
)
def test_every_notice_makes_a_message(slack: FakeSlack, notice: Notice) -> None:
    """Whatever its texts, empty ones too, Slack takes the message."""
    assert render_accepted(slack, notice)


def test_a_note_of_white_space_alone_is_left_out(slack: FakeSlack) -> None:
    """Slack refuses an empty section: a note with nothing to read makes none."""
    assert render_accepted(slack, replace(NOTICE, why=" \x85\n", thresholds=()))


def test_an_event_of_the_past_makes_a_message(slack: FakeSlack) -> None:
    """An event that was stored before notices were is told by its name."""
    notice = minimal_notice(EventName.STARTED, NOW)

    assert "🔔 test.started" == message(notice)["text"]
    assert render_accepted(slack, notice)


@pytest.mark.parametrize("path", ["workflows/T0/A0/1/x", "triggers/T0/1/x"])
def test_a_workflow_gets_one_text(path: str) -> None:
    """A Workflow Builder's webhook refuses what isn't one of its variables: it gets ``text`` alone."""
    assert {"text"} == set(message(NOTICE, url=f"https://hooks.slack.com/{path}"))
    assert {"text", "blocks"} == set(message(NOTICE, url=f"https://chat.example/{path}"))


parse = partial(parse_settings, ChannelKind("slack"), check_url=partial(check_url, policy=AddressPolicy()))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T0/B0/x",
        "https://hooks.slack.com/workflows/T0/A0/1/x",
        "https://hooks.slack.com/triggers/T0/1/x",
        "https://hooks.slack-gov.com/services/T0/B0/x",
        "https://mattermost.example/hooks/x",
        "https://chat.example:8443/hooks/x/y",
        "https://notslack.com/x",
    ],
)
def test_webhooks_of_slack_and_its_likes_are_taken(url: str) -> None:
    """Slack's own addresses, and any path on any other host."""
    assert SlackSettings(url) == parse({"url": url})


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.slack.com/archives/C123",
        "https://hooks.slack.com/",
        "https://HOOKS.slack.com./x",
        "https://app.slack-gov.com/client",
        "https://slack.com/services",
    ],
)
def test_another_page_of_slack_is_refused_on_save(url: str) -> None:
    """The URL of a Slack page that is no webhook is told when it is saved, with the right one's beginning."""
    with pytest.raises(Invalid) as caught:
        parse({"url": url})

    (error,) = caught.value.errors
    assert ("settings.url", True) == (error.field, "https://hooks.slack.com/services/" in error.message)


NEW_ONE = "Create a new incoming webhook and paste its URL into the channel's settings."
REPORT_IT = "This is a bug in loadbell. Please report it with the log entry of this attempt."


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"ok", "200 OK."),
        (200, b"<html>", "200 OK without Slack's ok. Check that the URL is an incoming webhook's."),
        (
            404,
            b"no_service",
            f"404 Not Found with no_service: the webhook was removed, disabled or never existed. {NEW_ONE}",
        ),
        (404, b"<html>", f"404 Not Found: it accepts no messages. {NEW_ONE}"),
        (
            400,
            b'{"error":"invalid_blocks"}',
            f"400 Bad Request with invalid_blocks: it can't read the message. {REPORT_IT}",
        ),
        (400, b"something_new", "400 Bad Request."),
        (503, b"", "503 Service Unavailable."),
    ],
)
def test_an_answer_is_told_with_slacks_own_word(status: int, body: bytes, said: str) -> None:
    """The error code that Slack gave, what it means, and what to do."""
    assert (
        f"The receiver answered {said}"
        == CHANNEL.judge(Reply(status, (), body, truncated=False, duration=1), NOW).message
    )


@pytest.mark.parametrize(
    "body", [b"sentinel_token", b'{"error":"sentinel_token"}', b"https://hooks.slack.com/sentinel"]
)
@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500])
def test_a_word_that_is_not_slacks_is_not_repeated(status: int, body: bytes) -> None:
    """What a server makes up as its error might be the URL's secret: only Slack's known codes are told."""
    outcome = CHANNEL.judge(Reply(status, (), body, truncated=False, duration=1), NOW)

    assert "sentinel" not in outcome.message
    assert outcome.reason is not Reason.OK
