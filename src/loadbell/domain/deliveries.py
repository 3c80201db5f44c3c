"""
Deliveries and attempts: one event on its way to one channel, and each try to bring it there.

The log of a delivery moves from pending to one end, and from a failed or cancelled end to delivered when a Redeliver
succeeds; it never moves back. What there is still to do is work (``loadbell.store.outbox``): while there is some, the
delivery reads as pending or sending. Where an attempt takes both is decided here as a value (:class:`Outcome`, then
:func:`after_attempt`).
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
    """Where a delivery is, as people read it."""

    PENDING = "pending"  #: waits for its next attempt
    SENDING = "sending"  #: a worker holds its lease and makes an attempt
    DELIVERED = "delivered"  #: the receiver took it
    FAILED = "failed"  #: given up: refused for good, or the schedule is at its end
    CANCELLED = "cancelled"  #: called off by a person, or its channel was deleted


class FinalStatus(StrEnum):
    """How the log of a delivery can end."""

    DELIVERED = DeliveryStatus.DELIVERED.value
    FAILED = DeliveryStatus.FAILED.value
    CANCELLED = DeliveryStatus.CANCELLED.value


ENDED = frozenset(DeliveryStatus(status.value) for status in FinalStatus)
"""When there is nothing more to do."""

MOVES: dict[FinalStatus | None, frozenset[FinalStatus]] = {
    None: frozenset(FinalStatus),
    FinalStatus.DELIVERED: frozenset(),
    FinalStatus.FAILED: frozenset({FinalStatus.DELIVERED}),
    FinalStatus.CANCELLED: frozenset({FinalStatus.DELIVERED}),
}
"""Every legal move of the log; None: it has not ended yet. A Redeliver that fails moves nothing."""

MAX_UNREQUESTED_THROTTLE: Micros = 60 * SECOND
"""How long a rate-limited attempt holds up its channel at most, when the receiver did not say how long to wait."""

MAX_TRUSTED_RATE_LIMITS = 2
"""So many rate-limited answers in a row are believed how long to wait; from then on the schedule's steps count, too."""


class Cause(StrEnum):
    """Why an attempt was made."""

    SCHEDULED = "scheduled"  #: the first attempt, or its retry schedule
    MANUAL = "manual"  #: a person pressed Redeliver
    TEST = "test"  #: a person pressed Test Hook: one attempt, no retries


class Reason(StrEnum):
    """Why an attempt ended as it did; a closed set, used alike in logs, metrics, API and pages."""

    OK = "ok"  #: the receiver took it
    TIMEOUT = "timeout"  #: no complete answer within the deadline
    CONNECT = "connect"  #: the connection was refused, reset before it stood, or no route
    DNS = "dns"  #: the host's name has no address, or nobody could tell
    TLS = "tls"  #: the TLS handshake or the certificate failed
    PROTOCOL = "protocol"  #: the answer was malformed or cut off
    HTTP_3XX = "http_3xx"  #: a redirect; they are not followed
    HTTP_4XX = "http_4xx"  #: refused by the receiver
    HTTP_5XX = "http_5xx"  #: the receiver failed
    RATE_LIMITED = "rate_limited"  #: too many requests; the whole channel slows down
    GONE = "gone"  #: the receiver says for good that it wants no more
    REJECTED = "rejected"  #: a 2xx that is not the provider's success
    BLOCKED_ADDRESS = "blocked_address"  #: the address is not one that loadbell may connect to
    BAD_SETTINGS = "bad_settings"  #: the channel's settings can't be used
    BAD_PAYLOAD = "bad_payload"  #: the provider calls our message invalid
    EXPIRED = "expired"  #: held too long
    INTERNAL = "internal"  #: loadbell itself failed or was stopped in the middle


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to, as its channel judges the reply.

    ``retry``: worth another attempt on the schedule. ``retry_after``: the receiver's own wish, a span; beside success
    it holds up the channel's next message. ``pauses``: no message through this channel can succeed until somebody has
    seen to it. ``message``: one sentence for a person, without secrets; what it repeats of the answer stands in double
    quotes, where the channel's secrets are masked afterwards.
    """

    reason: Reason
    message: str
    retry: bool = False
    retry_after: Micros | None = None
    pauses: bool = False

    @property
    def ok(self) -> bool:
        """Whether the receiver took it."""
        return self.reason is Reason.OK


_QUOTE = re.compile(r':? ?"[^"]*"')


def without_quotes(message: str) -> str:
    """An outcome's message without quotes of the receiver's response, for users who may not see that."""
    return _QUOTE.sub("", message)


@dataclass(frozen=True)
class Exchange:
    """What was sent and what came back, as the log keeps it: secrets masked, bodies as text, cut to what is kept."""

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
    attempt_count: int  #: attempts that came to an end
    reason: Reason | None
    message: str | None
    next_attempt_at: Micros | None  #: not before; None: no time decides, a paused channel or an earlier delivery does
    created_at: Micros
    finished_at: Micros | None


@dataclass(frozen=True)
class Verdict:
    """Where an attempt takes its delivery. ``throttle_until``: the whole channel waits until then."""

    final: FinalStatus | None  #: how the log has ended; None: it has not
    retry_index: int
    due_at: Micros | None = None  #: when to try again; None: there is no more to do
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
    """Where the outcome of attempt ``number`` takes a delivery that has used up ``retry_index`` waits of its schedule.

    ``final``: the end that its log had come to before. ``chance`` in [0, 1) decides the jitter. A Test Hook is tried
    once. A manual attempt uses up no wait: a delivery that had ended keeps its end unless the attempt succeeds, one
    that had not goes on with its schedule at ``resume_at`` (None: no attempt of the schedule was made yet). One of a
    replay that is rate-limited keeps its turn and waits.
    A rate-limited attempt uses up no wait either. The whole channel waits with it, as long as the receiver asked, or
    else up to a minute; ``rate_limits``: how many the channel has had in a row before. From the third on, of the
    channel or of this delivery, the wait is no shorter than that of the schedule, whatever the receiver asks for.
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
