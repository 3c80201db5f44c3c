"""
Charts as shapes for an SVG of 100 by 100, drawn here so that they need no script and change live.

The timeline of a run is plots of lines, the delivery log a plot of stacked bars. One scale a plot; the labels are text
beside it. The table under the plots has the same figures.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from loadbell.domain.measurements import Measurements, Sample
from loadbell.domain.metrics import format_milliseconds
from loadbell.domain.thresholds import parse_expression
from loadbell.notify.delivery_stats import Bucket

_TOP = 4.0  # room above the greatest value
_ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_BAR_WIDTH = 0.8  # of the room that a bucket has
_P95 = 95.0
_MIN_SAMPLES = 2  # steps that make a line
_TIMED = {
    "http_req_duration": "Response time",
    "grpc_req_duration": "gRPC response time",
    "iteration_duration": "Iteration time",
}

ReadValue = Callable[[Sample], float | None]


@dataclass(frozen=True)
class Line:
    """One series: how it is drawn, what it is called, and its path."""

    style: str
    label: str
    path: str


@dataclass(frozen=True)
class Plot:
    """Series on one scale, which begins at 0."""

    id: str
    title: str
    alt_text: str  #: what there is to see, for those who do not see it
    lines: Sequence[Line]
    top: str  #: the greatest value of the scale, without its unit
    low: bool = False
    limit: tuple[float, str] | None = None  #: where it is drawn, and how it is written


@dataclass(frozen=True)
class TimeSeries:
    """How a run went: plots, and the same step by step."""

    plots: Sequence[Plot]
    samples: Sequence[Sample]
    width: int  #: seconds of a step
    timed: str  #: whose time was taken
    left_out: int  #: points of further metrics, for which there was no room


@dataclass(frozen=True)
class Bar:
    """One outcome of a bucket: which (a field of ``Bucket``), from where down and how high."""

    outcome: str
    y: float
    height: float


@dataclass(frozen=True)
class BarChart:
    """Deliveries over time: a column of stacked bars a bucket, oldest first."""

    columns: Sequence[tuple[float, Bucket, Sequence[Bar]]]  #: the left edge, what is counted, the bars from the ground
    bar_width: float
    top: str  #: the greatest value of the scale


def build_bar_chart(buckets: Sequence[Bucket]) -> BarChart:
    """The outcomes of each bucket on top of one another; an outcome without deliveries has no bar."""
    outcomes = ("delivered", "failed", "pending", "cancelled")
    counts = [[(outcome, getattr(bucket, outcome)) for outcome in outcomes] for bucket in buckets]
    top = _round_up_count(max(sum(count for _, count in column) for column in counts))
    room = 100.0 / len(buckets)
    columns = []
    for position, (bucket, column) in enumerate(zip(buckets, counts, strict=True)):
        bars, y = [], 100.0
        for outcome, count in column:
            height = 100.0 - _y_position(count, top)
            y -= height
            if count:
                bars.append(Bar(outcome, round(y, 2), round(height, 2)))
        columns.append((round(room * (position + (1 - _BAR_WIDTH) / 2), 2), bucket, bars))
    return BarChart(columns, round(room * _BAR_WIDTH, 2), f"{top:,}")


def build_time_series(measured: Measurements | None, samples: Sequence[Sample], *, ended: bool) -> TimeSeries | None:
    """The timeline so far; None if too little was measured to show one. The current step isn't shown yet."""
    if measured is None:
        return None
    samples = samples if ended else samples[:-1]
    if len(samples) < _MIN_SAMPLES:
        return None
    # Steps of before the first request were timed by iterations: what they took is no response time.
    samples = [one if one.timed == samples[-1].timed else replace(one, p50=None, p95=None, p99=None) for one in samples]
    timed = _TIMED[samples[-1].timed]
    plots = (
        _times_plot(samples, f"{timed}, ms", _limit(measured)),
        _plot("vus", "Virtual users", samples, [("load", "Virtual users", lambda step: step.vus)], _format_count),
        _plot(
            "rate",
            "Requests per second",
            samples,
            [("main", "Requests per second", lambda step: step.requests)],
            _format_count,
        ),
        _plot(
            "failed",
            "Failed requests",
            samples,
            [("fault", "Failed requests, %", _failed_percent)],
            _format_percent,
            least=1.0,
        ),
    )
    return TimeSeries([plot for plot in plots if plot], samples, measured.width, timed, measured.left_out)


