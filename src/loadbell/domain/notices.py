"""
Notices: the content of a message about an event, before a channel formats it.

A notice is created in the transaction of the report and stored with the payload, so a delayed or repeated message
states what was true then. Unknown values are left out, never guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND, Micros, to_datetime
from loadbell.domain.metrics import compare_metrics, format_metric, format_milliseconds, format_number, metric_label
from loadbell.domain.runs import EndedBy, Link, Result, Run, RunStatus, Threshold

LATE_AFTER: Micros = 60 * SECOND
"""A message sent later than this after its event says how late it is."""

MAX_METRICS = 10
"""How many metrics a notice carries: the first ones reported."""


class Tone(StrEnum):
    """How good or bad the news is; channels choose color and symbol by it."""

    NEWS = "news"  #: neither good nor bad
    GOOD = "good"  #: proven: passed
    WARNING = "warning"  #: ended early, or without its own report
    BAD = "bad"  #: failed


@dataclass(frozen=True)
class Fact:
    """A label and its value, as text for people."""

    label: str
    value: str


@dataclass(frozen=True)
class Notice:
    """The message about one event. Texts except labels and headline come from outside and may contain anything.

    A URL that begins with ``/`` is a page of this server; it is completed when the message is sent.
    """

    headline: str  #: what happened: "Load test failed"
    subject: str  #: the test's name
    tone: Tone
    occurred_at: Micros
    why: str | None = None  #: why it ended, in a sentence or two
    facts: tuple[Fact, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    metrics: tuple[Fact, ...] = ()
    links: tuple[Link, ...] = ()  #: the first one opens the run

    def late_by(self, now: Micros) -> str | None:
        """How late a message sent ``now`` is ("delayed 2 h"); None if it is in time."""
        return None if now - self.occurred_at <= LATE_AFTER else f"delayed {format_span(now - self.occurred_at)}"


def encode_notice(notice: Notice) -> str:
    """Returns the notice as JSON for the database."""
    return msgspec.json.encode(notice).decode()


def decode_notice(stored: str) -> Notice:
    """Reverses :func:`encode_notice`."""
    return msgspec.json.decode(stored, type=Notice)


def run_notice(  # noqa: PLR0913 - the event, its user and the run to compare with
    run: Run, name: EventName, *, project: str, who: str, now: Micros, earlier: Run | None = None
) -> Notice:
    """Returns the notice for event ``name`` of ``run``.

    ``who`` is the user who reported it, ``earlier`` a run of the same test to compare with.
    """
    headline, tone = ("Load test started", Tone.NEWS) if name is EventName.STARTED else _end(run)
    facts = [Fact("Project", project), Fact("Reported by", f"{who} ({run.tool or run.source.label})")]
    if run.trigger.value != "unknown":
        facts.append(Fact("Trigger", "CI" if run.trigger.value == "ci" else run.trigger.value))
    if run.started_at is not None:
        facts.append(Fact("Started", format_instant(run.started_at)))
    if name is EventName.FINISHED:
        if run.ended_at is not None:
            facts.append(Fact("Ended", format_instant(run.ended_at)))
        if run.started_at is not None and run.ended_at is not None:
            facts.append(Fact("Duration", format_span(run.ended_at - run.started_at)))
        facts.append(Fact("Status", run.status.text))
        if run.result is not None:
            facts.append(Fact("Result", run.result.value))
    return Notice(
        headline=headline,
        subject=run.name if any(char.isprintable() and not char.isspace() for char in run.name) else "(no name)",
        tone=tone,
        occurred_at=now,
        why=_why(run) if name is EventName.FINISHED else None,
        facts=tuple(facts),
        thresholds=run.thresholds,
        metrics=_metrics(run, earlier),
        links=(Link("Open run", f"/runs/{run.id}"), *run.links),
    )


def describe_threshold(threshold: Threshold) -> str | None:
    """The threshold's value with its unit; None if unknown."""
    if threshold.value is None:
        return None
    return format_milliseconds(threshold.value) if threshold.unit == "ms" else format_number(threshold.value)


