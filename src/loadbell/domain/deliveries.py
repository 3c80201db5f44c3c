"""
Deliveries (one event for one channel) and their attempts.

The log of a delivery moves from pending to one final status, and from failed or cancelled to delivered when a
Redeliver succeeds; it never moves back. While there is work left (``loadbell.store.outbox``), the delivery reads as
pending or sending. :func:`after_attempt` decides where an :class:`Outcome` takes both.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from loadbell.domain.channels import ChannelKind
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.retry import RetrySchedule


class DeliveryStatus(StrEnum):
    """The status of a delivery, as people read it."""

    PENDING = "pending"  #: waits for its next attempt
    SENDING = "sending"  #: a worker holds its lease and makes an attempt
    DELIVERED = "delivered"  #: the receiver accepted it
    FAILED = "failed"  #: refused for good, or no retries are left
    CANCELLED = "cancelled"  #: by a person, or because its channel was deleted


class FinalStatus(StrEnum):
    """The final status in a delivery's log."""

    DELIVERED = DeliveryStatus.DELIVERED.value
    FAILED = DeliveryStatus.FAILED.value
    CANCELLED = DeliveryStatus.CANCELLED.value


ENDED = frozenset(DeliveryStatus(status.value) for status in FinalStatus)
"""The statuses with no work left."""

MOVES: dict[FinalStatus | None, frozenset[FinalStatus]] = {
    None: frozenset(FinalStatus),
    FinalStatus.DELIVERED: frozenset(),
    FinalStatus.FAILED: frozenset({FinalStatus.DELIVERED}),
    FinalStatus.CANCELLED: frozenset({FinalStatus.DELIVERED}),
}
"""Every legal move of the log; None: not ended yet. A failed Redeliver changes nothing."""

MAX_UNREQUESTED_THROTTLE: Micros = 60 * SECOND
"""The longest that a rate-limited attempt holds up its channel if the receiver sent no wait."""

MAX_TRUSTED_RATE_LIMITS = 2
"""After this many rate-limited responses in a row, the schedule's waits count in addition to the receiver's."""


class Cause(StrEnum):
    """Why an attempt was made."""

    SCHEDULED = "scheduled"  #: the first attempt, or its retry schedule
    MANUAL = "manual"  #: a person pressed Redeliver
    TEST = "test"  #: a person pressed Test Hook: one attempt, no retries


class Reason(StrEnum):
    """Why an attempt ended as it did; a closed set, used alike in logs, metrics, API and pages."""

    OK = "ok"  #: the receiver accepted it
    TIMEOUT = "timeout"  #: no complete response within the deadline
    CONNECT = "connect"  #: the connection was refused or reset while connecting, or there is no route
    DNS = "dns"  #: the host's name has no address, or the lookup failed
    TLS = "tls"  #: the TLS handshake or the certificate failed
    PROTOCOL = "protocol"  #: the response was malformed or cut off
    HTTP_3XX = "http_3xx"  #: a redirect; they are not followed
    HTTP_4XX = "http_4xx"  #: refused by the receiver
    HTTP_5XX = "http_5xx"  #: the receiver failed
    RATE_LIMITED = "rate_limited"  #: too many requests; the whole channel slows down
    GONE = "gone"  #: the receiver permanently wants no more
    REJECTED = "rejected"  #: a 2xx without the provider's sign of success
    BLOCKED_ADDRESS = "blocked_address"  #: loadbell may not connect to the address
    BAD_SETTINGS = "bad_settings"  #: the channel's settings can't be used
    BAD_PAYLOAD = "bad_payload"  #: the provider calls our message invalid
    EXPIRED = "expired"  #: held too long
    INTERNAL = "internal"  #: loadbell itself failed or was stopped in the middle


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attempt, as its channel judges the response.

    ``retry``: try again on the schedule. ``retry_after``: the span that the receiver asked for; with a success it
    delays the channel's next message. ``pauses``: no message through this channel can succeed until somebody fixes it.
    ``message``: one sentence for a person, without secrets; quotes of the response are in double quotes, where the
    channel's secrets are masked afterwards.
    """

    reason: Reason
    message: str
    retry: bool = False
    retry_after: Micros | None = None
    pauses: bool = False

    @property
    def ok(self) -> bool:
        """Whether the receiver accepted the message."""
        return self.reason is Reason.OK


_QUOTE = re.compile(r':? ?"[^"]*"')


def without_quotes(message: str) -> str:
    """Returns the message without quotes of the receiver's response, for users who may not see that."""
    return _QUOTE.sub("", message)


