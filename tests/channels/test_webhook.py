"""The WebHook channel: its settings, the request that it renders, and how it judges an answer."""

import json
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from loadbell.channels import channel_type, channel_types
from loadbell.channels.contract import Envelope
from loadbell.channels.settings import masked_settings, parse_settings, stored_settings
from loadbell.channels.webhook import CHANNEL, WebHookSettings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Reason
from loadbell.domain.errors import Invalid
from loadbell.domain.events import EventName
from loadbell.domain.ids import to_datetime
from loadbell.domain.notices import minimal_notice
from loadbell.outbound.addresses import AddressPolicy, check_url
from loadbell.outbound.messages import Reply
from loadbell.outbound.signing import new_secret

NOW = 1_795_000_000_123_456
SECOND = 1_000_000
NO_REDIRECTS = "loadbell doesn't follow redirects. Enter the final URL in the channel's settings."
URL = "https://receiver.example/hook/secret?token=secret"
DELIVERY = UUID("19c5d426-3b4d-43c3-8277-37ad7d457430")

parse = partial(parse_settings, ChannelKind("webhook"), check_url=partial(check_url, policy=AddressPolicy()))


NOTICE = minimal_notice(EventName.STARTED, 0)


def envelope(*, payload: bytes = b'{"event":"test.started"}', secrets: tuple[str, ...] = ()) -> Envelope:
    return Envelope(DELIVERY, EventName.STARTED, attempt=1, now=NOW, payload=payload, secrets=secrets)


def answer(status: int, **headers: str) -> Reply:
    spelled = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, spelled, b"", truncated=False, duration=1)


def errors_of(raw: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        parse(raw, **more)
    return [(error.field, error.message) for error in caught.value.errors]


def test_the_channel_is_found_by_its_kind() -> None:
    """Every kind that has a file is found, and answers to its own name."""
    assert CHANNEL is channel_type(ChannelKind("webhook"))
    assert list(channel_types()) == [channel.kind for channel in channel_types().values()]


def test_the_legacy_headers_are_spelled_as_documented() -> None:
    """The three headers of the LoadImpact documentation come first, spelled exactly, and the body is JSON."""
    message = CHANNEL.render(WebHookSettings(URL), NOTICE, envelope())

    expected = (
        ("X-LoadImpact-ID", "19c5d426-3b4d-43c3-8277-37ad7d457430"),
        ("X-LoadImpact-Event", "test.started"),
        ("User-Agent", "LoadImpactWebHook"),
        ("Content-Type", "application/json"),
        ("webhook-id", "19c5d426-3b4d-43c3-8277-37ad7d457430"),
        ("webhook-timestamp", "1795000000"),
    )
    assert expected == message.headers
    assert ("POST", URL) == (message.method, message.url)


@given(st.binary(max_size=200))
def test_the_payload_goes_out_byte_for_byte(payload: bytes) -> None:
    """Whatever was frozen is what is sent."""
    assert payload == CHANNEL.render(WebHookSettings(URL), NOTICE, envelope(payload=payload)).body


def test_each_live_secret_signs() -> None:
    """A receiver that knows either live secret accepts the message by the reference library."""
    secrets = tuple(new_secret(fill.__mul__) for fill in (b"n", b"o"))
    headers = dict(CHANNEL.render(WebHookSettings(URL), NOTICE, envelope(secrets=secrets)).headers)

    assert 2 == len(headers["webhook-signature"].split(" "))
    for secret in secrets:
        expected = Webhook(secret).sign(str(DELIVERY), to_datetime(NOW), '{"event":"test.started"}')
        assert expected in headers["webhook-signature"].split(" ")


def test_own_headers_are_sent_as_given_and_are_secret() -> None:
    """Custom headers follow ours, spelled as given; their values are marked for masking."""
    settings = WebHookSettings(URL, {"Authorization": "Bearer x", "x-Team": "qa"})
    message = CHANNEL.render(settings, NOTICE, envelope())

    assert (("Authorization", "Bearer x"), ("x-Team", "qa")) == message.headers[-2:]
    assert frozenset({"authorization", "x-team"}) == message.secret_headers


def test_own_headers_never_replace_ours() -> None:
    """Even settings stored in spite of the check can't replace a header of ours, or change HTTP's framing."""
    ours = CHANNEL.render(WebHookSettings(URL), NOTICE, envelope()).headers
    stored = {
        "user-agent": "x",
        "X-LOADIMPACT-ID": "x",
        "Webhook-Id": "x",
        "host": "x",
        "Content-Length": "0",
        "TE": "x",
    }

    assert ours == CHANNEL.render(WebHookSettings(URL, stored), NOTICE, envelope()).headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\n"),
        ("X-A", "\x00"),
        ("X-A", "\x7f"),
        ("X-A", "\u00fc"),
        ("X-A", " x"),
        ("X-A", "x\t"),
        ("X-A", "x" * 4001),
        ("X" * 101, "x"),
        ("", "x"),
        ("X A", "x"),
        ("X:A", "x"),
        ("X-\u00fc", "x"),
        ("X\r\nX-B", "x"),
        *(
            (reserved, "x")
            for reserved in (
                "Host", "content-length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Authorization", "TE",
                "Trailer", "Upgrade", "Expect", "CONTENT-TYPE", "Content-Encoding", "User-Agent", "Accept-Encoding",
                "X-LoadImpact-ID", "x-loadimpact-anything", "webhook-id", "Webhook-Signature", "HTTP2-Settings",
            )
        ),
    ],
)  # fmt: skip
def test_headers_that_would_do_harm_are_refused_on_save(name: str, value: str) -> None:
    """Injection, reserved and hop-by-hop names and oversize are an error of ``settings.headers``."""
    ((field, message),) = errors_of({"url": URL, "headers": {name: value}})

    assert "settings.headers" == field
    assert (True, True) == (message.endswith("."), message.isprintable())


