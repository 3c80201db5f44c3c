"""The request bodies of REST v1 with their limits. Unknown keys are ignored; null means absent."""

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
"""A time in a query; a dedicated type would accept a bare number."""
WebAddress = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s<>\"]+$", max_length=2_000)]
Metrics = Annotated[
    dict[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], float],
    msgspec.Meta(max_length=200, description="Finite numbers by name."),
]
_MAX_DURATION_S = MAX_DURATION // SECOND
DurationS = Annotated[
    float,
    msgspec.Meta(ge=0, le=_MAX_DURATION_S, description="Duration of the load in seconds, by the source's clock."),
]
_MAX_ITEMS = msgspec.Meta(max_length=1_000)


class Nothing(msgspec.Struct):
    """No fields; the body may be omitted."""


class LinkBody(msgspec.Struct):
    """A link with more about the run."""

    title: Name
    url: WebAddress


class ThresholdBody(msgspec.Struct):
    """A pass/fail criterion of the tool, whether it held, and its value if known."""

    expression: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    ok: bool
    value: float | None = None


Thresholds = Annotated[list[ThresholdBody], msgspec.Meta(max_length=200)]


def _thresholds(bodies: Iterable[ThresholdBody]) -> tuple[runs.Threshold, ...]:
    return tuple(runs.Threshold(body.expression, body.ok, body.value) for body in bodies)


class NewRunBody(msgspec.Struct, kw_only=True):
    """A new run. With a final status, it is reported after its end, with its result."""

    name: RunName
    project_id: Annotated[int, msgspec.Meta(description="Default: the organization's default project.")] | None = None
    status: runs.RunStatus | None = None
    trigger: runs.Trigger | None = None
    source: runs.Source | None = None
    links: Annotated[list[LinkBody], msgspec.Meta(max_length=20)] | None = None
    watchdog_s: (
        Annotated[
            int, msgspec.Meta(ge=1, le=86_400, description="Seconds without reports after which the run times out.")
        ]
        | None
    ) = None
    result: runs.Result | None = None
    metrics: Metrics | None = None
    thresholds: Thresholds | None = None
    note: Note | None = None
    tool: Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="The load tool.")] | None = None
    started_at: (
        Annotated[datetime, msgspec.Meta(tz=True, description="When the load started. Default: now, if it is Running.")]
        | None
    ) = None
    duration_s: DurationS | None = None

    def new_run(self, sent_at: Micros | None) -> NewRun:
        """The use case's input; ``sent_at`` is when the source sent this, by its own clock."""
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
    """A source's report on its run. Omitted fields stay unchanged."""

    status: runs.RunStatus | None = None
    result: runs.Result | None = None
    metrics: Metrics | None = None
    thresholds: Thresholds | None = None
    note: Note | None = None
    duration_s: DurationS | None = None

    def report(self) -> Report:
        """The use case's input."""
        thresholds = None if self.thresholds is None else _thresholds(self.thresholds)
        return Report(self.status, self.result, self.metrics, thresholds, self.note, duration=_micros(self.duration_s))


class HeartbeatBody(msgspec.Struct):
    """A heartbeat, with the metrics so far."""

    metrics: Metrics | None = None


class SubscriptionBody(msgspec.Struct, kw_only=True):
    """What the channel notifies on. An absent or empty list means all. Replaces the whole previous subscription."""

    events: Annotated[list[EventName], _MAX_ITEMS] | None = None
    statuses: Annotated[list[runs.RunStatus], _MAX_ITEMS] | None = None
    results: Annotated[list[runs.Result], _MAX_ITEMS] | None = None
    projects: Annotated[list[int], _MAX_ITEMS] | None = None
    triggers: Annotated[list[runs.Trigger], _MAX_ITEMS] | None = None
    only_on_change: bool | None = None
    only_failures: (
        Annotated[
            bool, msgspec.Meta(description="Of ended runs, only those with result failed or status 4, 8, 9, 11, 12.")
        ]
        | None
    ) = None

    def subscription(self) -> channels.Subscription:
        """The use case's input; repeated values count once."""
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
    """A channel to add. `settings` depend on its kind."""

    kind: str
    name: Name
    settings: dict[str, Any]
    subscription: SubscriptionBody | None = None
    enabled: bool | None = None


class ChannelChangeBody(msgspec.Struct, kw_only=True):
    """The fields to change. Omitted fields stay unchanged, also within `settings`."""

    name: Name | None = None
    settings: dict[str, Any] | None = None
    subscription: SubscriptionBody | None = None
    enabled: bool | None = None


class RotationBody(msgspec.Struct):
    """How long the previous secrets stay active."""

    overlap: Annotated[str, msgspec.Meta(description="A duration from `0s` to `7d`. Default: `24h`.")] | None = None


class ResumeBody(msgspec.Struct):
    """What to do with queued notifications: send them in order, or cancel them."""

    held: Held


class FormBody(msgspec.Struct, kw_only=True):
    """The settings of an unsaved form."""

    kind: str
    settings: dict[str, Any]


class ReplayBody(msgspec.Struct, kw_only=True):
    """Which deliveries to resend, by creation time and status."""

    since: Instant
    until: Instant | None = None
    statuses: Annotated[list[FinalStatus], msgspec.Meta(min_length=1, max_length=1_000)]
    dry_run: bool | None = None


class RunsQuery(PageQuery, kw_only=True):
    """Filters for runs."""

    project_id: int | None = None
    status: runs.RunStatus | None = None
    result: runs.Result | None = None
    source: runs.Source | None = None


class LogQuery(PageQuery, kw_only=True):
    """Filters for deliveries. `since` is inclusive, `until` exclusive."""

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