@dataclass(frozen=True)
class Exchange:
    """Request and response as logged: secrets masked, bodies as text, cut to the size that is kept."""

    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str
    status_code: int | None = None
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: str = ""
    truncated: bool = False


@dataclass(frozen=True)
class Attempt:
    """One attempt, as logged. ``duration`` is in microseconds."""

    number: int
    cause: Cause
    started_at: Micros
    duration: Micros
    reason: Reason
    message: str
    exchange: Exchange | None  #: None when nothing could be sent


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one channel."""

    id: UUID
    organization_id: int
    project_id: int | None
    channel_id: int | None  #: None for the Test Hook of an unsaved form
    kind: ChannelKind
    event_id: UUID
    event: EventName
    run_id: int | None
    status: DeliveryStatus
    attempt_count: int  #: attempts that have ended
    reason: Reason | None
    message: str | None
    next_attempt_at: Micros | None  #: earliest; None: it waits for a paused channel or an earlier delivery instead
    created_at: Micros
    finished_at: Micros | None


@dataclass(frozen=True)
class Verdict:
    """Where an attempt takes its delivery. ``throttle_until``: the whole channel waits until then."""

    final: FinalStatus | None  #: None: the log has not ended
    retry_index: int
    due_at: Micros | None = None  #: of the next attempt; None: no work is left
    throttle_until: Micros | None = None


def after_attempt(  # noqa: PLR0913 - each argument is one fact that decides, and all are plain values
    outcome: Outcome,
    *,
    cause: Cause,
    final: FinalStatus | None,
    retry_index: int,
    number: int,
    resume_at: Micros | None = None,
    is_replay: bool = False,
    rate_limits: int = 0,
    schedule: RetrySchedule,
    now: Micros,
    chance: float,
) -> Verdict:
    """Decides what follows attempt ``number`` of a delivery that has used ``retry_index`` waits of its schedule.

    ``final``: the log's final status before the attempt. ``chance`` in [0, 1) decides the jitter.

    - A Test Hook is tried once.
    - A manual attempt uses no wait: an ended delivery keeps its final status unless the attempt succeeds; any other
      continues its schedule at ``resume_at`` (None: no scheduled attempt was made yet).
    - A rate-limited attempt uses no wait. The whole channel waits as long as the receiver asked, or else up to a
      minute. From the third in a row on (``rate_limits``: the channel's number before this one), of the channel or of
      this delivery, the wait is at least the schedule's. A rate-limited attempt of a replay keeps its turn and waits.
    """
    if outcome.ok:
        return Verdict(
            FinalStatus.DELIVERED,
            retry_index,
            throttle_until=None if outcome.retry_after is None else now + outcome.retry_after,
        )
    limited = outcome.reason is Reason.RATE_LIMITED
    hint = outcome.retry_after
    throttle, asked = None, SECOND
    if limited:
        own, in_row = max(number - retry_index, 1), rate_limits + 1
        slow = schedule.wait_when_rate_limited(own, chance)
        asked = max(slow if hint is None or own > MAX_TRUSTED_RATE_LIMITS else hint, hint or 0, SECOND)
        held = max(min(slow, MAX_UNREQUESTED_THROTTLE) if hint is None else hint, SECOND)
        if in_row > MAX_TRUSTED_RATE_LIMITS:
            held = max(held, schedule.wait_when_rate_limited(in_row, chance))
        throttle, asked = now + held, max(asked, held)
    if final is not None and not (limited and is_replay):
        return Verdict(final, retry_index, throttle_until=throttle)
    if cause is Cause.TEST or not (outcome.retry or limited):
        return Verdict(FinalStatus.FAILED, retry_index)
    if throttle is not None:
        return Verdict(final, retry_index, due_at=now + asked, throttle_until=throttle)
    wait, used = schedule.wait(retry_index, chance), retry_index + 1
    if cause is Cause.MANUAL:
        used = retry_index
        wait = (schedule.wait(0, chance) or SECOND) if resume_at is None else max(resume_at - now, 0)
    if wait is None:
        return Verdict(FinalStatus.FAILED, retry_index)
    return Verdict(None, used, due_at=now + max(wait, hint or 0))