def test_hook_notice(*, organization: str, who: str, now: Micros) -> Notice:
    """Returns the notice of a Test Hook."""
    return Notice(
        headline="Test Hook",
        subject="This channel works",
        tone=Tone.NEWS,
        occurred_at=now,
        why="loadbell will post here when a load test starts or ends.",
        facts=(Fact("Organization", organization), Fact("Sent by", who)),
    )


def pause_notice(*, channel_id: int, channel: str, title: str, reason: str, now: Micros) -> Notice:
    """Returns the notice for the other channels that ``channel`` (of the kind ``title``) was paused."""
    return Notice(
        headline="Channel paused",
        subject=channel,
        tone=Tone.BAD,
        occurred_at=now,
        why=f"{reason} Notifications are queued. Resume the channel to send them.",
        facts=(Fact("Kind", title),),
        links=(Link("Open channel", f"/channels/{channel_id}"),),
    )


def minimal_notice(name: EventName, now: Micros) -> Notice:
    """The notice for an event stored by a version without notices."""
    return Notice(headline=name.value, subject="", tone=Tone.NEWS, occurred_at=now)


def format_instant(instant: Micros) -> str:
    """``instant`` as text: "2026-11-23 18:04:05 UTC"."""
    return to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_span(length: Micros) -> str:
    """``length`` in its two largest units: "850 ms", "12 s", "3 min 20 s", "2 h", "1 d 4 h"."""
    if length < SECOND:
        return f"{max(length, 0) // 1000} ms"
    seconds = length // SECOND
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    at = next(index for index, (_, size) in enumerate(units) if seconds >= size)
    parts = []
    for unit, size in units[at : at + 2]:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


_ENDS: dict[RunStatus, tuple[str, Tone]] = {
    RunStatus.FINISHED: ("Load test finished", Tone.NEWS),
    RunStatus.TIMED_OUT: ("Load test timed out", Tone.WARNING),
    RunStatus.ABORTED_BY_USER: ("Load test aborted by user", Tone.WARNING),
    RunStatus.ABORTED_BY_SYSTEM: ("Load test aborted by system", Tone.BAD),
    RunStatus.ABORTED_BY_SCRIPT_ERROR: ("Load test aborted by script error", Tone.BAD),
    RunStatus.ABORTED_BY_THRESHOLD: ("Load test aborted by threshold", Tone.BAD),
    RunStatus.FAILED_THRESHOLD: ("Load test failed a threshold", Tone.BAD),
}


def _end(run: Run) -> tuple[str, Tone]:
    if run.status is RunStatus.FINISHED and run.result is Result.PASSED:
        return "Load test passed", Tone.GOOD
    if run.status is RunStatus.FINISHED and run.result is Result.FAILED:
        return "Load test failed", Tone.BAD
    return _ENDS.get(run.status, (f"Load test: {run.status.text}", Tone.NEWS))


def _why(run: Run) -> str | None:
    reasons = []
    if run.corrected:
        reasons.append("This corrects an earlier message, sent after reports had stopped.")
    elif run.ended_by is EndedBy.WATCHDOG and run.watchdog is not None:
        reasons.append(f"No reports received for {format_span(run.watchdog)}.")
    if crossed := _describe_crossed(run.thresholds):
        reasons.append(crossed)
    if run.note:
        reasons.append(run.note)
    return " ".join(reasons) or None


def _metrics(run: Run, earlier: Run | None) -> tuple[Fact, ...]:
    facts = {name: format_metric(name, value) for name, value in list(run.visible_metrics.items())[:MAX_METRICS]}
    if earlier is not None:
        for comparison in compare_metrics(run.metrics, earlier.metrics):
            if comparison.name in facts:
                facts[comparison.name] += f", {comparison.description} than in run {earlier.id} ({comparison.earlier})"
    return tuple(Fact(metric_label(name), value) for name, value in facts.items())


def _describe_crossed(thresholds: Sequence[Threshold]) -> str | None:
    crossed = sum(not threshold.ok for threshold in thresholds)
    if not crossed:
        return None
    return f"{crossed} of {len(thresholds)} thresholds failed."