@pytest.mark.parametrize(
    "headers",
    [{f"X-{n}": "x" for n in range(21)}, {"X-A": "1", "x-a": "2"}, {"X-A": 1}, {"X-A": None}, ["X-A"], "X-A: 1"],
)
def test_headers_of_a_wrong_shape_are_refused(headers: Any) -> None:
    """More than twenty, a name twice, or anything but an object of texts is an error."""
    assert ["settings.headers"] == [field for field, _ in errors_of({"url": URL, "headers": headers})]


def test_headers_at_the_limits_are_taken() -> None:
    """Twenty headers, a name of 100 and a value of 4,000 characters, an empty value and inner spaces are fine."""
    headers = {"X" * 100: "x" * 4000, "X-Empty": "", "X-Space": "a b", **{f"X-{n}": "x" for n in range(17)}}

    assert headers == asdict(parse({"url": URL, "headers": headers}))["headers"]


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ({}, ["settings.url"]),
        ({"url": None}, ["settings.url"]),
        ({"url": 1}, ["settings.url"]),
        ({"url": ""}, ["settings.url"]),
        ({"url": "ftp://receiver.example/secret"}, ["settings.url"]),
        ({"url": "http://user:pw@receiver.example/"}, ["settings.url"]),
        ({"url": "http://127.1/secret"}, ["settings.url"]),
        (
            {"url": "http://169.254.169.254/secret", "headers": {"Host": "x"}, "nope": 1},
            ["settings.nope", "settings.url", "settings.headers"],
        ),
    ],
)  # fmt: skip
def test_every_wrong_field_is_told(raw: dict[str, Any], fields: list[str]) -> None:
    """All that is wrong comes at once, by field, and shows nothing of the URL's path."""
    items = errors_of(raw)

    assert fields == [field for field, _ in items]
    assert "secret" not in str(items)


def test_settings_survive_storage() -> None:
    """What was parsed is stored as JSON and read back the same, whatever else is stored beside it."""
    parsed = parse({"url": URL, "headers": {"X-A": "1"}})

    assert parsed == stored_settings(ChannelKind("webhook"), json.loads(json.dumps({**asdict(parsed), "old": 1})))


def test_settings_show_no_secret() -> None:
    """Masked, only the URL's scheme and host and the headers' names are left; repr shows neither."""
    stored = {"url": "https://receiver.example:8443/secret?secret", "headers": {"X-Token": "secret"}}

    masked = masked_settings(ChannelKind("webhook"), stored)

    assert {"url": "https://receiver.example:8443/…", "headers": {"X-Token": "…"}} == masked
    assert "secret" not in repr(stored_settings(ChannelKind("webhook"), stored))
    assert {"url": URL.partition("/hook")[0] + "/…", "headers": {}} == masked_settings(
        ChannelKind("webhook"), {"url": URL, "headers": {}}
    )


