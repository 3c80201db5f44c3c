"""
WebHook: the event's payload to any HTTP receiver, as LoadImpact 3.0 documented it, signed by Standard Webhooks.

Source of the three legacy headers and the body: the LoadImpact 3.0 documentation, page "Notifications", section
"WebHook". Source of the others and of the meaning of 410: Standard Webhooks 1.0.0. Credentials: RFC 7617 (user name
and password) and RFC 6750 section 2.1 (bearer token).
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from loadbell.channels.contract import ChannelType, Envelope, legacy_headers, setting
from loadbell.channels.products import wrong_product
from loadbell.channels.replies import describe_reply, judge_temporary
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Outcome, Reason
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.notices import Notice
from loadbell.outbound.messages import Message, Reply
from loadbell.outbound.signing import sign

MAX_HEADERS = 20
MAX_HEADER_NAME_LENGTH = 100
MAX_HEADER_VALUE_LENGTH = 4_000
MAX_CREDENTIAL_LENGTH = 1_000

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VISIBLE = re.compile(r"[\x20-\x7e]*")
_UNBROKEN = re.compile(r"[\x21-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_RESERVED_PREFIXES = ("content-", "proxy-", "webhook-", "x-loadimpact-")


def check_url(url: str) -> str | None:
    """The error for a URL of a product with its own format; None if there is none."""
    return wrong_product(ChannelKind("webhook"), url)


def check_headers(headers: Mapping[str, str]) -> str | None:
    """The error in a channel's headers, without their values; None if they are valid."""
    if len(headers) > MAX_HEADERS:
        return f"There are {len(headers)} headers, but at most {MAX_HEADERS} are allowed. Remove some."
    if len({name.lower() for name in headers}) < len(headers):
        return "A header is set twice, in different case. Keep one of them."
    return next((wrong for name, value in headers.items() if (wrong := _wrong(name, value)) is not None), None)


def check_username(username: str) -> str | None:
    """The error in a user name, without showing it; None if it is valid."""
    if ":" in username:
        return "A user name can't contain a colon: HTTP would read the rest as the password. Remove it."
    return check_password(username)


def check_password(password: str) -> str | None:
    """The error in a password, without showing it; None if it is valid."""
    if len(password) > MAX_CREDENTIAL_LENGTH:
        return f"This is longer than {MAX_CREDENTIAL_LENGTH:,} characters. Shorten it."
    if _CONTROL.search(password):
        return "This contains a line break or another control character. Remove it."
    return None


def check_bearer_token(token: str) -> str | None:
    """The error in a bearer token, without showing it; None if it is valid."""
    if len(token) > MAX_HEADER_VALUE_LENGTH:
        return f"This is longer than {MAX_HEADER_VALUE_LENGTH:,} characters. Shorten it."
    if not _UNBROKEN.fullmatch(token):
        return "This contains a space, a line break or a non-ASCII character. Enter only the token, without Bearer."
    return None


@dataclass(frozen=True)
class WebHookSettings:
    """Where to send, and what to send along. A credential that is empty is not sent."""

    url: str = setting(
        "URL", "Where loadbell sends a POST request when a test starts or ends.", secret=True, check=check_url
    )
    headers: dict[str, str] = setting(  # noqa: RUF009 - makes a dataclass field, with a factory
        "Headers",
        "Additional headers, such as Authorization. You can't replace loadbell's own headers.",
        secret=True,
        check=check_headers,
        default_factory=dict,
    )
    username: str = setting(
        "User name",
        "For receivers that use HTTP basic authentication.",
        secret=True,
        check=check_username,
        default="",
    )
    password: str = setting(
        "Password", "The password for this user name.", secret=True, check=check_password, default=""
    )
    bearer_token: str = setting(
        "Bearer token",
        "Sent as Authorization: Bearer.",
        secret=True,
        check=check_bearer_token,
        default="",
    )


