"""What must hold for every kind of channel that there is; a new kind is covered as soon as it has its file."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.channels import channel_type, channel_types
from loadbell.channels.contract import legacy_headers
from loadbell.channels.settings import masked_settings, parse_settings, stored_settings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Outcome, Reason
from loadbell.domain.events import EventName
from loadbell.domain.notices import Fact
from loadbell.domain.runs import Link, Result, RunStatus, Threshold
from loadbell.outbound.messages import Reply
from tests.channels.conformance import FAKES, NOW, RUN, URL, cases, finished, post, render, run_case
from tests.channels.conformance_verdicts import ANSWERS, STATUSES, Answer, Expected
from tests.channels.golden import golden, list_files

KINDS = list(channel_types())

FAMILY = "\u200d".join("👩👩👧👦")
ASTRAL = "\U0001d538"

HOSTILE = {
    "control characters": "a\x00b\x07c\x1bd\x7fe\x85f",
    "line breaks": "one\r\ntwo\n\nthree\u2028four\x0bfive",
    "right-to-left": "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u05d0\u05d1 \u061c",
    "emoji": f"{FAMILY} \U0001f3f4\U000e0067\U000e0062\U000e007f \u2620\ufe0f \U0001f44d\U0001f3fd {ASTRAL}",
    "a joined emoji at every cut": FAMILY * 1_500,
    "10,000 characters": "x" * 10_000,
    "10,000 astral characters": ASTRAL * 10_000,
    "10,000 characters to escape": "&<>\"'" * 2_000,
    "Slack's markup": "<!channel> <@U123> <#C123|x> <https://evil.example|click> *b* _i_ ~s~ `c` ```block @here",
    "HTML": "</b><script>alert(1)</script><img src=x onerror=alert(1)><a href='https://evil.example'>&amp;&#x3c; <!--",
    "HipChat's markup": "@all @here (boom) /code x https://evil.example",
    "JSON": '", "text": "\\u0000 \\" }] {{template}} ${env} %s',
    "white space": " \t\n\u3000\u00a0",
    "combining": "Z̷̡͖̈́a" + "\u0301" * 500,
    "lone surrogate": "a\ud800b",
    "noncharacters": "a\ufffe\uffff\ufdd0b",
}

RATE_HEADERS = ["Retry-After", "webhook-delivery"] + [
    f"X-{rate}-{part}" for rate in ("Ratelimit", "FloodControl") for part in ("Limit", "Remaining", "Reset")
]


def outcome_of(kind: ChannelKind, answer: Answer) -> Outcome:
    """How ``kind`` judges an answer that arrives at ``NOW``."""
    reply = Reply(answer.status, answer.headers, answer.body.encode(), truncated=False, duration=1)
    return channel_type(kind).judge(reply, NOW)


def decisive(outcome: Outcome) -> Expected:
    """What decides, without the words."""
    return Expected(outcome.reason, outcome.retry, outcome.pauses, outcome.retry_after)


def test_every_request_is_as_it_was_reviewed() -> None:
    """Each kind's request for each event and status is the kept one; ``python -m tests.channels.golden`` rewrites."""
    body = golden()

    assert set(body) == list_files()
    for path, content in body.items():
        assert json.loads(path.read_text(encoding="utf-8")) == json.loads(content), path.name


@pytest.mark.parametrize("kind", KINDS)
def test_the_legacy_headers_come_first(kind: ChannelKind) -> None:
    """Every request of every kind carries the three headers of LoadImpact, then what it is."""
    for case in cases().values():
        message = render(kind, case)

        assert legacy_headers(case.envelope) == message.headers[:3]
        assert ("Content-Type", "application/json") in message.headers
        assert ("POST", URL) == (message.method, message.url)


@pytest.mark.parametrize("kind", KINDS)
def test_every_status_has_its_verdict(kind: ChannelKind) -> None:
    """The table of the kind names each status from 200 to 599 once, and the kind judges as it says."""
    table = {status: expected for statuses, expected in STATUSES[kind].items() for status in statuses}

    assert list(range(200, 600)) == sorted(status for statuses in STATUSES[kind] for status in statuses)
    assert table == {status: decisive(outcome_of(kind, Answer(status))) for status in table}


