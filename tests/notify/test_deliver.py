"""One attempt: what is made of odd answers and odd settings, and that the log keeps no secret."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Cause, FinalStatus, Reason
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND
from loadbell.notify.worker.attempt import MAX_EXCERPT_SIZE, build_request, judge_result
from loadbell.outbound.messages import NoReply, Reply
from loadbell.store.outbox import Completion, Leased
from tests.support.leasing import BASE_URL, OK, SILENT, WAITS

URL = "https://hooks.example.org/services/T000-sentinel/path?token=query-sentinel&x=%73pelled-sentinel"
LEASED = Leased(
    id=UUID(int=1),
    organization_id=1,
    channel_key=1,
    kind=ChannelKind("webhook"),
    event=EventName.STARTED,
    occurred_at=0,
    payload=b'{"event":"test.started"}',
    notice=None,
    cause=Cause.SCHEDULED,
    final=None,
    retry_index=0,
    resume_at=None,
    number=1,
    owner=1,
    is_replay=False,
    rate_limits=0,
    settings={"url": URL, "headers": {"Authorization": "Bearer header-sentinel"}},
    secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
)


def _make(answer: Reply | NoReply, leased: Leased = LEASED) -> Completion:
    return judge_result(build_request(leased, SECOND, BASE_URL), answer, schedule=WAITS, now=2 * SECOND, chance=0.5)


def test_the_log_keeps_what_was_sent_without_its_secrets() -> None:
    """URL path, query and header values are masked; names, our own headers and the body are there."""
    exchange = _make(OK).attempt.exchange
    assert exchange is not None

    assert ("POST", "https://hooks.example.org/…", '{"event":"test.started"}') == (
        exchange.method, exchange.url, exchange.request_body,
    )  # fmt: skip
    headers = dict(exchange.request_headers)
    assert ("…", "test.started", str(UUID(int=1))) == (
        headers["Authorization"], headers["X-LoadImpact-Event"], headers["X-LoadImpact-ID"],
    )  # fmt: skip
    assert "sentinel" not in repr(exchange)


def test_an_answer_that_repeats_our_secrets_does_not_get_them_into_the_log() -> None:
    """Echoed URLs, tokens and header values are masked in the answer's headers and body."""
    body = f"no such hook: {URL} Bearer header-sentinel token=query-sentinel T000-sentinel spelled-sentinel".encode()
    answer = replace(OK, status=404, headers=(("Location", URL), ("X-Echo", "header-sentinel")), body=body)
    completion = _make(answer)
    assert completion.attempt.exchange is not None

    assert "sentinel" not in repr(completion.attempt)
    assert "no such hook" in completion.attempt.exchange.response_body


def test_a_provider_that_repeats_our_secrets_does_not_get_them_into_the_reason() -> None:
    """What HipChat's error says is told, without what it repeats of the URL."""
    data = b'{"error": {"code": 401, "message": "No room \\"path-sentinel\\" for query-sentinel, sorry"}}'
    url = "https://hooks.example.org/path-sentinel/notification?auth_token=query-sentinel"
    leased = replace(LEASED, kind=ChannelKind("hipchat"), settings={"url": url})

    message = _make(replace(OK, status=401, body=data), leased).attempt.message

    assert message.startswith("The receiver answered 401 Unauthorized: \"No room '…' for …, sorry\". ")


@pytest.mark.parametrize(
    ("body", "shown"),
    [(b"a\x00b", "a\ufffdb"), (b"\xff\xfe", "\ufffd\ufffd"), (b"\xf0\x9f\x94\x94", "🔔"), (b"", "")],
)
def test_any_bytes_of_an_answer_can_be_kept(body: bytes, shown: str) -> None:
    """Binary and NUL bytes become replacement characters, which both databases store."""
    exchange = _make(replace(OK, body=body, headers=(("X-Odd", "a\x00\xff"),))).attempt.exchange
    assert exchange is not None

    assert (shown, (("X-Odd", "a\ufffd\xff"),)) == (exchange.response_body, exchange.response_headers)


@pytest.mark.parametrize(("size", "cut"), [(MAX_EXCERPT_SIZE, False), (MAX_EXCERPT_SIZE + 1, True)])
def test_a_long_answer_is_kept_in_part_and_flagged(size: int, cut: bool) -> None:
    """Its status is judged all the same."""
    completion = _make(replace(OK, body=b"x" * size))
    assert completion.attempt.exchange is not None

    assert (MAX_EXCERPT_SIZE, cut) == (
        len(completion.attempt.exchange.response_body),
        completion.attempt.exchange.truncated,
    )
    assert FinalStatus.DELIVERED is completion.verdict.final


@pytest.mark.parametrize(
    "settings",
    [{}, {"url": None}, {"url": 7}, {"url": "x", "headers": None}, {"url": "x", "headers": []}, {"headers": {}}],
    ids=repr,
)
def test_settings_that_can_not_be_used_fail_their_own_delivery_only(settings: dict[str, Any]) -> None:
    """Nothing that lies in the database makes the worker stumble."""
    prepared = build_request(replace(LEASED, settings=settings), SECOND, BASE_URL)
    if prepared.refusal is not None:
        completion = judge_result(prepared, prepared.refusal, schedule=WAITS, now=SECOND, chance=0.5)
        assert (FinalStatus.FAILED, Reason.BAD_SETTINGS) == (completion.verdict.final, completion.attempt.reason)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/x", "http://[::1/x", "http://", "x", "http://a:b/"])
@pytest.mark.parametrize("answer", [OK, SILENT], ids=["answer", "silence"])
def test_a_stored_url_that_is_none_does_not_break_the_record(url: str, answer: Reply | NoReply) -> None:
    """The attempt counts, whatever can be kept of it."""
    completion = _make(answer, replace(LEASED, settings={"url": url}))

    assert (answer is OK) == (completion.verdict.final is FinalStatus.DELIVERED)


@pytest.mark.parametrize(
    ("reason", "retried"),
    [
        (Reason.TIMEOUT, True),
        (Reason.CONNECT, True),
        (Reason.DNS, True),
        (Reason.TLS, True),
        (Reason.PROTOCOL, True),
        (Reason.INTERNAL, True),
        (Reason.BLOCKED_ADDRESS, False),
        (Reason.BAD_SETTINGS, False),
    ],
)
def test_which_silences_are_retried(reason: Reason, retried: bool) -> None:
    """Trouble on the way is; an address that we may not connect to and settings that can't be used are not."""
    completion = _make(NoReply(reason, "why", 1))

    assert (None if retried else FinalStatus.FAILED) is completion.verdict.final
    assert not completion.answered


@pytest.mark.parametrize(("status", "answered"), [(200, True), (302, True), (404, True), (500, True), (429, False)])
def test_what_counts_as_an_answer(status: int, answered: bool) -> None:
    """Any HTTP answer but a rate limit lets test.finished follow test.started."""
    assert answered is _make(replace(OK, status=status)).answered
