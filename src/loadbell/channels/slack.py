"""
Slack: an incoming webhook, of Slack itself or of a server that takes Slack's messages, such as Mattermost.

Sources: docs.slack.dev, pages "Sending messages using incoming webhooks" (success, error codes), "Block Kit" (limits
of each block), "Formatting message text" (escapes, ``verbatim``) and "Rate limits". The limit on a whole message is
not documented: about 13,200 characters were measured (slackapi/bolt-js#2509), which our own limits stay below.

Slack shows the blocks and takes ``text`` for its notifications. Mattermost shows ``text`` alone
(mattermost/mattermost#14973), so it tells the whole story.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from loadbell.channels.contract import ChannelType, Envelope, legacy_headers, setting
from loadbell.channels.products import wrong_product
from loadbell.channels.replies import OUR_FAULT, describe_reply, judge_temporary
from loadbell.channels.wording import is_web_url, length, readable, truncate, verdicts
from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Outcome, Reason
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.notices import Fact, Notice, Tone, format_instant
from loadbell.domain.retry import parse_retry_after
from loadbell.domain.runs import Link
from loadbell.domain.token_bucket import TokenBucket
from loadbell.outbound.messages import Message, Reply

MAX_HEADER_LENGTH = 150  # Slack's own limit
MAX_BUTTON_LENGTH = 75  # Slack's own limit; further links are named as briefly
MAX_URL_LENGTH = 3_000  # Slack's own limit for a button
MAX_FIELDS = 10  # Slack's own limit for a section

# Ours, so that the whole stays below what Slack takes. A section may have 3,000, a field 2,000, a text 4,000.
MAX_STORY_LENGTH = 1_500
MAX_VALUE_LENGTH = 100
MAX_LINKS_LENGTH = 1_000
MAX_TITLE_LENGTH = 300
MAX_TEXT_LENGTH = 2_000
MAX_THRESHOLDS = 10

_SYMBOLS = {Tone.NEWS: "🔔", Tone.GOOD: "✅", Tone.WARNING: "⚠️", Tone.BAD: "❌"}
_SLACK = re.compile(r"(?:.+\.)?slack(?:-gov)?\.com")
_WORKFLOW_PATHS = ("/workflows/", "/triggers/")

_NEW_ONE = "Create a new incoming webhook and paste its URL into the channel's settings."
_MEANINGS = {
    "action_prohibited": "an administrator forbids it. Ask one to allow incoming webhooks.",
    "channel_is_archived": "the Slack channel is archived. Unarchive it, or create a webhook for another channel.",
    "channel_not_found": f"the Slack channel doesn't exist. {_NEW_ONE}",
    "invalid_attachments": f"it can't read the message. {OUR_FAULT}",
    "invalid_blocks": f"it can't read the message. {OUR_FAULT}",
    "invalid_blocks_format": f"it can't read the message. {OUR_FAULT}",
    "invalid_payload": f"it can't read the message. {OUR_FAULT}",
    "invalid_token": f"the URL's token isn't valid. {_NEW_ONE}",
    "missing_text_or_fallback_or_attachments": f"the message has no text. {OUR_FAULT}",
    "msg_blocks_too_long": f"the message is too long. {OUR_FAULT}",
    "msg_too_long": f"the message is too long. {OUR_FAULT}",
    "no_active_hooks": f"the webhook is disabled. {_NEW_ONE}",
    "no_service": f"the webhook was removed, disabled or never existed. {_NEW_ONE}",
    "no_service_id": f"the URL is incomplete. {_NEW_ONE}",
    "no_team": f"the workspace doesn't exist. {_NEW_ONE}",
    "no_text": f"the message has no text. {OUR_FAULT}",
    "posting_to_general_channel_denied": "an administrator forbids it. Create a webhook for another channel.",
    "rate_limited": "messages arrived too fast. loadbell waits and retries automatically.",
    "rollup_error": "Slack failed. loadbell retries automatically.",
    "team_disabled": "the workspace is disabled. Ask its owner to enable it.",
    "too_many_attachments": f"the message is too long. {OUR_FAULT}",
    "user_not_found": "the webhook's user doesn't exist. Check the webhook in Slack.",
}
"""The Slack error codes that we explain. Others aren't shown: they might be a secret that the server echoes."""

_PAYLOAD_CODES = frozenset(code for code, meaning in _MEANINGS.items() if OUR_FAULT in meaning)
_PERMANENT = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


def check_url(url: str) -> str | None:
    """The error for a URL of another product or of a Slack page; None if there is none."""
    return wrong_product(ChannelKind("slack"), url)


