"""What REST v1 takes, field by field, with its limits. Unknown keys are ignored; null is as good as absent."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from loadbell.domain import channels, runs
from loadbell.domain.deliveries import DeliveryStatus, FinalStatus
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND, Micros, from_datetime
from loadbell.domain.run_times import MAX_DURATION
from loadbell.entry.fields import convert_fields
from loadbell.entry.paging import PageQuery
from loadbell.entry.path_ids import check_id
from loadbell.notify.channels import Held
from loadbell.runs.lifecycle import NewRun, Report

RunName = Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Note = Annotated[str, msgspec.Meta(max_length=10_000)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
InstantText = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""An instant in a query, where a type of its own would let a bare number pass for one."""
WebAddress = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s<>\"]+$", max_length=2_000)]
Metrics = Annotated[
    dict[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], float],
    msgspec.Meta(max_length=200, description="Finite numbers by name."),
]
_MAX_DURATION_S = MAX_DURATION // SECOND
DurationS = Annotated[
    float,
    msgspec.Meta(ge=0, le=_MAX_DURATION_S, description="Seconds that the load was on, by the source's own clock."),
]
_MAX_ITEMS = msgspec.Meta(max_length=1_000)


class Nothing(msgspec.Struct):
    """No field is needed; the body may be left out."""


class LinkBody(msgspec.Struct):
    """A place where a person finds more about the run."""

    title: Name
    url: WebAddress


class ThresholdBody(msgspec.Struct):
    """A pass/fail criterion of the tool, whether it held, and the value it was judged by when known."""

    expression: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    ok: bool
    value: float | None = None


Thresholds = Annotated[list[ThresholdBody], msgspec.Meta(max_length=200)]


def _thresholds(bodies: Iterable[ThresholdBody]) -> tuple[runs.Threshold, ...]:
    return tuple(runs.Threshold(body.expression, body.ok, body.value) for body in bodies)


class NewRunBody(msgspec.Struct, kw_only=True):
    """A run as it is announced; one in a final status is told of afterwards, with its result."""

    name: RunName
    project_id: Annotated[int, msgspec.Meta(description="Left out: the organization's default project.")] | None = None
    status: runs.RunStatus | None = None
    trigger: runs.Trigger | None = None
    source: runs.Source | None = None
    links: Annotated[list[LinkBody], msgspec.Meta(max_length=20)] | None = None
    watchdog_s: (
        Annotated[int, msgspec.Meta(ge=1, le=86_400, description="Seconds of silence that end the run.")] | None
    ) = None
    result: runs.Result | None = None
    metrics: Metrics | None = None
    thresholds: Thresholds | None = None
    note: Note | None = None
    tool: Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="What ran it.")] | None = None
    started_at: (
        Annotated[datetime, msgspec.Meta(tz=True, description="When the load began. Left out: now, if it is Running.")]
        | None
    ) = None
    duration_s: DurationS | None = None

    def new_run(self, sent_at: Micros | None) -> NewRun:
        """What the use case takes; ``sent_at`` is when the source sent this, by its own clock."""
        return NewRun(
            name=self.name,
            project_id=None if self.project_id is None else check_id(self.project_id, "project"),
            status=runs.RunStatus.RUNNING if self.status is None else self.status,
            trigger=self.trigger,
            source=self.source or runs.Source.REST,
            links=tuple(runs.Link(link.title, link.url) for link in self.links or ()),
            watchdog=None if self.watchdog_s is None else self.watchdog_s * SECOND,
            result=self.result,
            metrics=self.metrics or {},
            thresholds=_thresholds(self.thresholds or ()),
            note=self.note,
            tool=self.tool,
            started_at=instant(self.started_at),
            sent_at=sent_at,
            duration=_micros(self.duration_s),
        )


class ReportBody(msgspec.Struct, kw_only=True):
    """What a source says about its run; what is left out stays as it is."""

    status: runs.RunStatus | None = None
    result: runs.Result | None = None
    metrics: Metrics | None = None
    thresholds: Thresholds | None = None
    note: Note | None = None
    duration_s: DurationS | None = None

    def report(self) -> Report:
        """What the use case takes."""
        thresholds = None if self.thresholds is None else _thresholds(self.thresholds)
        return Report(self.status, self.result, self.metrics, thresholds, self.note, duration=_micros(self.duration_s))


