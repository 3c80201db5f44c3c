"""
When a run began and ended, by our clock, from what its source says of it.

A source's clock may be wrong, so spans count more than instants: how long ago the run began when the report was sent,
and how long it took. A run has one duration, from its start to its end, and it is the one that its source measured.
"""

from loadbell.domain.errors import FieldError, Invalid
from loadbell.domain.ids import SECOND, Micros

SKEW: Micros = 60 * SECOND
"""How far a source's clock may be ahead of ours."""

LONGEST: Micros = 31 * 86_400 * SECOND
"""How long a run may take, and how long ago it may have begun when it is first told of."""


def start_of(told: Micros, *, sent_at: Micros | None, now: Micros) -> Micros:
    """When a run began that began at ``told`` by its source's clock.

    ``sent_at`` is the time of the report by that same clock, if it was said: then only the span between them counts.

    Raises:
        Invalid: that is ahead of us, or too long ago.
    """
    age = (now if sent_at is None else sent_at) - told
    if age < -SKEW:
        raise Invalid(FieldError("started_at", "lies in the future; send the moment at which the load began"))
    if age > LONGEST:
        raise Invalid(FieldError("started_at", f"lies more than {LONGEST // (86_400 * SECOND)} days in the past"))
    return now - max(age, 0)


def check_end(started_at: Micros | None, duration: Micros | None, now: Micros) -> None:
    """Does nothing if a run that is told of afterwards can have ended by now.

    Raises:
        Invalid: it began too late for its duration.
    """
    if started_at is not None and duration is not None and started_at + duration > now + SKEW:
        raise Invalid(FieldError("duration_s", "would end the run in the future; check it and started_at"))


def end_of(started_at: Micros | None, duration: Micros | None, now: Micros) -> tuple[Micros | None, Micros]:
    """When a run began and ended whose end is reported ``now``.

    Without a duration it has ended now. With one, what is told late ended before now, and what was heard of late began
    before it was heard of.
    """
    if duration is None:
        return started_at, now
    ended_at = now if started_at is None else min(now, started_at + duration)
    return ended_at - duration, ended_at