@pytest.mark.parametrize(
    ("kind", "answer", "expected"), [(kind, *verdict) for kind in KINDS for verdict in ANSWERS[kind]]
)
def test_every_documented_answer_has_its_verdict(kind: ChannelKind, answer: Answer, expected: Expected) -> None:
    """Each answer that the provider is known to give is told apart, in words."""
    outcome = outcome_of(kind, answer)

    assert expected == decisive(outcome)
    assert outcome.message.startswith("The receiver answered ")


@pytest.mark.parametrize("kind", KINDS)
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=300)
    | st.sampled_from([b"[" * 100_000, b'{"error":' * 10_000, b"9" * 10_000, b'{"ok":1e999}']),
    headers=st.lists(
        st.tuples(
            st.sampled_from(RATE_HEADERS),
            st.text(max_size=30) | st.integers().map(str),
        )
    ),
)
def test_judging_never_raises(kind: ChannelKind, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
    """Whatever comes back has an outcome that makes sense, in a short printable sentence."""
    outcome = channel_type(kind).judge(Reply(status, tuple(headers), body, truncated=True, duration=1), NOW)

    assert outcome.message.endswith((".", "…"))
    assert (True, True) == (outcome.message.isprintable(), len(outcome.message) < 400)
    assert not (outcome.ok and (outcome.retry or outcome.pauses))
    assert not (outcome.retry and outcome.pauses)
    assert outcome.retry_after is None or outcome.retry_after >= 0


@pytest.mark.parametrize("kind", KINDS)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["ok", "success", "error", "retry_after", "code", "message", "type"]), inner
            )
        ),
    )
)
def test_judging_bears_every_json(kind: ChannelKind, answer: Any) -> None:
    """JSON of any shape under the keys that providers use is judged too."""
    for status in (200, 400, 429):
        body = json.dumps(answer).encode()

        assert channel_type(kind).judge(Reply(status, (), body, truncated=False, duration=1), NOW).message


@pytest.mark.parametrize("kind", KINDS)
def test_settings_survive_storage_and_show_no_secret(kind: ChannelKind) -> None:
    """Parsed, stored as JSON and read back they are the same; masked or printed they show host and scheme only."""
    parsed = parse_settings(kind, {"url": URL}, check_url=lambda _: None)
    stored = json.loads(json.dumps(asdict(parsed)))

    assert parsed == stored_settings(kind, stored)
    assert "https://receiver.example/…" == masked_settings(kind, stored)["url"]
    text = f"{parsed!r} {masked_settings(kind, stored)} {render(kind, cases()['test.started running'])!r}"
    assert "sentinel" not in text.lower()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_how_to_set_it_up(kind: ChannelKind) -> None:
    """The steps are whole sentences; the title holds the code's word, alone or with the maker's name."""
    channel = channel_type(kind)

    assert channel.steps
    assert all(step.endswith(".") for step in channel.steps)
    assert kind.replace("_", " ") in channel.title.lower()


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_is_accepted(kind: ChannelKind) -> None:
    """The kind's own server, with all its limits, takes every event and status, and the kind calls that a success."""
    with FAKES[kind]() as url:
        for name, case in cases().items():
            reply = post(render(kind, case, url))

            assert Reason.OK is channel_type(kind).judge(reply, NOW).reason, (name, reply)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_accepted(kind: ChannelKind, hostile: str) -> None:
    """Whatever stands in a name, note, threshold, metric, link or person, the message stays one that is accepted."""
    run = replace(
        finished(RunStatus.FAILED_THRESHOLD, Result.FAILED),
        note=hostile,
        thresholds=tuple(Threshold(hostile, ok=False, value=float("nan")) for _ in range(100)),
        metrics={f"{number} {hostile}": 1.5 for number in range(50)},
        links=tuple(
            Link(hostile, url) for url in (hostile, f"https://x.example/{hostile}", "https://x.example/?a&b|c")
        ),
    )
    case = run_case(replace(RUN, name="x"), EventName.STARTED)
    notice = run_case(run, EventName.FINISHED).notice
    notice = replace(notice, subject=hostile, facts=(*notice.facts, Fact("Sent by", hostile)))

    with FAKES[kind]() as url:
        reply = post(render(kind, replace(case, notice=notice), url))

    assert Reason.OK is channel_type(kind).judge(reply, NOW).reason, reply