@dataclass(frozen=True)
class SlackSettings:
    """Which incoming webhook to write to."""

    url: str = setting(
        "URL",
        "Incoming webhook URL from Slack or a service that accepts Slack messages, such as Mattermost, Rocket.Chat or "
        "Discord (with /slack at the end). Workflow webhooks receive a single variable, named text.",
        secret=True,
        check=check_url,
    )


class Slack(ChannelType[SlackSettings]):
    """Sends a message of blocks, with the same content as text."""

    kind: ClassVar[ChannelKind] = ChannelKind("slack")
    title: ClassVar[str] = "Slack"
    icon: ClassVar[str] = '<path d="M6.3 2.5 5 13.5M11 2.5 9.7 13.5M3 6h10.5M2.5 10H13"/>'
    section: ClassVar[int] = 1
    steps: ClassVar[tuple[str, ...]] = (
        "In Slack, add the Incoming WebHooks app to the channel that should get notifications.",
        "Copy the webhook URL, which starts with https://hooks.slack.com/services/, and paste it into the URL field.",
        "Press Test Hook to send a test message, then Save.",
    )
    # One message a second, "short bursts" allowed, of unspecified size.
    rate_limit: ClassVar[TokenBucket | None] = TokenBucket(SECOND, burst=4)

    @property
    def settings_type(self) -> type[SlackSettings]:
        """The URL."""
        return SlackSettings

    def render(self, settings: SlackSettings, notice: Notice, envelope: Envelope) -> Message:
        """The POST with the message. Text over a limit is cut, visibly."""
        title = _title(notice, envelope.now)
        content: dict[str, Any] = {"text": _text(title, notice)}
        if not _is_workflow(settings.url):
            content["blocks"] = _blocks(title, notice)
        headers = (*legacy_headers(envelope), ("Content-Type", "application/json"))
        return Message("POST", settings.url, headers, msgspec.json.encode(content))

    def judge(self, reply: Reply, now: Micros) -> Outcome:
        """Success is 200 with the body ``ok``, or with JSON whose ``ok`` or ``success`` is true.

        The latter is the response of Slack's workflows (``ok``) and Rocket.Chat (``success``). 403, 404, 410 and 400
        ``invalid_token`` pause the channel. A code that blames the message is our bug and pauses nothing. Anything else
        is retried.
        """
        answer = _json(reply.body)
        code = _code(reply.body, answer)
        if reply.status < HTTPStatus.MULTIPLE_CHOICES:
            if reply.status == HTTPStatus.OK and (
                reply.body.strip() == b"ok" or answer.get("ok") is True or answer.get("success") is True
            ):
                return Outcome(Reason.OK, f"{describe_reply(reply)}.")
            advice = "Check that the URL is an incoming webhook's."
            return Outcome(Reason.REJECTED, _describe_error(reply, code, f" without Slack's ok. {advice}"), retry=True)
        if reply.status in _PERMANENT or (reply.status == HTTPStatus.BAD_REQUEST and code == "invalid_token"):
            reason = Reason.GONE if reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} else Reason.HTTP_4XX
            return Outcome(reason, _describe_error(reply, code, f": it accepts no messages. {_NEW_ONE}"), pauses=True)
        if reply.status == HTTPStatus.BAD_REQUEST and code in _PAYLOAD_CODES:
            return Outcome(Reason.BAD_PAYLOAD, _describe_error(reply, code))
        outcome = judge_temporary(reply, now)
        if outcome.reason is Reason.RATE_LIMITED and outcome.retry_after is None:
            outcome = replace(outcome, retry_after=parse_retry_after(str(answer.get("retry_after")), now))
        return outcome if code is None else replace(outcome, message=_describe_error(reply, code))


CHANNEL = Slack()


def _is_workflow(url: str) -> bool:
    """Whether this is a Workflow Builder's webhook: it takes named texts only and refuses blocks."""
    parts = urlsplit(url)
    return _is_slacks(parts.hostname) and parts.path.startswith(_WORKFLOW_PATHS)


def _is_slacks(host: str | None) -> bool:
    return _SLACK.fullmatch((host or "").rstrip(".")) is not None


def _title(notice: Notice, now: Micros) -> str:
    late = notice.late_by(now)
    text = f"{_SYMBOLS[notice.tone]} {notice.headline}" + (f" ({late})" if late else "")
    subject = readable(notice.subject)
    return f"{text}: {subject}" if subject else text