class WebHook(ChannelType[WebHookSettings]):
    """Sends the payload, byte for byte, by POST."""

    kind: ClassVar[ChannelKind] = ChannelKind("webhook")
    title: ClassVar[str] = "WebHook"
    icon: ClassVar[str] = (
        '<path d="M6 2.5c-2 0-2 1-2 2.5S3.5 8 2 8c1.5 0 2 1.5 2 3s0 2.5 2 2.5'
        'M10 2.5c2 0 2 1 2 2.5s.5 3 2 3c-1.5 0-2 1.5-2 3s0 2.5-2 2.5"/>'
    )
    section: ClassVar[int] = 3
    sends_payload: ClassVar[bool] = True
    signs: ClassVar[bool] = True
    steps: ClassVar[tuple[str, ...]] = (
        "Set up an endpoint that accepts POST requests with a JSON body.",
        "Paste its URL into the URL field.",
        "Press Test Hook, then Save. loadbell shows the signing secret once; use it to verify requests.",
    )

    @property
    def settings_type(self) -> type[WebHookSettings]:
        """URL, own headers and credentials."""
        return WebHookSettings

    def wrong(self, settings: WebHookSettings) -> Mapping[str, str]:
        """Allows one kind of credential at a time, and user name and password only together."""
        if settings.username and not settings.password:
            return {"password": "Enter the password for the user name, or remove the user name."}
        if settings.password and not settings.username:
            return {"username": "Enter the user name for the password, or remove the password."}
        if settings.username and settings.bearer_token:
            return {"bearer_token": "A user name and a bearer token are both set. Keep one of them."}
        authorization = any(name.lower() == "authorization" for name in settings.headers)
        if authorization and (settings.username or settings.bearer_token):
            return {"headers": "A credential and an Authorization header are both set. Keep one of them."}
        return {}

    def render(self, settings: WebHookSettings, notice: Notice, envelope: Envelope) -> Message:  # noqa: ARG002 - the payload is the contract here
        """The POST that carries the frozen payload. The id stays over retries; timestamp and signature are new."""
        delivery_id = str(envelope.delivery_id)
        timestamp = envelope.now // SECOND
        headers = [
            *legacy_headers(envelope),
            ("Content-Type", "application/json"),
            ("webhook-id", delivery_id),
            ("webhook-timestamp", str(timestamp)),
        ]
        if envelope.secrets:
            signature = sign(envelope.secrets, delivery_id, timestamp, envelope.payload)
            headers.append(("webhook-signature", signature))
        own = [(name, value) for name, value in settings.headers.items() if not _is_reserved(name)]
        own += _authorization(settings)
        return Message(
            "POST",
            settings.url,
            (*headers, *own),
            envelope.payload,
            secret_headers=frozenset(name.lower() for name, _ in own),
            secrets=(settings.username, settings.password),
        )

    def judge(self, reply: Reply, now: Micros) -> Outcome:
        """2xx is success; 410 or ``webhook-delivery: disable`` pauses the channel; anything else is retried.

        Unless the receiver answers with ``webhook-delivery: abort-message``: then it wants this one no more. Both words
        are Svix's (docs.svix.com, "Delivery control").
        """
        control = (reply.header("webhook-delivery") or "").strip().lower()
        if control == "disable":
            asked = "stopped further messages with its webhook-delivery header"
            return Outcome(Reason.GONE, f"{describe_reply(reply)} and {asked}.", pauses=True)
        if reply.status == HTTPStatus.GONE:
            return Outcome(Reason.GONE, f"{describe_reply(reply)}: this webhook no longer exists.", pauses=True)
        if reply.status < HTTPStatus.MULTIPLE_CHOICES:
            return Outcome(Reason.OK, f"{describe_reply(reply)}.")
        outcome = judge_temporary(reply, now)
        if control != "abort-message":
            return outcome
        told = f"{describe_reply(reply)} and refused this message with its webhook-delivery header."
        return Outcome(Reason.HTTP_4XX if outcome.reason is Reason.RATE_LIMITED else outcome.reason, told)


CHANNEL = WebHook()


def _authorization(settings: WebHookSettings) -> list[tuple[str, str]]:
    if settings.username:
        pair = f"{settings.username}:{settings.password}".encode()
        return [("Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}")]
    return [("Authorization", f"Bearer {settings.bearer_token}")] if settings.bearer_token else []


def _is_reserved(name: str) -> bool:
    return name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES)


def _wrong(name: str, value: str) -> str | None:
    return _wrong_name(name) or _wrong_value(name, value)


def _wrong_name(name: str) -> str | None:
    if not name:
        return "A header has no name. Enter one, or remove the header."
    if len(name) > MAX_HEADER_NAME_LENGTH:
        return f"A header's name is longer than {MAX_HEADER_NAME_LENGTH} characters. Shorten it."
    if not _TOKEN.fullmatch(name):
        return f"{name!a} isn't a header name. Use only letters, digits and hyphens, without a colon."
    if _is_reserved(name):
        return f"loadbell or HTTP itself sets the header {name}. Remove it."
    return None


def _wrong_value(name: str, value: str) -> str | None:
    if len(value) > MAX_HEADER_VALUE_LENGTH:
        return f"The value of {name} is longer than {MAX_HEADER_VALUE_LENGTH:,} characters. Shorten it."
    if not _VISIBLE.fullmatch(value):
        return f"The value of {name} contains a line break or a non-ASCII character. Use plain ASCII."
    if value != value.strip():
        return f"The value of {name} starts or ends with a space. Remove it."
    return None