class HeartbeatBody(msgspec.Struct):
    """A sign of life, with what was measured so far."""

    metrics: Metrics | None = None


class SubscriptionBody(msgspec.Struct, kw_only=True):
    """What the channel wants to hear; a list that is absent or empty means all. It replaces the former one whole."""

    events: Annotated[list[EventName], _MAX_ITEMS] | None = None
    statuses: Annotated[list[runs.RunStatus], _MAX_ITEMS] | None = None
    results: Annotated[list[runs.Result], _MAX_ITEMS] | None = None
    projects: Annotated[list[int], _MAX_ITEMS] | None = None
    triggers: Annotated[list[runs.Trigger], _MAX_ITEMS] | None = None
    only_on_change: bool | None = None
    only_failures: (
        Annotated[bool, msgspec.Meta(description="Of ends only those with result failed or status 4, 8, 9, 11, 12.")]
        | None
    ) = None

    def subscription(self) -> channels.Subscription:
        """What the use case takes; a value that is given twice counts once."""
        return channels.Subscription(
            events=tuple(dict.fromkeys(self.events or ())),
            statuses=tuple(dict.fromkeys(self.statuses or ())),
            results=tuple(dict.fromkeys(self.results or ())),
            projects=tuple(dict.fromkeys(self.projects or ())),
            triggers=tuple(dict.fromkeys(self.triggers or ())),
            only_on_change=bool(self.only_on_change),
            only_failures=bool(self.only_failures),
        )


class NewChannelBody(msgspec.Struct, kw_only=True):
    """A channel to add. `settings` are those of its kind."""

    kind: str
    name: Name
    settings: dict[str, Any]
    subscription: SubscriptionBody | None = None
    enabled: bool | None = None


class ChannelChangeBody(msgspec.Struct, kw_only=True):
    """What to change; within `settings` too, what is left out stays as it is."""

    name: Name | None = None
    settings: dict[str, Any] | None = None
    subscription: SubscriptionBody | None = None
    enabled: bool | None = None


class RotationBody(msgspec.Struct):
    """How long the former secrets stay live."""

    overlap: Annotated[str, msgspec.Meta(description="A duration from `0s` to `7d`. Left out: `24h`.")] | None = None


class ResumeBody(msgspec.Struct):
    """What becomes of all that the channel has held: sent in the order of the events, or cancelled."""

    held: Held


class FormBody(msgspec.Struct, kw_only=True):
    """What stands in a form that is not saved."""

    kind: str
    settings: dict[str, Any]


class ReplayBody(msgspec.Struct, kw_only=True):
    """Which deliveries to send again: when they were created, and how they have ended."""

    since: Instant
    until: Instant | None = None
    statuses: Annotated[list[FinalStatus], msgspec.Meta(min_length=1, max_length=1_000)]
    dry_run: bool | None = None


class RunsQuery(PageQuery, kw_only=True):
    """Which runs."""

    project_id: int | None = None
    status: runs.RunStatus | None = None
    result: runs.Result | None = None
    source: runs.Source | None = None


class LogQuery(PageQuery, kw_only=True):
    """Which deliveries. `since` is included, `until` is not."""

    status: DeliveryStatus | None = None
    event: EventName | None = None
    since: InstantText | None = None
    until: InstantText | None = None

    def span(self) -> tuple[Micros | None, Micros | None]:
        """From when and until when.

        Raises:
            Invalid: one of them is not an instant.
        """
        return span(self.since, self.until)


def span(since: str | None, until: str | None) -> tuple[Micros | None, Micros | None]:
    """The instants that a query names.

    Raises:
        Invalid: one of them is not an instant.
    """
    texts = {"since": since, "until": until}
    both = convert_fields({name: text for name, text in texts.items() if text is not None}, _Span)
    return instant(both.since), instant(both.until)


class _Span(msgspec.Struct):
    since: Instant | None = None
    until: Instant | None = None


def instant(moment: datetime | None) -> Micros | None:
    """The instant of a moment that has a time zone."""
    return None if moment is None else from_datetime(moment)


def _micros(seconds: float | None) -> Micros | None:
    return None if seconds is None else round(seconds * SECOND)