def _times_plot(samples: Sequence[Sample], title: str, limit: float | None) -> Plot | None:
    series: list[tuple[str, str, ReadValue]] = [
        ("side", "p50", lambda sample: sample.p50),
        ("main", "p95", lambda sample: sample.p95),
        ("side far", "p99", lambda sample: sample.p99),
    ]
    return _plot("times", title, samples, series, format_milliseconds, limit=limit)


def _plot(  # noqa: PLR0913 - what is shown of what, and how it is written
    identifier: str,
    title: str,
    samples: Sequence[Sample],
    series: Sequence[tuple[str, str, ReadValue]],
    write: Callable[[float], str],
    *,
    limit: float | None = None,
    least: float = 0.0,
) -> Plot | None:
    known = [[value(sample) for sample in samples] for _, _, value in series]
    greatest = max((one for values in known for one in values if one is not None), default=None)
    if greatest is None:
        return None
    top = _round_up(max(greatest, limit or 0.0, least))
    positions = _x_positions(samples)
    lines = [
        Line(
            style,
            label,
            _path(positions, [None if one is None else _y_position(one, top) for one in values], style == "load"),
        )
        for (style, label, _), values in zip(series, known, strict=True)
    ]
    main = [one for one in known[len(known) // 2] if one is not None]
    text = f"Between {write(min(main))} and {write(max(main))}, last {write(main[-1])}." if main else ""
    drawn = None if limit is None else (_y_position(limit, top), f"{limit:g}")
    return Plot(identifier, title, text, lines, f"{top:,.6g}", low=identifier != "times", limit=drawn)


def _x_positions(samples: Sequence[Sample]) -> list[float]:
    start, end = samples[0].at, samples[-1].at
    return [100.0 * (sample.at - start) / (end - start) for sample in samples]


def _y_position(value: float, top: float) -> float:
    return 100.0 - (100.0 - _TOP) * value / top


def _path(positions: Sequence[float], heights: Sequence[float | None], filled: bool) -> str:
    """The line through what is known; where nothing is, there is a gap. A filled piece goes down to the ground."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(positions, heights, strict=True):
        if y is not None:
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    if filled:
        pieces = [[(piece[0][0], 100.0), *piece, (piece[-1][0], 100.0)] for piece in pieces if piece]
    return " ".join(f"M{' L'.join(f'{x:.4g} {y:.4g}' for x, y in piece)}" for piece in pieces if piece)


def _round_up(value: float) -> float:
    """The next figure that reads well, from ``value`` on."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next((one * size for one in _ROUND_STEPS if one * size >= value), 10 * size)


def _round_up_count(value: int) -> int:
    """The next whole figure that reads well; half of it, too, from 4 on."""
    return max(4, math.ceil(_round_up(value)))


def _limit(measured: Measurements) -> float | None:
    """Where a threshold on the 95th percentile of all response times lies, if there is one."""
    for expression in measured.thresholds.get("http_req_duration", ()):
        criterion = parse_expression(expression)
        if (
            criterion is not None
            and criterion.percent == _P95
            and criterion.operator in {"<", "<="}
            and criterion.limit > 0
        ):
            return criterion.limit
    return None


def _failed_percent(sample: Sample) -> float | None:
    return None if sample.failed is None else 100 * sample.failed


def _format_count(value: float) -> str:
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - three digits say enough


def _format_percent(value: float) -> str:
    return f"{value:.3g} %"
