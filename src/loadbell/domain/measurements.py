"""
The measurements that are kept of a run, at a bounded size for any length and script.

Two views of the same points: *totals* of each metric and of each selection of series that a threshold names; and the
*timeline* of a few metrics in at most ``MAX_BUCKETS`` buckets of time, which grow wider with the run. Both hold sums,
extremes and histograms, never single values, so they can be merged in any order.
"""

# long: the totals, and the two views of them that are merged alike

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from loadbell.domain.histograms import Histogram
from loadbell.domain.thresholds import Criterion, Selection, parse_expression, parse_selection

MAX_BUCKETS = 240
"""Buckets of a timeline; when one more is needed, they are merged in pairs."""

MAX_METRICS = 200
"""Metrics that have totals. Without the limit, a script that generates names would grow the run without end."""

MAX_SELECTIONS = 100
"""Selections of series (of thresholds) that have totals."""

MAX_CHECKS = 100
"""Checks that are counted by name; the metric ``checks`` counts all."""

MAX_NAME_LENGTH = 300
"""Characters of a metric's or a check's name that are kept."""

MAX_KEYS = 64
"""Pushes that are recognized when repeated; tools repeat one within seconds."""

MAX_HISTOGRAM_BUCKETS = 2_048
"""Buckets of one histogram, 16 powers of two in full precision; one with more is made coarser."""

MAX_HISTOGRAM_BUCKETS_PER_RUN = 60_000
"""Buckets of all histograms of a run together; with many histograms each gets fewer."""

MAX_HISTOGRAM_BUCKETS_PER_SAMPLE = 512
"""Buckets of one histogram in one bucket of the timeline."""

MAX_WORK = 1_000_000
"""Steps allowed to condense one push: points and buckets of histograms, times the selections they belong to."""

TIMELINE_METRICS = frozenset(
    {
        "vus",
        "iterations",
        "iteration_duration",
        "http_reqs",
        "http_req_failed",
        "http_req_duration",
        "grpc_req_duration",
        "checks",
        "data_received",
        "data_sent",
    }
)
"""The metrics that have a timeline."""

TIMED = ("http_req_duration", "grpc_req_duration", "iteration_duration")
"""The timeline shows the times of the first of these that a run has."""

PERCENTILES = TIMELINE_METRICS | {"ws_connecting", "ws_session_duration"}
"""The metrics that have percentiles even without a threshold."""

_CHECKS = "checks"
_SUMMED_OVER_INSTANCES = ("vus", "vus_max")
_HOUR = 3600
_SETTLES_S = 120  # seconds until no instance of the tool reports on that second any more


class Counter(msgspec.Struct, tag="counter"):
    """A sum."""

    sum: float = 0.0

    def merge(self, other: "Counter") -> None:
        """Adds ``other``."""
        self.sum += other.sum

    def aggregate(self, criterion: Criterion, seconds: float) -> float | None:
        """The aggregate that ``criterion`` names, over ``seconds``; None if a counter has none such."""
        if criterion.aggregation == "count":
            return self.sum
        return self.sum / seconds if criterion.aggregation == "rate" and seconds > 0 else None


class Gauge(msgspec.Struct, tag="gauge"):
    """A value that goes up and down."""

    at: int = 0
    last: float = 0.0
    least: float = 0.0
    greatest: float = 0.0

    def merge(self, other: "Gauge") -> None:
        """Merges ``other``; the last value is the later one's."""
        if other.at >= self.at:
            self.at, self.last = other.at, other.last
        self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)

    def aggregate(self, criterion: Criterion, _seconds: float) -> float | None:
        """The aggregate that ``criterion`` names; None if there is none such."""
        return self.last if criterion.aggregation == "value" else None


class Rate(msgspec.Struct, tag="rate"):
    """The share of values that are not zero."""

    nonzero: int = 0
    total: int = 0

    def merge(self, other: "Rate") -> None:
        """Adds the counts of ``other``."""
        self.nonzero += other.nonzero
        self.total += other.total

    @property
    def share(self) -> float | None:
        """From 0 to 1; None without values."""
        return self.nonzero / self.total if self.total else None

    def aggregate(self, criterion: Criterion, _seconds: float) -> float | None:
        """The aggregate that ``criterion`` names; None if there is none such."""
        return self.share if criterion.aggregation == "rate" else None


