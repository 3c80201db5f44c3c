"""
The course of a run as plots: paths for an SVG of 100 by 100, drawn here so that they need no script and change live.

One scale a plot; the labels are text beside it. The table under the plots has the same figures.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from loadbell.domain.figures import milliseconds
from loadbell.domain.measurements import Measurements, Step
from loadbell.domain.thresholds import parse_expression

_TOP = 4.0  # room above the greatest value
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_P95 = 95.0
_FEWEST = 2  # steps that make a line
_TIMED = {
    "http_req_duration": "Response time",
    "grpc_req_duration": "gRPC response time",
    "iteration_duration": "Iteration time",
}

Value = Callable[[Step], float | None]


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
    said: str  #: what there is to see, for those who do not see it
    lines: Sequence[Line]
    top: str  #: the greatest value of the scale, without its unit
    low: bool = False
    limit: tuple[float, str] | None = None  #: where it is drawn, and how it is written


@dataclass(frozen=True)
class Course:
    """How a run went: plots, and the same step by step."""

    plots: Sequence[Plot]
    steps: Sequence[Step]
    width: int  #: seconds of a step
    timed: str  #: whose time was taken
    left_out: int  #: points of further metrics, for which there was no room


def course(measured: Measurements | None, steps: Sequence[Step], *, ended: bool) -> Course | None:
    """The course so far; None if too little was measured to show one. The step under way is not shown yet."""
    if measured is None:
        return None
    steps = steps if ended else steps[:-1]
    if len(steps) < _FEWEST:
        return None
    # Steps of before the first request were timed by iterations: what they took is no response time.
    steps = [one if one.timed == steps[-1].timed else replace(one, p50=None, p95=None, p99=None) for one in steps]
    timed = _TIMED[steps[-1].timed]
    wanted = (
        _times(steps, f"{timed}, ms", _limit(measured)),
        _plot("vus", "Virtual users", steps, [("load", "Virtual users", lambda step: step.vus)], _count),
        _plot("rate", "Requests a second", steps, [("main", "Requests a second", lambda step: step.requests)], _count),
        _plot("failed", "Failed requests", steps, [("fault", "Failed requests, %", _failed)], _percent, least=1.0),
    )
    return Course([plot for plot in wanted if plot], steps, measured.width, timed, measured.left_out)


def _times(steps: Sequence[Step], title: str, limit: float | None) -> Plot | None:
    series: list[tuple[str, str, Value]] = [
        ("side", "p50", lambda step: step.p50),
        ("main", "p95", lambda step: step.p95),
        ("side far", "p99", lambda step: step.p99),
    ]
    return _plot("times", title, steps, series, milliseconds, limit=limit)


def _plot(  # noqa: PLR0913 - what is shown of what, and how it is written
    identifier: str,
    title: str,
    steps: Sequence[Step],
    series: Sequence[tuple[str, str, Value]],
    write: Callable[[float], str],
    *,
    limit: float | None = None,
    least: float = 0.0,
) -> Plot | None:
    known = [[value(step) for step in steps] for _, _, value in series]
    greatest = max((one for values in known for one in values if one is not None), default=None)
    if greatest is None:
        return None
    top = _nice(max(greatest, limit or 0.0, least))
    moments = _across(steps)
    lines = [
        Line(style, label, _path(moments, [None if one is None else _up(one, top) for one in values], style == "load"))
        for (style, label, _), values in zip(series, known, strict=True)
    ]
    main = [one for one in known[len(known) // 2] if one is not None]
    said = f"Between {write(min(main))} and {write(max(main))}, at last {write(main[-1])}." if main else ""
    drawn = None if limit is None else (_up(limit, top), f"{limit:g}")
    return Plot(identifier, title, said, lines, f"{top:,.6g}", low=identifier != "times", limit=drawn)


def _across(steps: Sequence[Step]) -> list[float]:
    start, end = steps[0].at, steps[-1].at
    return [100.0 * (step.at - start) / (end - start) for step in steps]


def _up(value: float, top: float) -> float:
    return 100.0 - (100.0 - _TOP) * value / top


def _path(moments: Sequence[float], heights: Sequence[float | None], filled: bool) -> str:
    """The line through what is known; where nothing is, there is a gap. A filled piece goes down to the ground."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(moments, heights, strict=True):
        if y is not None:
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    if filled:
        pieces = [[(piece[0][0], 100.0), *piece, (piece[-1][0], 100.0)] for piece in pieces if piece]
    return " ".join(f"M{' L'.join(f'{x:.4g} {y:.4g}' for x, y in piece)}" for piece in pieces if piece)


def _nice(value: float) -> float:
    """The next figure that reads well, from ``value`` on."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next((one * size for one in _NICE if one * size >= value), 10 * size)


def _limit(measured: Measurements) -> float | None:
    """Where a threshold on the 95th percentile of all response times lies, if there is one."""
    for expression in measured.thresholds.get("http_req_duration", ()):
        asked = parse_expression(expression)
        if asked is not None and asked.percent == _P95 and asked.operator in {"<", "<="} and asked.limit > 0:
            return asked.limit
    return None


def _failed(step: Step) -> float | None:
    return None if step.failed is None else 100 * step.failed


def _count(value: float) -> str:
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - three digits say enough


def _percent(value: float) -> str:
    return f"{value:.3g} %"