def test_a_change_keeps_what_it_leaves_out() -> None:
    """An absent field keeps its stored value; a field that is there replaces it whole."""
    stored = {"url": URL, "headers": {"X-A": "1", "X-B": "2"}}

    assert WebHookSettings(URL, {"X-A": "1", "X-B": "2"}) == parse({}, current=stored)
    assert WebHookSettings(URL, {"X-C": "3"}) == parse({"headers": {"X-C": "3"}}, current=stored)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"url": "https://receiver.example/…"}, "settings.url"),
        ({"headers": {"X-A": "…", "X-B": "2"}}, "settings.headers"),
    ],
)
def test_a_masked_value_sent_back_is_refused(raw: dict[str, Any], field: str) -> None:
    """What loadbell shows in place of a secret is never stored as the secret."""
    items = errors_of(raw, current={"url": URL, "headers": {"X-A": "1"}})

    assert [field] == [name for name, _ in items]
    assert "masked" in items[0][1]


@pytest.mark.parametrize(
    ("status", "reason", "retry", "message"),
    [
        (200, Reason.OK, False, "The receiver answered 200 OK."),
        (204, Reason.OK, False, "The receiver answered 204 No Content."),
        (299, Reason.OK, False, "The receiver answered 299."),
        (302, Reason.HTTP_3XX, True, f"The receiver answered 302 Found. {NO_REDIRECTS}"),
        (400, Reason.HTTP_4XX, True, "The receiver answered 400 Bad Request."),
        (404, Reason.HTTP_4XX, True, "The receiver answered 404 Not Found."),
        (410, Reason.GONE, False, "The receiver answered 410 Gone: this webhook no longer exists."),
        (429, Reason.RATE_LIMITED, True, "The receiver answered 429 Too Many Requests."),
        (500, Reason.HTTP_5XX, True, "The receiver answered 500 Internal Server Error."),
        (503, Reason.HTTP_5XX, True, "The receiver answered 503 Service Unavailable."),
        (599, Reason.HTTP_5XX, True, "The receiver answered 599."),
        (999, Reason.HTTP_5XX, True, "The receiver answered 999."),
    ],
)  # fmt: skip
def test_each_answer_is_judged(status: int, reason: Reason, message: str, *, retry: bool) -> None:
    """2xx is success, 410 is for good, everything else is worth another attempt; each in one sentence."""
    outcome = CHANNEL.judge(answer(status), NOW)

    assert (reason, retry, message, None) == (outcome.reason, outcome.retry, outcome.message, outcome.retry_after)


@pytest.mark.parametrize("status", [200, 202, 403, 500])
def test_a_receiver_may_ask_for_no_more(status: int) -> None:
    """The header ``webhook-delivery: disable`` ends it for good, whatever the status."""
    outcome = CHANNEL.judge(answer(status, Webhook_Delivery=" Disable "), NOW)

    assert (Reason.GONE, False) == (outcome.reason, outcome.retry)
    assert "webhook-delivery" in outcome.message


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("120", 120 * SECOND),
        ("1.5", 1_500_000),
        ("0", 0),
        ("soon", None),
        ("-5", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ],
)
def test_the_receivers_own_wish_is_passed_on(status: int, value: str, span: int | None) -> None:
    """Retry-After as seconds, fraction or date is passed on with any failure that has it; junk asks for nothing."""
    outcome = CHANNEL.judge(answer(status, Retry_After=value), NOW)

    assert (True, span) == (outcome.retry, outcome.retry_after)


@given(
    st.integers(200, 999),
    st.lists(st.tuples(st.sampled_from(["Retry-After", "webhook-delivery", "X"]), st.text(max_size=30))),
)
def test_judging_never_raises(status: int, headers: list[tuple[str, str]]) -> None:
    """Any answer has an outcome with a sentence."""
    outcome = CHANNEL.judge(Reply(status, tuple(headers), b"", truncated=True, duration=1), NOW)

    assert outcome.message.endswith(".")