class Trend(msgspec.Struct, tag="trend"):
    """Values with percentiles."""

    histogram: Histogram = msgspec.field(default_factory=Histogram)

    def merge(self, other: "Trend") -> None:
        """Adds the counts of ``other``."""
        self.histogram.merge(other.histogram)

    def aggregate(self, criterion: Criterion, _seconds: float) -> float | None:
        """The aggregate that ``criterion`` names; None if there is none such."""
        values = self.histogram
        if not values.count:
            return None
        found = {
            "avg": values.mean,
            "min": values.least,
            "max": values.greatest,
            "med": values.percentile(50),
            "p": values.percentile(criterion.percent or 0),
            "count": float(values.count),
        }
        return found.get(criterion.aggregation)


Total = Counter | Gauge | Rate | Trend


class Point(msgspec.Struct, frozen=True):
    """The value of one series at one moment, in seconds since 1970."""

    metric: str
    labels: Mapping[str, str]
    at: int
    value: Total | None  #: None: it can't be counted


class TooMuchWork(Exception):  # noqa: N818 - reads as what it is
    """A push has too many points for the number of selections that thresholds name."""


class Measurements(msgspec.Struct):
    """The condensed points of a run, or of one push. Instants are seconds since 1970."""

    announced: bool = False  #: the thresholds were sent before it began
    thresholds: dict[str, list[str]] = msgspec.field(default_factory=dict)  #: expressions by selection
    period: int = 1  #: seconds that a point covers
    width: int = 1  #: seconds of a bucket: the period, or that times a power of two
    shift: int | None = (
        None  #: seconds by which the tool's clock is behind ours, in whole hours; None: nothing was merged
    )
    began_at: int | None = None  #: the first moment of a point
    latest_at: int | None = None  #: and the last
    totals: dict[str, Total] = msgspec.field(default_factory=dict)  #: by metric
    selected: dict[str, Total] = msgspec.field(default_factory=dict)  #: by selection, as in the threshold
    checks: dict[str, Rate] = msgspec.field(default_factory=dict)
    span: tuple[int, int] | None = None  #: the first and the last bucket
    buckets: dict[int, dict[str, Total]] = msgspec.field(
        name="slots", default_factory=dict
    )  #: by start divided by width
    of_instances: dict[str, dict[int, float]] = msgspec.field(default_factory=dict)  #: sums that may still grow
    keys: list[str] = msgspec.field(default_factory=list)  #: of the latest pushes
    left_out: int = 0  #: points that can't be counted or had no room

    def has_key(self, key: str) -> bool:
        """Whether a push with that key was taken already; remembers the key if not."""
        if key in self.keys:
            return True
        self.keys = [*self.keys, key][-MAX_KEYS:]
        return False

    def merge(self, push: "Measurements", now: int) -> None:
        """Adds the counts of ``push``.

        If the tool's clock is more than an hour away from ``now``, its points are moved by whole hours; points that are
        still further away count as an hour away.
        """
        self.left_out += push.left_out
        if push.latest_at is None or push.began_at is None:
            return
        placed = self._placing(push, push.latest_at, now)
        self.period = max(self.period, push.period)
        began, latest = placed(push.began_at), placed(push.latest_at)
        self.began_at = began if self.began_at is None else min(self.began_at, began)
        self.latest_at = latest if self.latest_at is None else max(self.latest_at, latest)
        self._add_totals(push)
        for bucket, totals in push.buckets.items():
            for metric, total in totals.items():
                self.add_point(placed(bucket * push.width), metric, total)
        for metric, sums in push.of_instances.items():
            for at, value in sums.items():
                self._add_of_instance(metric, placed(at), value)
        settled = self.latest_at - _SETTLES_S
        for metric, sums in self.of_instances.items():
            self.of_instances[metric] = {at: total for at, total in sums.items() if at > settled}
        self._bound_histograms()

    def touched_buckets(self, push: "Measurements", now: int) -> set[int] | None:
        """The buckets that merging ``push`` changes, which must be loaded; None: all, because they get wider."""
        if push.latest_at is None:
            return set()
        placed = self._placing(push, push.latest_at, now)
        moments = {bucket * push.width for bucket in push.buckets}
        moments.update(*push.of_instances.values())
        buckets = {placed(at) // self.width for at in moments}
        ends = [*buckets, *(self.span or ())]
        return buckets if not ends or max(ends) - min(ends) < MAX_BUCKETS else None

    def _placing(self, push: "Measurements", latest: int, now: int) -> Callable[[int], int]:
        """Returns the correction of the push's moments. The first push decides by how many hours the clocks differ."""
        if self.shift is None:
            away = now - latest
            self.shift = round(away / _HOUR) * _HOUR if abs(away) > _HOUR else 0
            self.period = self.width = push.period
        shift = self.shift
        return lambda at: min(max(at + shift, now - _HOUR), now + _HOUR)

    def _add_totals(self, push: "Measurements") -> None:
        for metric, total in push.totals.items():
            self.left_out += not _merge_into(self.totals, metric, total, most=MAX_METRICS)
        for name, total in push.selected.items():
            _merge_into(self.selected, name, total, most=MAX_SELECTIONS)
        for check, rate in push.checks.items():
            _merge_into(self.checks, check, rate, most=MAX_CHECKS)

    def _bound_histograms(self) -> None:
        histograms = [
            one.histogram for one in (*self.totals.values(), *self.selected.values()) if isinstance(one, Trend)
        ]
        for histogram in histograms:
            histogram.bound(min(MAX_HISTOGRAM_BUCKETS, MAX_HISTOGRAM_BUCKETS_PER_RUN // len(histograms)))
        for totals in self.buckets.values():
            for total in totals.values():
                if isinstance(total, Trend):
                    total.histogram.bound(MAX_HISTOGRAM_BUCKETS_PER_SAMPLE)

    def _add_of_instance(self, metric: str, at: int, value: float) -> None:
        """Adds one instance's value of a gauge that counts as the sum over all instances."""
        values = self.of_instances.setdefault(metric, {})
        values[at] = total = values.get(at, 0.0) + value
        gauge = Gauge(at, total, total, total)
        _merge_into(self.totals, metric, gauge, most=MAX_METRICS)
        self.add_point(at, metric, gauge)

    @property
    def covered_s(self) -> int:
        """How long the tool has measured, in whole periods."""
        return 0 if self.began_at is None or self.latest_at is None else self.latest_at - self.began_at + self.period

    def measured_s(self, duration_s: float | None) -> float:
        """How many seconds the tool measured in a run of ``duration_s`` by our clock (None: not ended).

        The points only show in which periods it began and ended, so the true time is up to two periods shorter.
        """
        longest = self.covered_s
        return longest if duration_s is None else min(max(duration_s, longest - 2 * self.period, self.period), longest)

    def value_of(self, key: str, expression: str, duration_s: float | None = None) -> float | None:
        """The value by which the threshold ``expression`` on ``key`` is judged; None if unknown.

        ``duration_s``: as :meth:`measured_s` takes it.
        """
        criterion, total = parse_expression(expression), self._selected_total(key)
        return None if criterion is None or total is None else total.aggregate(criterion, self.measured_s(duration_s))

    def is_empty_metric(self, key: str) -> bool:
        """Whether it is certain that no point was measured for the threshold on ``key``."""
        labels = parse_selection(key).labels
        followed = not labels or key in islice(self.thresholds, MAX_SELECTIONS)
        if self.left_out or not followed or any(_is_internal_label(name) for name, _ in labels):
            return False  # its points may be among those not kept
        match self._selected_total(key):
            case Rate() as rate:
                return not rate.total
            case Trend() as trend:
                return not trend.histogram.count
            case total:
                return total is None

    def _selected_total(self, key: str) -> Total | None:
        selection = parse_selection(key)
        return self.selected.get(key) if selection.labels else self.totals.get(selection.metric)

    def add_point(self, at: int, metric: str, value: Total) -> None:
        """Adds ``value`` to its bucket, if the metric has a timeline."""
        if metric not in TIMELINE_METRICS:
            return
        bucket = at // self.width
        first, last = self.span or (bucket, bucket)
        while max(last, bucket) - min(first, bucket) >= MAX_BUCKETS:
            self._widen()
            bucket, first, last = bucket // 2, first // 2, last // 2
        self.span = min(first, bucket), max(last, bucket)
        _merge_into(self.buckets.setdefault(bucket, {}), metric, value, most=len(TIMELINE_METRICS))

    def _widen(self) -> None:
        wider: dict[int, dict[str, Total]] = {}
        for bucket in sorted(self.buckets):
            into = wider.setdefault(bucket // 2, {})
            for metric, value in self.buckets[bucket].items():
                _merge_into(into, metric, value, most=len(TIMELINE_METRICS))
        self.width *= 2
        self.buckets = wider


def metrics_with_percentiles(keys: Iterable[str]) -> frozenset[str]:
    """The metrics whose percentiles are used: in a timeline or by a threshold (``keys``)."""
    return PERCENTILES | {parse_selection(key).metric for key in keys}


def metrics_with_labels(keys: Iterable[str]) -> frozenset[str]:
    """The metrics whose labels are used: of thresholds (``keys``) with a selection, and checks."""
    selections = (parse_selection(key) for key in keys)
    return frozenset({_CHECKS} | {selection.metric for selection in selections if selection.labels})


def condense(points: Iterable[Point], thresholds: Iterable[str], *, period: int = 1) -> Measurements:
    """Condenses the points of one push, ready to be merged, without their series.

    ``thresholds``: the selections of series to keep. ``period``: seconds that each point covers.

    Raises:
        TooMuchWork: there are too many points for the number of selections.
    """
    push = Measurements(period=period, width=period)
    selecting = _SelectionIndex(thresholds)
    kinds: dict[str, type[Total]] = {}
    moments: dict[tuple[str, int], Total] = {}  # all series of a metric, merged by moment
    room = MAX_WORK
    for point in points:
        metric, value = point.metric[:MAX_NAME_LENGTH], point.value
        if value is None or not _fits(kinds, metric, value):
            push.left_out += 1
            continue
        selected = selecting.keys(metric, point.labels)
        room -= _size(value) * (1 + len(selected)) + selecting.tried
        if room < 0:
            raise TooMuchWork
        for key in selected:
            _merge_into(push.selected, key, value, most=MAX_SELECTIONS)
        if metric in _SUMMED_OVER_INSTANCES and isinstance(value, Gauge):
            push.of_instances.setdefault(metric, {})[point.at] = value.last
            continue
        _merge_into(moments, (metric, point.at), value, most=MAX_WORK)
        if metric == _CHECKS and isinstance(value, Rate):
            _merge_into(push.checks, point.labels.get("check", "")[:MAX_NAME_LENGTH], value, most=MAX_CHECKS)
    for (metric, at), total in moments.items():
        _merge_into(push.totals, metric, total, most=MAX_METRICS)
        push.add_point(at, metric, total)
    instants = [at for _, at in moments] + [at for sums in push.of_instances.values() for at in sums]
    push.began_at, push.latest_at = min(instants, default=None), max(instants, default=None)
    return push


class _SelectionIndex:
    """Finds the selections that a series belongs to, by their first label."""

    def __init__(self, thresholds: Iterable[str]) -> None:
        self._by_label: dict[str, dict[tuple[str, str], list[tuple[str, Selection]]]] = {}
        self._last: tuple[str, Mapping[str, str]] | None = None
        self._keys: list[str] = []
        self.tried = 0  #: how many were compared with the last series
        for key in islice(thresholds, MAX_SELECTIONS):
            selection = parse_selection(key)
            if selection.labels:
                of_metric = self._by_label.setdefault(selection.metric, {})
                of_metric.setdefault(selection.labels[0], []).append((key, selection))

    def keys(self, metric: str, labels: Mapping[str, str]) -> Sequence[str]:
        """The keys of the selections that contain the series of ``metric`` with ``labels``."""
        by_label = self._by_label.get(metric)
        if by_label is None:
            self.tried = 0
            return ()
        if self._last is None or self._last[0] != metric or self._last[1] is not labels:  # several points of a series
            tried = [one for label in labels.items() for one in by_label.get(label, ())]
            self._keys = [key for key, selection in tried if selection.matches(labels)]
            self._last, self.tried = (metric, labels), sum(len(one.labels) for _, one in tried)
        return self._keys


class Sample(msgspec.Struct, frozen=True):
    """The values of a run in one bucket of its timeline. None: nothing was measured."""

    at: int  #: the start of the bucket, in seconds since 1970
    vus: float | None
    requests: float | None  #: a second
    failed: float | None  #: share from 0 to 1
    iterations: float | None  #: a second
    p50: float | None  #: of the times of ``timed``, in ms
    p95: float | None
    p99: float | None
    checks: float | None  #: share that passed
    received: float | None  #: bytes a second
    sent: float | None
    timed: str  #: the metric of p50, p95 and p99


def build_samples(measured: Measurements) -> list[Sample]:
    """Returns the timeline's existing buckets, oldest first."""
    timed = next((metric for metric in TIMED if metric in measured.totals), TIMED[-1])
    return [
        _sample(bucket * measured.width, measured.buckets[bucket], measured.width, timed)
        for bucket in sorted(measured.buckets)
    ]


def _sample(at: int, totals: Mapping[str, Total], width: int, timed: str) -> Sample:
    def rate(name: str) -> float | None:
        total = totals.get(name)
        return total.sum / width if isinstance(total, Counter) else None

    def share(name: str) -> float | None:
        total = totals.get(name)
        return total.share if isinstance(total, Rate) else None

    vus, times = totals.get("vus"), totals.get(timed)
    histogram = times.histogram if isinstance(times, Trend) else Histogram()
    return Sample(
        at=at,
        vus=vus.greatest if isinstance(vus, Gauge) else None,
        requests=rate("http_reqs"),
        failed=share("http_req_failed"),
        iterations=rate("iterations"),
        p50=histogram.percentile(50),
        p95=histogram.percentile(95),
        p99=histogram.percentile(99),
        checks=share("checks"),
        received=rate("data_received"),
        sent=rate("data_sent"),
        timed=timed,
    )


def failed_checks(measured: Measurements) -> Sequence[tuple[str, int, int]]:
    """The failed checks, most failures first: name, failures, total."""
    found = [(name, one.total - one.nonzero, one.total) for name, one in measured.checks.items()]
    return sorted((one for one in found if one[1]), key=lambda one: (-one[1], one[0]))


def _is_internal_label(label: str) -> bool:
    """Whether k6 uses the label only internally and never sends it."""
    return label in {"vu", "iter", "test_run_id"} or label.startswith("__")


def _size(value: Total) -> int:
    return 1 + len(value.histogram.buckets) if isinstance(value, Trend) else 1


Key = TypeVar("Key", bound=Hashable)
Kind = TypeVar("Kind", Total, Rate)


def _fits(kinds: dict[str, type[Total]], metric: str, value: Total) -> bool:
    """Whether the metric is known or there is room for it, and the value is of its kind."""
    kind = kinds.get(metric)
    if kind is None and len(kinds) < MAX_METRICS:
        kind = kinds[metric] = type(value)
    return kind is type(value)


def _merge_into(totals: dict[Key, Kind], name: Key, value: Kind, *, most: int) -> bool:
    """Returns whether the value was merged: there was room, and it is of the same kind."""
    rate = totals.get(name)
    if rate is None:
        if len(totals) >= most:
            return False
        totals[name] = _copy(value)  # type: ignore[assignment]  # a copy is of the same kind
    elif type(rate) is type(value):
        rate.merge(value)  # type: ignore[arg-type]  # both are of one type
    else:
        return False
    return True


def _copy(value: Total) -> Total:
    """Returns a copy that merging may change."""
    if isinstance(value, Trend):
        own = Histogram()
        own.merge(value.histogram)
        return Trend(own)
    return msgspec.structs.replace(value)
