"""
HipChat: a notification in a room, by API v2, of HipChat itself or of a server that takes HipChat's messages.

HipChat's own service has ended (the cloud on 2019-02-15, the self-hosted servers on 2020-06-30), so this is proven
against ``loadbell.testing.FakeHipChat``. Sources: the API v2 page "Send room notification", Atlassian's page "Sending
messages" (HTML tags, cards), and the schemas of cards that real servers put into their answers.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from loadbell.channels.contract import ChannelType, Envelope, legacy_headers, setting
from loadbell.channels.products import wrong_product
from loadbell.channels.replies import OUR_FAULT, describe_reply, judge_temporary
from loadbell.channels.wording import is_web_url, length, readable, truncate, verdicts
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Outcome, Reason
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.notices import Fact, Notice, Tone, format_instant
from loadbell.domain.runs import Link
from loadbell.domain.token_bucket import TokenBucket
from loadbell.outbound.messages import Message, Reply

SENDER = "loadbell"

MAX_MESSAGE_LENGTH = 10_000  # HipChat's own limits, as are the next four
MAX_TITLE_LENGTH = 500
MAX_DESCRIPTION_LENGTH = 1_000
MAX_LABEL_LENGTH = 50
MAX_ATTRIBUTES = 10

# Ours, in characters as they stand in the message, escapes included.
MAX_SUBJECT_LENGTH = 500
MAX_EXPLANATION_LENGTH = 2_000
MAX_VALUE_LENGTH = 200
MAX_URL_LENGTH = 2_000
MAX_THRESHOLDS = 10

MAX_RESET_DELAY: Micros = 3_600 * SECOND
"""HipChat's windows last a minute and five minutes. A reset further off than this is not believed."""

_COLORS = {Tone.NEWS: "gray", Tone.GOOD: "green", Tone.WARNING: "yellow", Tone.BAD: "red"}
_RATES = ("FloodControl", "Ratelimit")
_MAX_ERROR_LENGTH = 150
_MAYBE_SECRET = re.compile(r"[\w%+/=.-]{30,}")

_NEW_URL = "Copy the room's full URL again and paste it into the channel's settings."
_PERMANENT: dict[int, tuple[Reason, str]] = {
    HTTPStatus.UNAUTHORIZED: (Reason.HTTP_4XX, f"The token in the URL isn't valid. {_NEW_URL}"),
    HTTPStatus.FORBIDDEN: (Reason.HTTP_4XX, f"The token in the URL isn't allowed to post to this room. {_NEW_URL}"),
    HTTPStatus.NOT_FOUND: (Reason.GONE, f"This room doesn't exist. {_NEW_URL}"),
    HTTPStatus.GONE: (Reason.GONE, f"The room accepts no more messages. {_NEW_URL}"),
}


def check_url(url: str) -> str | None:
    """The error for a URL that would post nothing or is another product's; None if there is none."""
    if "auth_test" in parse_qs(urlsplit(url).query, keep_blank_values=True):
        return "With auth_test in the URL, HipChat checks the token but posts nothing. Remove auth_test."
    return wrong_product(ChannelKind("hipchat"), url)


@dataclass(frozen=True)
class HipChatSettings:
    """Which room to write to."""

    url: str = setting(
        "URL",
        "The room's full notification URL with its auth_token, from HipChat or a server that accepts its messages.",
        secret=True,
        check=check_url,
    )


class HipChat(ChannelType[HipChatSettings]):
    """Sends a room notification in HTML, with a card of the same content for clients that support cards."""

    kind: ClassVar[ChannelKind] = ChannelKind("hipchat")
    title: ClassVar[str] = "HipChat"
    icon: ClassVar[str] = '<path d="M3 3h10v7.5H8L4.5 13.5v-3H3z"/>'
    section: ClassVar[int] = 2
    steps: ClassVar[tuple[str, ...]] = (
        "In HipChat, open Integrations, select the room, and choose Build your own integration.",
        "Copy the full URL under “Send messages to this room by posting this URL” and paste it into the URL field.",
        "Press Test Hook to send a test message, then Save.",
    )
    # 30 messages a minute for a room. Five at once and 25 in the minute after them are 30, whenever the minute begins.
    rate_limit: ClassVar[TokenBucket | None] = TokenBucket(2_400_000, burst=5)

    @property
    def settings_type(self) -> type[HipChatSettings]:
        """The URL."""
        return HipChatSettings

    def render(self, settings: HipChatSettings, notice: Notice, envelope: Envelope) -> Message:
        """The POST with the notification. Text over a limit is cut, visibly."""
        late = notice.late_by(envelope.now)
        headline = f"{notice.headline} ({late})" if late else notice.headline
        links = _usable_links(notice.links)
        content: dict[str, Any] = {
            "message": _message(headline, notice, links),
            "message_format": "html",
            "color": _COLORS[notice.tone],
            "notify": notice.tone is Tone.BAD,
            "from": SENDER,
            "card": _card(str(envelope.delivery_id), headline, notice, links),
        }
        headers = (*legacy_headers(envelope), ("Content-Type", "application/json"))
        return Message("POST", settings.url, headers, msgspec.json.encode(content))

    def judge(self, reply: Reply, now: Micros) -> Outcome:
        """2xx is success; 204 is the documented one. 401, 403, 404 and 410 pause the channel.

        400 is our bug and pauses nothing; anything else is retried. When HipChat reports a used-up rate limit, the
        channel's next message waits for its reset.
        """
        text = describe_reply(reply) + _describe_error(reply.body)
        if reply.status < HTTPStatus.MULTIPLE_CHOICES:
            return Outcome(
                Reason.OK,
                f"{describe_reply(reply)}.",
                retry_after=_seconds_to_reset(reply, now, _is_quota_spent(reply)),
            )
        if reply.status in _PERMANENT:
            reason, advice = _PERMANENT[reply.status]
            return Outcome(reason, f"{text}. {advice}", pauses=True)
        if reply.status == HTTPStatus.BAD_REQUEST:
            return Outcome(Reason.BAD_PAYLOAD, f"{text}. {OUR_FAULT}")
        outcome = judge_temporary(reply, now)
        if outcome.reason is Reason.RATE_LIMITED and outcome.retry_after is None:
            outcome = replace(outcome, retry_after=_seconds_to_reset(reply, now, _is_quota_spent(reply) or _RATES))
        return outcome if outcome.reason is Reason.HTTP_3XX else replace(outcome, message=f"{text}.")


