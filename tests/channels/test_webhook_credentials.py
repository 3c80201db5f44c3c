"""The WebHook channel's credentials: what is sent, what is refused, and that they are shown nowhere."""

import base64
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from loadbell.channels.contract import Envelope
from loadbell.channels.settings import masked_settings, parse_settings, stored_settings
from loadbell.channels.webhook import CHANNEL, WebHookSettings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.errors import Invalid
from loadbell.domain.events import EventName
from loadbell.domain.notices import minimal_notice
from loadbell.outbound.addresses import AddressPolicy, check_url
from loadbell.outbound.messages import Message

URL = "https://receiver.example/hook"
PAIR = {"username": "ann", "password": "sentinel-pass"}

parse = partial(parse_settings, ChannelKind("webhook"), check_url=partial(check_url, policy=AddressPolicy()))


def render(**settings: Any) -> Message:
    envelope = Envelope(UUID(int=1), EventName.STARTED, attempt=1, now=0, payload=b"{}")
    return CHANNEL.render(WebHookSettings(URL, **settings), minimal_notice(EventName.STARTED, 0), envelope)


def errors_of(raw: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        parse(raw, **more)
    return [(error.field, error.message) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("username", "password", "sent"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617 section 2
        ("test", "123\u00a3", "Basic dGVzdDoxMjPCow=="),  # RFC 7617 section 2.1
        ("a", ":", "Basic YTo6"),
    ],
)
def test_a_user_name_and_password_are_sent_as_http_basic(username: str, password: str, sent: str) -> None:
    """The examples of RFC 7617 come out byte for byte, in one Authorization header whose value is marked secret."""
    message = render(username=username, password=password)

    assert [sent] == [value for name, value in message.headers if name.lower() == "authorization"]
    assert "authorization" in message.secret_headers
    assert {username, password} <= set(message.secrets)


def test_a_bearer_token_is_sent_as_such() -> None:
    """One Authorization header with the token, marked secret, beside headers of one's own."""
    message = render(bearer_token="abc.DEF-123=", headers={"X-Team": "perf"})

    assert (("X-Team", "perf"), ("Authorization", "Bearer abc.DEF-123=")) == message.headers[-2:]
    assert frozenset({"x-team", "authorization"}) == message.secret_headers


def test_no_credential_is_no_header() -> None:
    """Without credentials, and with empty ones, nothing is sent."""
    for body in ({}, {"username": "", "password": "", "bearer_token": ""}):
        assert [] == [name for name, _ in render(**body).headers if name.lower() == "authorization"]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"username": "ann"}, "settings.password"),
        ({"password": "sentinel-pass"}, "settings.username"),
        ({**PAIR, "bearer_token": "t"}, "settings.bearer_token"),
        ({**PAIR, "headers": {"authorization": "x"}}, "settings.headers"),
        ({"bearer_token": "t", "headers": {"Authorization": "x"}}, "settings.headers"),
        ({**PAIR, "username": "an:n"}, "settings.username"),
        ({**PAIR, "username": "an\nn"}, "settings.username"),
        ({**PAIR, "password": "\x7f"}, "settings.password"),
        ({**PAIR, "password": "x" * 1001}, "settings.password"),
        ({**PAIR, "username": "x" * 1001}, "settings.username"),
        ({"bearer_token": "Bearer abc"}, "settings.bearer_token"),
        ({"bearer_token": "\u00fc"}, "settings.bearer_token"),
        ({"bearer_token": "a\r\nX: 1"}, "settings.bearer_token"),
        ({"bearer_token": "x" * 4001}, "settings.bearer_token"),
        ({"username": 1}, "settings.username"),
        ({"bearer_token": None}, "settings.bearer_token"),
        ({"bearer_token": "…"}, "settings.bearer_token"),
    ],
)
def test_credentials_that_make_no_sense_are_refused(raw: dict[str, Any], field: str) -> None:
    """Half a pair, two credentials at once, and what HTTP can't carry are one sentence at the right field."""
    ((text, message),) = errors_of({"url": URL, **raw})

    assert field == text
    assert message.endswith(".")
    assert "sentinel" not in message


def test_the_limits_themselves_are_taken() -> None:
    """A user name and password of 1,000 characters and a token of 4,000 are fine."""
    parse({"url": URL, "username": "u" * 1000, "password": "p" * 1000})
    parse({"url": URL, "bearer_token": "t" * 4000})


def test_a_change_keeps_an_absent_credential_and_an_empty_text_removes_it() -> None:
    """What is left out stays; "" removes; one kind can be exchanged for the other in one change."""
    stored = asdict(parse({"url": URL, **PAIR}))

    assert parse({"headers": {"X-A": "1"}}, current=stored) == WebHookSettings(URL, {"X-A": "1"}, **PAIR)
    assert parse({"username": "", "password": ""}, current=stored) == WebHookSettings(URL)
    exchanged = parse({"username": "", "password": "", "bearer_token": "t"}, current=stored)
    assert exchanged == WebHookSettings(URL, bearer_token="t")
    assert [("settings.password", "Enter the password for the user name, or remove the user name.")] == errors_of(
        {"password": ""}, current=stored
    )


def test_credentials_are_shown_nowhere() -> None:
    """Masked they are an ellipsis, unset ones are left out, and repr has none of them."""
    stored = {"url": URL, "headers": {}, **PAIR, "bearer_token": ""}
    basic = base64.b64encode(b"ann:sentinel-pass").decode()
    message = render(**PAIR)

    assert {"url": "https://receiver.example/…", "headers": {}, "username": "…", "password": "…"} == masked_settings(
        ChannelKind("webhook"), stored
    )
    for text in (repr(stored_settings(ChannelKind("webhook"), stored)), repr(message)):
        assert "sentinel" not in text
        assert basic not in text
