"""
Start and end of a run by our clock, from its source's report.

A source's clock may be wrong, so only spans are used where possible: how long ago the run began when the report was
sent, and how long it took. A run's duration, from its start to its end, is the one that its source measured.
"""

from dataclasses import replace

from loadbell.domain.errors import FieldError, Invalid
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.runs import Run, RunMove, RunStatus

MAX_CLOCK_SKEW: Micros = 60 * SECOND
"""How far a source's clock may be ahead of ours."""

MAX_DURATION: Micros = 31 * 86_400 * SECOND
"""The longest duration of a run, and the earliest start before its first report."""


def resolve_start(reported: Micros, *, sent_at: Micros | None, now: Micros) -> Micros:
    """Returns our time of a start that was ``reported`` by the source's clock.

    ``sent_at`` is the time of the report by that same clock, if known: then only the span between them counts.

    Raises:
        Invalid: the start is in the future, or too long ago.
    """
    age = (now if sent_at is None else sent_at) - reported
    if age < -MAX_CLOCK_SKEW:
        raise Invalid(FieldError("started_at", "lies in the future; send the moment at which the load began"))
    if age > MAX_DURATION:
        raise Invalid(FieldError("started_at", f"lies more than {MAX_DURATION // (86_400 * SECOND)} days in the past"))
    return now - max(age, 0)


def check_duration(status: RunStatus, duration: Micros | None) -> None:
    """Checks that a run in ``status`` may have a duration.

    Raises:
        Invalid: it has not ended.
    """
    if duration is not None and not status.is_final:
        raise Invalid(FieldError("duration_s", "a run has a duration only when it ends: send it with the final status"))


def resolve_times_of_new_run(
    status: RunStatus, started_at: Micros | None, sent_at: Micros | None, duration: Micros | None, now: Micros
) -> tuple[Micros | None, Micros | None]:
    """Returns start and end of a run that is first reported ``now``, in ``status``; the rest is the source's report.

    Raises:
        Invalid: the times are impossible, or don't fit the status.
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
    """Returns the move of ``run`` at the time it happened, which may be before its report."""
    if move.status is RunStatus.RUNNING and run.started_at is not None:
        return replace(move, at=run.started_at)
    return replace(move, at=run.ended_at) if move.status.is_final and run.ended_at is not None else move


def resolve_end(started_at: Micros | None, duration: Micros | None, now: Micros) -> tuple[Micros | None, Micros]:
    """Returns start and end of a run whose end is reported ``now``.

    Without a duration it ended now. With one, the duration counts: a late report ended before now, and a run that was
    first reported late began before that.
    """
    if duration is None:
        return started_at, now
    ended_at = now if started_at is None else min(now, started_at + duration)
    return ended_at - duration, ended_at