CHANNEL = HipChat()


def _message(headline: str, notice: Notice, links: Sequence[Link]) -> str:
    """The notification in HTML. Lines that have no room are counted at its end."""
    lines = list(_lines(headline, notice, links))
    room = MAX_MESSAGE_LENGTH - length(_more(len(lines)))
    text = lines[0]
    for number, line in enumerate(lines[1:], 1):
        longer = f"{text}<br>{line}"
        if length(longer) > room:
            return text + _more(len(lines) - number)
        text = longer
    return text


def _more(count: int) -> str:
    return f"<br>… and {count} more lines"


def _lines(headline: str, notice: Notice, links: Sequence[Link]) -> Iterator[str]:
    """The story, a line each: every line is whole HTML."""
    text = f"<strong>{_html(headline, MAX_VALUE_LENGTH)}</strong>"
    subject = _html(notice.subject, MAX_SUBJECT_LENGTH)
    if links:
        text = f"{text}: {_anchor(links[0], subject or _html(links[0].title, MAX_VALUE_LENGTH))}"
    elif subject:
        text = f"{text}: {subject}"
    yield text
    if notice.why:
        yield _html(notice.why, MAX_EXPLANATION_LENGTH)
    for verdict in verdicts(notice.thresholds, MAX_THRESHOLDS, MAX_VALUE_LENGTH):
        yield html.escape(verdict)
    for fact in (*notice.facts, *notice.metrics):
        yield f"{_html(fact.label, MAX_VALUE_LENGTH)}: {_html(fact.value, MAX_VALUE_LENGTH)}"
    for link in links[1:]:
        yield _anchor(link, _html(link.title, MAX_VALUE_LENGTH))
    yield format_instant(notice.occurred_at)


def _card(card_id: str, headline: str, notice: Notice, links: Sequence[Link]) -> dict[str, Any]:
    """The card, which clients that support cards show instead of the message, so it contains as much as fits.

    Its title and attributes are plain text, which clients escape; its description is HTML.
    """
    title = f"{headline}: {readable(notice.subject)}" if notice.subject else headline
    card: dict[str, Any] = {
        "style": "application",
        "id": card_id,
        "format": "medium",
        "title": truncate(title, MAX_TITLE_LENGTH),
    }
    story = [notice.why or "", "; ".join(verdicts(notice.thresholds, MAX_THRESHOLDS, MAX_VALUE_LENGTH))]
    if description := _html(" ".join(story), MAX_DESCRIPTION_LENGTH):
        card["description"] = {"value": description, "format": "html"}
    if attributes := _attributes((*notice.facts, *notice.metrics)):
        card["attributes"] = attributes
    if links:
        card["url"] = links[0].url
    return card


def _attributes(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    shown = facts if len(facts) <= MAX_ATTRIBUTES else facts[: MAX_ATTRIBUTES - 1]
    attributes = [_attribute(fact.label, fact.value) for fact in shown]
    if len(shown) < len(facts):
        attributes.append(_attribute("…", f"and {len(facts) - len(shown)} more"))
    return attributes


def _attribute(label: str, value: str) -> dict[str, Any]:
    """A label and a value; HipChat wants at least one character of each."""
    texts = (truncate(readable(label), MAX_LABEL_LENGTH), truncate(readable(value), MAX_VALUE_LENGTH))
    label, value = (text or "–" for text in texts)  # noqa: RUF001 - a dash stands for nothing
    return {"label": label, "value": {"label": value}}


def _html(text: str, room: int) -> str:
    return truncate(readable(text), room, html.escape)


def _anchor(link: Link, inside: str) -> str:
    return f'<a href="{html.escape(link.url)}">{inside or html.escape(link.url)}</a>'


def _usable_links(links: Sequence[Link]) -> list[Link]:
    return [link for link in links if is_web_url(link.url) and length(html.escape(link.url)) <= MAX_URL_LENGTH]


def _describe_error(body: bytes) -> str:
    """HipChat's error text as the end of a sentence, without what might be an echoed secret."""
    try:
        told = msgspec.json.decode(body)["error"]["message"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, IndexError):
        return ""
    text = readable(told).replace('"', "'") if isinstance(told, str) else ""
    return f': "{truncate(_MAYBE_SECRET.sub("…", text), _MAX_ERROR_LENGTH)}"' if text else ""


def _is_quota_spent(reply: Reply) -> tuple[str, ...]:
    """The rate limits that are used up."""
    return tuple(name for name in _RATES if (reply.header(f"X-{name}-Remaining") or "").strip() == "0")


def _seconds_to_reset(reply: Reply, now: Micros, rates: Sequence[str]) -> Micros | None:
    """The time until all ``rates`` have reset, by HipChat's clock; None if not given or past."""
    items = [(reply.header(f"X-{name}-Reset") or "").strip() for name in rates]
    waits = [int(reset) * SECOND - now for reset in items if re.fullmatch(r"[0-9]{1,12}", reset)]
    return max((wait for wait in waits if 0 < wait <= MAX_RESET_DELAY), default=None)
