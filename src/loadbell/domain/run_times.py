"""
When a run began and ended, by our clock, from what its source says of it.

A source's clock may be wrong, so spans count more than instants: how long ago the run began when the report was sent,
and how long it took. A run has one duration, from its start to its end, and it is the one that its source measured.
"""

from dataclasses import replace

from loadbell.domain.errors import FieldError, Invalid
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.runs import Run, RunMove, RunStatus

MAX_CLOCK_SKEW: Micros = 60 * SECOND
"""How far a source's clock may be ahead of ours."""

MAX_DURATION: Micros = 31 * 86_400 * SECOND
"""How long a run may take, and how long ago it may have begun when it is first reported."""


def resolve_start(reported: Micros, *, sent_at: Micros | None, now: Micros) -> Micros:
    """When a run began that began at ``reported`` by its source's clock.

    ``sent_at`` is the time of the report by that same clock, if it was said: then only the span between them counts.

    Raises:
        Invalid: that is ahead of us, or too long ago.
    """
    age = (now if sent_at is None else sent_at) - reported
    if age < -MAX_CLOCK_SKEW:
        raise Invalid(FieldError("started_at", "lies in the future; send the moment at which the load began"))
    if age > MAX_DURATION:
        raise Invalid(FieldError("started_at", f"lies more than {MAX_DURATION // (86_400 * SECOND)} days in the past"))
    return now - max(age, 0)


def check_duration(status: RunStatus, duration: Micros | None) -> None:
    """Does nothing if a run in ``status`` may have a duration.

    Raises:
        Invalid: it has not ended.
    """
    if duration is not None and not status.is_final:
        raise Invalid(FieldError("duration_s", "a run has a duration only when it ends: send it with the final status"))


def resolve_times_of_new_run(
    status: RunStatus, started_at: Micros | None, sent_at: Micros | None, duration: Micros | None, now: Micros
) -> tuple[Micros | None, Micros | None]:
    """When a run began and ended that is first told of now, in ``status``; the rest is as its source says it.

    Raises:
        Invalid: that can't be, or does not fit the status.
    """
    check_duration(status, duration)
    if started_at is not None and not (status.is_final or status is RunStatus.RUNNING):
        raise Invalid(FieldError("started_at", f"a run that is {status.text} has not begun"))
    began = None if started_at is None else resolve_start(started_at, sent_at=sent_at, now=now)
    if not status.is_final:
        return (now if began is None and status is RunStatus.RUNNING else began), None
    if began is not None and duration is not None and began + duration > now + MAX_CLOCK_SKEW:
        raise Invalid(FieldError("duration_s", "would end the run in the future; check it and started_at"))
    return resolve_end(began, duration, now)


def resolve_times_of_move(move: RunMove, run: Run) -> RunMove:
    """The move of ``run`` at the time it happened, which may be before it was reported."""
    if move.status is RunStatus.RUNNING and run.started_at is not None:
        return replace(move, at=run.started_at)
    return replace(move, at=run.ended_at) if move.status.is_final and run.ended_at is not None else move


def resolve_end(started_at: Micros | None, duration: Micros | None, now: Micros) -> tuple[Micros | None, Micros]:
    """When a run began and ended whose end is reported ``now``.

    Without a duration it has ended now. With one, what is told late ended before now, and what was heard of late began
    before it was heard of.
    """
    if duration is None:
        return started_at, now
    ended_at = now if started_at is None else min(now, started_at + duration)
    return ended_at - duration, ended_at
