"""
What is kept of the measurements of a run, at a bounded size however long it runs and whatever it measures.

Two views of the same points: *totals* of each metric, and of each selection of series that a threshold asks for; and the
*course* of the few metrics that a person looks at, in at most ``MOST_SLOTS`` slots of time, which grow wider with the
run. Both hold sums, extremes and histograms, never single values, so that they can be merged in any order.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec

from loadbell.domain.histograms import Histogram
from loadbell.domain.thresholds import Criterion, Selection, parse_expression, parse_selection

MOST_SLOTS = 240
"""Slots of a course; when one more is needed they are merged in pairs. At the finest 240 s of a second each."""

MOST_METRICS = 200
"""Metrics that have totals. A script that makes up names while it runs would else grow the run without end."""

MOST_SELECTIONS = 100
"""Selections of series that have totals: those of thresholds."""

MOST_CHECKS = 100
"""Checks that are counted by name; the metric ``checks`` counts all."""

KEYS_KEPT = 64
"""Pushes that are recognized when they come again: a tool repeats one within seconds."""

COURSE = frozenset(
    {
        "vus",
        "iterations",
        "iteration_duration",
        "http_reqs",
        "http_req_failed",
        "http_req_duration",
        "checks",
        "data_received",
        "data_sent",
    }
)
"""The metrics that have a course: what a person looks at first."""

_SUMMED_OVER_INSTANCES = ("vus", "vus_max")
_SETTLES_S = 120  # seconds until no instance of the tool speaks of that second any more


class Counter(msgspec.Struct, tag="counter"):
    """A sum."""

    sum: float = 0.0

    def merge(self, other: "Counter") -> None:
        """Adds ``other``."""
        self.sum += other.sum

    def aggregate(self, asked: Criterion, seconds: float) -> float | None:
        """What ``asked`` asks of it over ``seconds``; None: it has no such thing."""
        if asked.aggregation == "count":
            return self.sum
        return self.sum / seconds if asked.aggregation == "rate" and seconds > 0 else None


class Gauge(msgspec.Struct, tag="gauge"):
    """A value that goes up and down."""

    at: int = 0
    last: float = 0.0
    least: float = 0.0
    greatest: float = 0.0

    def merge(self, other: "Gauge") -> None:
        """Takes what ``other`` knows: the last is that of the later moment."""
        if other.at >= self.at:
            self.at, self.last = other.at, other.last
        self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)

    def aggregate(self, asked: Criterion, _seconds: float) -> float | None:
        """What ``asked`` asks of it; None: it has no such thing."""
        return self.last if asked.aggregation == "value" else None


class Rate(msgspec.Struct, tag="rate"):
    """How many of all were so."""

    nonzero: int = 0
    total: int = 0

    def merge(self, other: "Rate") -> None:
        """Counts what ``other`` has counted, too."""
        self.nonzero += other.nonzero
        self.total += other.total

    @property
    def share(self) -> float | None:
        """From 0 to 1; None of nothing."""
        return self.nonzero / self.total if self.total else None

    def aggregate(self, asked: Criterion, _seconds: float) -> float | None:
        """What ``asked`` asks of it; None: it has no such thing."""
        return self.share if asked.aggregation == "rate" else None


class Trend(msgspec.Struct, tag="trend"):
    """Values of which percentiles are asked."""

    histogram: Histogram = msgspec.field(default_factory=Histogram)

    def merge(self, other: "Trend") -> None:
        """Counts what ``other`` has counted, too."""
        self.histogram.merge(other.histogram)

    def aggregate(self, asked: Criterion, _seconds: float) -> float | None:
        """What ``asked`` asks of it; None: it has no such thing."""
        values = self.histogram
        if not values.count:
            return None
        match asked.aggregation:
            case "avg":
                return values.mean
            case "min":
                return values.least
            case "max":
                return values.greatest
            case "med":
                return values.percentile(50)
            case "p":
                return values.percentile(asked.percent or 0)
            case "count":
                return values.count
            case _:
                return None


Total = Counter | Gauge | Rate | Trend


class Point(msgspec.Struct, frozen=True):
    """What one series of a metric says of one moment, in seconds since 1970."""

    metric: str
    labels: Mapping[str, str]
    at: int
    value: Total


class Measurements(msgspec.Struct):
    """All that is kept of what a run has measured."""

    width: int = 1  #: of a slot, in seconds: a power of two
    began_at: int | None = None  #: the first moment that a point spoke of
    latest_at: int | None = None  #: and the last
    totals: dict[str, Total] = msgspec.field(default_factory=dict)  #: by metric
    selected: dict[str, Total] = msgspec.field(default_factory=dict)  #: by selection, as the threshold names it
    checks: dict[str, Rate] = msgspec.field(default_factory=dict)
    slots: dict[int, dict[str, Total]] = msgspec.field(default_factory=dict)  #: by their beginning over the width
    of_instances: dict[str, dict[int, float]] = msgspec.field(default_factory=dict)  #: sums that may still grow
    keys: list[str] = msgspec.field(default_factory=list)  #: of the last pushes
    left_out: int = 0  #: points that found no place any more

    LEFT_OUT: ClassVar[str] = "more metrics than are kept"

    def has_taken(self, key: str) -> bool:
        """Whether the push of that key was taken already; notes it if not."""
        if key in self.keys:
            return True
        self.keys = [*self.keys, key][-KEYS_KEPT:]
        return False

    def take(self, points: Iterable[Point], selections: Mapping[str, Selection]) -> None:
        """Counts ``points``. ``selections``: those that thresholds ask for, by name."""
        by_metric: dict[str, list[tuple[str, Selection]]] = {}
        for name, selection in list(selections.items())[:MOST_SELECTIONS]:
            by_metric.setdefault(selection.metric, []).append((name, selection))
        for point in points:
            self.began_at = point.at if self.began_at is None else min(self.began_at, point.at)
            self.latest_at = point.at if self.latest_at is None else max(self.latest_at, point.at)
            value = self._over_instances(point)
            if not _merge_into(self.totals, point.metric, value, most=MOST_METRICS):
                self.left_out += 1
                continue
            for name, selection in by_metric.get(point.metric, ()):
                if selection.takes(point.labels):
                    _merge_into(self.selected, name, value, most=MOST_SELECTIONS)
            if point.metric == "checks" and isinstance(value, Rate):
                _merge_into(self.checks, point.labels.get("check", ""), value, most=MOST_CHECKS)
            if point.metric in COURSE:
                self._put(point.at, point.metric, value)
        self._settle()

    def value_of(self, key: str, expression: str, seconds: float) -> float | None:
        """By which value the threshold ``expression`` on ``key`` is judged after ``seconds``; None: that is not known."""
        asked = parse_expression(expression)
        selection = parse_selection(key)
        total = self.selected.get(key) if selection.labels else self.totals.get(selection.metric)
        return None if asked is None or total is None else total.aggregate(asked, seconds)

    def _over_instances(self, point: Point) -> Total:
        """Of the gauges that several instances of the tool share out among them, the sum of what they say."""
        if point.metric not in _SUMMED_OVER_INSTANCES or not isinstance(point.value, Gauge):
            return point.value
        sums = self.of_instances.setdefault(point.metric, {})
        sums[point.at] = total = sums.get(point.at, 0.0) + point.value.last
        return Gauge(point.at, total, total, total)

    def _settle(self) -> None:
        if self.latest_at is not None:
            settled = self.latest_at - _SETTLES_S
            for name, sums in self.of_instances.items():
                self.of_instances[name] = {at: total for at, total in sums.items() if at > settled}

    def _put(self, at: int, metric: str, value: Total) -> None:
        slot = at // self.width
        while slot not in self.slots and self._span(slot) > MOST_SLOTS:
            self._widen()
            slot = at // self.width
        _merge_into(self.slots.setdefault(slot, {}), metric, value, most=len(COURSE))

    def _span(self, slot: int) -> int:
        if not self.slots:
            return 1
        return max(*self.slots, slot) - min(*self.slots, slot) + 1

    def _widen(self) -> None:
        wider: dict[int, dict[str, Total]] = {}
        for slot in sorted(self.slots):
            into = wider.setdefault(slot // 2, {})
            for metric, value in self.slots[slot].items():
                _merge_into(into, metric, value, most=len(COURSE))
        self.width *= 2
        self.slots = wider


class Step(msgspec.Struct, frozen=True):
    """How a run stood in one slot of its course. None: nothing was measured."""

    at: int  #: its beginning, in seconds since 1970
    vus: float | None
    requests: float | None  #: a second
    failed: float | None  #: share from 0 to 1
    iterations: float | None  #: a second
    p50: float | None  #: of the response time in ms, or of the iteration's where there are no HTTP requests
    p95: float | None
    p99: float | None
    checks: float | None  #: share that passed
    received: float | None  #: bytes a second
    sent: float | None


def course_of(measured: Measurements) -> list[Step]:
    """The course, oldest first."""
    timed = "http_req_duration" if "http_req_duration" in measured.totals else "iteration_duration"
    return [_step(slot * measured.width, measured.slots[slot], measured.width, timed) for slot in sorted(measured.slots)]


def _step(at: int, totals: Mapping[str, Total], width: int, timed: str) -> Step:
    def rate(name: str) -> float | None:
        total = totals.get(name)
        return total.sum / width if isinstance(total, Counter) else None

    def share(name: str) -> float | None:
        total = totals.get(name)
        return total.share if isinstance(total, Rate) else None

    vus, times = totals.get("vus"), totals.get(timed)
    histogram = times.histogram if isinstance(times, Trend) else Histogram()
    return Step(
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
    )


def failed_checks(measured: Measurements) -> Sequence[tuple[str, int, int]]:
    """The checks that failed, by how often: name, failures, how often it was checked."""
    found = [(name, one.total - one.nonzero, one.total) for name, one in measured.checks.items()]
    return sorted((one for one in found if one[1]), key=lambda one: (-one[1], one[0]))


def _merge_into(totals: dict[str, Total], name: str, value: Total, *, most: int) -> bool:
    """Whether there was room for it."""
    known = totals.get(name)
    if known is None:
        if len(totals) >= most:
            return False
        totals[name] = _copied(value)
    elif isinstance(known, Counter) and isinstance(value, Counter):
        known.merge(value)
    elif isinstance(known, Gauge) and isinstance(value, Gauge):
        known.merge(value)
    elif isinstance(known, Rate) and isinstance(value, Rate):
        known.merge(value)
    elif isinstance(known, Trend) and isinstance(value, Trend):
        known.merge(value)
    else:
        return False
    return True


def _copied(value: Total) -> Total:
    """One of its own, which merging may change."""
    if isinstance(value, Trend):
        own = Histogram()
        own.merge(value.histogram)
        return Trend(own)
    return msgspec.structs.replace(value)
