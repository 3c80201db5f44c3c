"""
One attempt, from a leased delivery to its outcome: channel.render → (sender) → channel.judge. No I/O but logging.

It also builds the logged exchange and masks its secrets.
"""

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from loadbell.channels import channel_type
from loadbell.channels.contract import MASK, Envelope, masked_url
from loadbell.channels.settings import stored_settings
from loadbell.domain.deliveries import Attempt, Exchange, Outcome, Reason, after_attempt
from loadbell.domain.ids import Micros
from loadbell.domain.notices import Notice, decode_notice, minimal_notice
from loadbell.domain.retry import RetrySchedule
from loadbell.outbound.messages import Message, NoReply, Reply
from loadbell.store.outbox import Completion, Leased

log = structlog.get_logger()

MAX_EXCERPT_SIZE = 4096
"""How much of a response's body the log keeps."""

_MIN_SECRET_LENGTH = 6  # characters; masking shorter ones would garble the log and hide nothing
_TOOK_THE_LAST = "The receiver accepted a message but asked loadbell to wait before the next one."
_QUOTED = re.compile('"[^"]*"')
_RECEIVERS_SECRETS = ("cookie", "cookie2", "authorization", "authentication-info", "token", "secret", "api-key")
"""Ends of the names of response headers that carry the receiver's credentials; never logged."""

_RETRIED = frozenset({Reason.TIMEOUT, Reason.CONNECT, Reason.DNS, Reason.TLS, Reason.PROTOCOL, Reason.INTERNAL})


@dataclass(frozen=True)
class Prepared:
    """An attempt about to be made. Without a message nothing is sent, and ``refusal`` says why."""

    leased: Leased
    started_at: Micros
    message: Message | None
    refusal: NoReply | None = None


def build_request(leased: Leased, now: Micros, base_url: str) -> Prepared:
    """Builds the request of a leased delivery; links to loadbell's pages begin with ``base_url``."""
    envelope = Envelope(leased.id, leased.event, leased.number, now, leased.payload, leased.secrets)
    try:
        settings = stored_settings(leased.kind, leased.settings)
        return Prepared(leased, now, channel_type(leased.kind).render(settings, _notice(leased, base_url), envelope))
    except (AttributeError, KeyError, TypeError, ValueError):
        log.exception("A channel couldn't render its message", kind=leased.kind, delivery=str(leased.id))
        refusal = NoReply(Reason.BAD_SETTINGS, "The channel's settings can't be used. Save them again.", 0)
        return Prepared(leased, now, None, refusal)


def _notice(leased: Leased, base_url: str) -> Notice:
    if leased.notice is None:
        return minimal_notice(leased.event, leased.occurred_at)
    notice = decode_notice(leased.notice)
    links = [replace(link, url=base_url + link.url) if link.url.startswith("/") else link for link in notice.links]
    return replace(notice, links=tuple(links))


def judge_result(
    prepared: Prepared, result: Reply | NoReply, *, schedule: RetrySchedule, now: Micros, chance: float
) -> Completion:
    """Returns the outcome and what follows for the delivery; ``chance`` in [0, 1) decides the jitter."""
    leased = prepared.leased
    if isinstance(result, Reply):
        outcome = _judge(leased, result, now)
    else:
        outcome = Outcome(result.reason, result.message, retry=result.reason in _RETRIED)
    verdict = after_attempt(
        outcome,
        cause=leased.cause,
        final=leased.final,
        retry_index=leased.retry_index,
        resume_at=leased.resume_at,
        is_replay=leased.is_replay,
        rate_limits=leased.rate_limits,
        number=leased.number,
        schedule=schedule,
        now=now,
        chance=chance,
    )
    attempt = Attempt(
        number=leased.number,
        cause=leased.cause,
        started_at=prepared.started_at,
        duration=result.duration,
        reason=outcome.reason,
        message=outcome.message if prepared.message is None else _masked_sentence(outcome.message, prepared.message),
        exchange=None if prepared.message is None else _logged_exchange(prepared.message, result),
    )
    return Completion(
        leased=leased,
        attempt=attempt,
        verdict=verdict,
        answered=isinstance(result, Reply) and outcome.reason is not Reason.RATE_LIMITED,
        finished_at=None if verdict.final is leased.final else now,
        rate_limit=channel_type(leased.kind).rate_limit,
        pauses=outcome.pauses,
        throttle_reason=_TOOK_THE_LAST if outcome.ok else attempt.message,
    )


def _judge(leased: Leased, reply: Reply, now: Micros) -> Outcome:
    try:
        return channel_type(leased.kind).judge(reply, now)
    except Exception:
        # One response that a channel can't judge must not stop all other deliveries.
        log.exception("A channel couldn't judge a response", kind=leased.kind, status_code=reply.status)
        return Outcome(Reason.INTERNAL, f"loadbell couldn't interpret the response {reply.status}.", retry=True)


def _masked_sentence(sentence: str, message: Message) -> str:
    """Masks our secrets in the sentence's quotes. The rest stays: it may share words with a path."""
    if '"' not in sentence:
        return sentence
    secrets = _secrets(message)
    return _QUOTED.sub(lambda quoted: _mask(quoted[0], secrets), sentence)


def _logged_exchange(message: Message, result: Reply | NoReply) -> Exchange | None:
    try:
        return _exchange(message, result)
    except ValueError:
        # A URL that can't be parsed can't be masked; the attempt still counts.
        log.exception("An exchange couldn't be saved to the log")
        return None


def _exchange(message: Message, result: Reply | NoReply) -> Exchange:
    secrets = _secrets(message)
    sent: dict[str, Any] = {
        "method": message.method,
        "url": masked_url(message.url),
        "request_headers": tuple(
            (name, MASK if name.lower() in message.secret_headers else value) for name, value in message.headers
        ),
        "request_body": _text(message.body, ()),
    }
    if isinstance(result, NoReply):
        return Exchange(**sent)
    return Exchange(
        **sent,
        status_code=result.status,
        response_headers=tuple(
            (_mask(name, secrets), MASK if name.lower().endswith(_RECEIVERS_SECRETS) else _mask(value, secrets))
            for name, value in result.headers
        ),
        response_body=_text(result.body[:MAX_EXCERPT_SIZE], secrets),
        truncated=result.truncated or len(result.body) > MAX_EXCERPT_SIZE,
    )


def _secrets(message: Message) -> tuple[str, ...]:
    """The secrets to mask in the log, longest first: the URL's path and query, secret header values."""
    parts = urlsplit(message.url)
    items = {parts.path, parts.query, f"{parts.path}?{parts.query}", *message.secrets}
    items.update(parts.path.split("/"))
    items.update(value for _, value in parse_qsl(parts.query))
    items.update(value for name, value in message.headers if name.lower() in message.secret_headers)
    items.update(value.partition(" ")[2] for value in list(items))
    items.update(unquote(value) for value in list(items))
    return tuple(sorted((item for item in items if len(item) >= _MIN_SECRET_LENGTH), key=len, reverse=True))


def _text(body: bytes, secrets: tuple[str, ...]) -> str:
    return _mask(body.decode("utf-8", "replace"), secrets)


def _mask(text: str, secrets: tuple[str, ...]) -> str:
    """``text`` without secrets, and without U+0000, which PostgreSQL can't store."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text.replace("\x00", "\ufffd")