def _blocks(title: str, notice: Notice) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain_text(truncate(title, MAX_HEADER_LENGTH, _escape))}
    ]
    if story := _story(notice):
        blocks.append({"type": "section", "text": _plain_text(truncate("\n".join(story), MAX_STORY_LENGTH, _escape))})
    blocks += [
        {"type": "section", "fields": [_markdown(text) for text in _fields(facts)]}
        for facts in (notice.facts, notice.metrics)
        if facts
    ]
    links = _usable_links(notice.links)
    if links:
        name = truncate(readable(links[0].title) or links[0].url, MAX_BUTTON_LENGTH, _escape)
        button = {"type": "button", "text": _plain_text(name), "url": links[0].url}
        blocks.append({"type": "actions", "elements": [button]})
    if further := _format_links(links[1:]):
        blocks.append({"type": "section", "text": _markdown(further)})
    blocks.append({"type": "context", "elements": [_plain_text(format_instant(notice.occurred_at))]})
    return blocks


def _text(title: str, notice: Notice) -> str:
    """The story in one text, for notifications and for servers that know no blocks."""
    details = [
        f"{readable(fact.label)}: {truncate(readable(fact.value), MAX_VALUE_LENGTH)}"
        for fact in (*notice.facts, *notice.metrics)
    ]
    text = "\n".join([truncate(title, MAX_TITLE_LENGTH), *_story(notice), " · ".join(details)]).rstrip("\n")
    links = _format_links(_usable_links(notice.links))
    if not links:
        return truncate(text, MAX_TEXT_LENGTH, _neutralize)
    return truncate(text, MAX_TEXT_LENGTH - length(links) - 1, _neutralize) + "\n" + links


def _story(notice: Notice) -> list[str]:
    """Why it ended so: a line of words, then one for each threshold."""
    why = readable(notice.why or "")
    lines = [truncate(why, MAX_STORY_LENGTH // 2)] if why else []
    return lines + verdicts(notice.thresholds, MAX_THRESHOLDS, MAX_VALUE_LENGTH)


def _fields(facts: Sequence[Fact]) -> list[str]:
    shown = facts if len(facts) <= MAX_FIELDS else facts[: MAX_FIELDS - 1]
    texts = []
    for fact in shown:
        label, value = (truncate(readable(part), MAX_VALUE_LENGTH, _neutralize) for part in (fact.label, fact.value))
        texts.append(f"*{label}*\n{value}" if value else f"*{label}*")
    return texts if len(shown) == len(facts) else [*texts, f"… and {len(facts) - len(shown)} more"]


def _usable_links(links: Sequence[Link]) -> list[Link]:
    return [link for link in links if is_web_url(link.url) and length(link.url) <= MAX_URL_LENGTH]


def _format_links(links: Sequence[Link]) -> str:
    """Links in a row, as many as fit in ``MAX_LINKS_LENGTH``, and how many did not."""
    row = ""
    for index, link in enumerate(links):
        url = _escape(link.url.replace("<", "%3C").replace(">", "%3E").replace("|", "%7C"))
        name = truncate(readable(link.title) or link.url, MAX_BUTTON_LENGTH, _neutralize)
        longer = row + (" · " if row else "") + f"<{url}|{name}>"
        if length(longer) > MAX_LINKS_LENGTH:
            return f"{row} … and {len(links) - index} more".strip()
        row = longer
    return row


def _escape(text: str) -> str:
    """Text from outside without markup: Slack's three escapes, so that ``<!channel>`` is only read."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _neutralize(text: str) -> str:
    """As :func:`_escape`, for where marks are read.

    So that on Mattermost ``@all`` pings nobody, ``](`` makes no link or picture, ``#`` no heading, and ``` opens no
    code block.
    """
    broken = _escape(text).replace("```", "'''").replace("](", "]\u200b(")
    return re.sub(r"(?m)^(?=[#|])|(?<=(?<!\w)@)(?=\w)", "\u200b", broken)


def _plain_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": True}


def _markdown(text: str) -> dict[str, Any]:
    """Text with marks of ours; ``verbatim``: Slack looks for no names and addresses of its own in it."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _json(body: bytes) -> dict[str, Any]:
    """The JSON object that ``body`` is; empty if it is none."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _code(body: bytes, answer: dict[str, Any]) -> str | None:
    """The error code of an answer, alone or as JSON, if it is one that we know."""
    code = answer.get("error") or body.strip().decode("ascii", "replace")
    return code if isinstance(code, str) and code in _MEANINGS else None


def _describe_error(reply: Reply, code: str | None, otherwise: str = ".") -> str:
    return describe_reply(reply) + (otherwise if code is None else f" with {code}: {_MEANINGS[code]}")
