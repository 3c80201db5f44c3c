"""
Use cases on a run's measurements: record pushes, judge thresholds, compare with the run before.

Pushes come condensed (``domain/measurements.py``), from any protocol. Each push updates the run's metrics, so its
readers see them live.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from loadbell.domain import metrics
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.measurements import (
    TIMED,
    Counter,
    Gauge,
    Measurements,
    Rate,
    Sample,
    Total,
    Trend,
    failed_checks,
)
from loadbell.domain.metrics import Comparison
from loadbell.domain.orgs import Action, Principal
from loadbell.domain.runs import EndedBy, Run, RunStatus, Threshold
from loadbell.domain.thresholds import MAX_EXPRESSION_LENGTH, MAX_SELECTION_LENGTH, parse_expression, parse_selection
from loadbell.runs import lifecycle
from loadbell.runs.lifecycle import Report
from loadbell.store import measurements as store
from loadbell.store.engine.db import Transaction
from loadbell.store.runs import find_previous_run
from loadbell.store.unit_of_work import UnitOfWork

MAX_THRESHOLDS = 200
"""Thresholds stored per run."""

MAX_THRESHOLD_LENGTH = 1_000
"""Characters stored of a threshold: its selection and its expression."""

_TIMES = re.compile(
    r"(http_req_(?!failed)|iteration_duration|group_duration|ws_(?!msgs|sessions)|grpc_req_|browser_).*"
)
_MAX_FAILED_CHECKS = 5
_MAX_CHECK_LENGTH = 100


@dataclass(frozen=True)
class RunComparison:
    """A run compared with the one before it."""

    run_id: int
    metrics: list[Comparison]


async def expect_thresholds(tx: Transaction, run: Run, thresholds: Mapping[str, list[str]]) -> None:
    """Stores the thresholds before the run, so that their values are there when the verdicts come."""
    await store.save_measurements(tx, run.id, Measurements(announced=True, thresholds=_limit_thresholds(thresholds)))


async def get_selections(unit: UnitOfWork[Principal], run_id: int) -> tuple[str, ...] | None:
    """Returns the selections of series of the run's thresholds; None: its source has not sent them.

    Raises:
        NotFound: the caller can't see the run.
    """
    unit.principal.require(Action.REPORT_RUNS)
    run = await lifecycle.get_visible_run(unit, run_id)
    measured = await store.get_measurements(unit.tx, run.id)
    return None if measured is None or not measured.announced else tuple(measured.thresholds)


async def note_alive(unit: UnitOfWork[Principal], run_id: int) -> bool:
    """Records a push that can't be counted as a sign of life. Returns whether the source must stop the load.

    Raises:
        NotFound: the caller can't see the run.
    """
    return await lifecycle.heartbeat(unit, run_id, None)


async def record_push(unit: UnitOfWork[Principal], run_id: int, push: Measurements, *, key: str | None) -> bool:
    """Merges a push. Returns whether the source must stop the load. A push with a known ``key`` counts once.

    A run that has not begun becomes Running with its first push.

    Raises:
        NotFound: the caller can't see the run.
    """
    run = await lifecycle.lock_run(unit, run_id)
    if run.status in {RunStatus.CREATED, RunStatus.QUEUED, RunStatus.INITIALIZING}:
        await lifecycle.report_run(unit, run_id, Report(RunStatus.RUNNING))
    measured = await store.get_measurements(unit.tx, run_id) or Measurements()
    if key is None or not measured.has_key(key):
        await store.merge_push(unit.tx, run_id, measured, push, unit.now // SECOND)
    metrics_now = summarize(measured, run_duration_s(run, measured))
    return await lifecycle.heartbeat(unit, run_id, metrics_now)


async def get_measurements(tx: Transaction, run: Run) -> Measurements | None:
    """Returns the stored measurements of ``run``; None: there are none."""
    return await store.get_measurements(tx, run.id)


async def get_timeline(tx: Transaction, run: Run) -> list[Sample]:
    """Returns the timeline of ``run``, oldest first."""
    return await store.get_timeline(tx, run.id)


async def compare_with_earlier(tx: Transaction, run: Run) -> RunComparison | None:
    """Compares the run with the last completed one of its test; None if there is nothing to compare."""
    if not run.status.is_complete:
        return None
    earlier = await find_previous_run(tx, run)
    comparisons = [] if earlier is None else metrics.compare_metrics(run.metrics, earlier.metrics)
    return None if earlier is None or not comparisons else RunComparison(earlier.id, comparisons)


def run_duration_s(run: Run, measured: Measurements | None, now: Micros | None = None) -> float | None:
    """Returns the run's seconds by our clock, if its source began and ended it, or ends it ``now``; else None.

    Tools compute rates by this time; whole periods only approximate it.
    """
    ended = run.ended_at if run.ended_by is EndedBy.REPORT else now
    if measured is None or not measured.announced or run.started_at is None or ended is None:
        return None
    return (ended - run.started_at) / SECOND


def summarize(measured: Measurements, duration_s: float | None = None) -> dict[str, float]:
    """Returns the metrics of the run so far, by the names of ``domain/metrics.py``, without those not measured.

    ``duration_s``: see :func:`run_duration_s`.
    """
    totals, seconds = measured.totals, measured.measured_s(duration_s)
    requests = _sum(totals.get("http_reqs"))
    times, grpc, iterations = (totals.get(name) for name in TIMED)
    connecting, sessions = totals.get("ws_connecting"), totals.get("ws_session_duration")
    calls = _count(grpc)
    vus = totals.get("vus")
    values = {
        metrics.VUS: vus.greatest if isinstance(vus, Gauge) else None,
        metrics.REQUESTS: requests,
        metrics.REQUEST_RATE: requests / seconds if requests is not None and seconds else None,
        metrics.FAILED_RATE: _share(totals.get("http_req_failed")),
        metrics.P95: _percentile(times, 95),
        metrics.MEDIAN: _percentile(times, 50),
        metrics.P99: _percentile(times, 99),
        metrics.GRPC_REQUESTS: calls,
        metrics.GRPC_REQUEST_RATE: calls / seconds if calls is not None and seconds else None,
        metrics.GRPC_P95: _percentile(grpc, 95),
        metrics.GRPC_MEDIAN: _percentile(grpc, 50),
        metrics.GRPC_P99: _percentile(grpc, 99),
        metrics.WS_SESSIONS: _sum(totals.get("ws_sessions")),
        metrics.WS_CONNECTING_P95: _percentile(connecting, 95),
        metrics.WS_P95: _percentile(sessions, 95),
        metrics.WS_MEDIAN: _percentile(sessions, 50),
        metrics.WS_MESSAGES_SENT: _sum(totals.get("ws_msgs_sent")),
        metrics.WS_MESSAGES_RECEIVED: _sum(totals.get("ws_msgs_received")),
        metrics.ITERATIONS: _sum(totals.get("iterations")),
        metrics.CHECKS_RATE: _share(totals.get("checks")),
        metrics.RECEIVED: _sum(totals.get("data_received")),
        metrics.SENT: _sum(totals.get("data_sent")),
        metrics.ITERATION_P95: _percentile(iterations, 95),
        metrics.ITERATION_MEDIAN: _percentile(iterations, 50),
        metrics.ITERATION_P99: _percentile(iterations, 99),
        metrics.LEFT_OUT: measured.left_out or None,
    }
    return {name: round(value, 6) for name, value in values.items() if value is not None}


def judge_thresholds(
    measured: Measurements | None, verdicts: Mapping[str, Mapping[str, bool]], duration_s: float | None = None
) -> tuple[Threshold, ...]:
    """Adds the values to the tool's verdicts (selection → expression → whether it held)."""
    told = ((key, expression, ok) for key, of_key in verdicts.items() for expression, ok in of_key.items())
    return tuple(
        _threshold(measured, key, expression, ok=ok, duration_s=duration_s)
        for key, expression, ok in islice(told, MAX_THRESHOLDS)
    )


def judge_current_thresholds(measured: Measurements) -> tuple[Threshold, ...]:
    """Judges the run's thresholds by the values so far; those without a value are left out."""
    found = []
    for key, expressions in measured.thresholds.items():
        for expression in expressions:
            criterion, value = parse_expression(expression), measured.value_of(key, expression)
            if criterion is not None and value is not None:
                found.append(_threshold(measured, key, expression, ok=criterion.holds(value)))
    return tuple(found)


def describe_failed_checks(measured: Measurements | None) -> str | None:
    """Returns a sentence that names the failed checks; None if none failed."""
    failed = [] if measured is None else failed_checks(measured)
    if not failed:
        return None
    items = [f"{_short(name)} ({misses:,} of {total:,})" for name, misses, total in failed[:_MAX_FAILED_CHECKS]]
    more = len(failed) - len(items)
    return f"Failed checks: {', '.join(items)}{f' and {more} more' if more else ''}."


def _threshold(
    measured: Measurements | None, key: str, expression: str, *, ok: bool, duration_s: float | None = None
) -> Threshold:
    value = None if measured is None else measured.value_of(key, expression, duration_s)
    criterion = parse_expression(expression)
    timed = criterion is not None and criterion.aggregation not in {"count", "rate"}
    unit = "ms" if timed and _TIMES.fullmatch(parse_selection(key).metric) else None
    is_empty = value is None and measured is not None and measured.is_empty_metric(key)
    text = f"{key[:MAX_THRESHOLD_LENGTH]}: {expression}"[:MAX_THRESHOLD_LENGTH]
    return Threshold(text, ok, None if value is None else round(value, 6), unit, is_empty)


def _limit_thresholds(thresholds: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    room = MAX_THRESHOLDS
    values: dict[str, list[str]] = {}
    for key, expressions in thresholds.items():
        fitting = (
            text for text in expressions if len(text) <= MAX_EXPRESSION_LENGTH and len(key) <= MAX_SELECTION_LENGTH
        )
        items = list(islice(fitting, room))
        room -= len(items)
        if items:
            values[key] = items
    return values


def _count(total: Total | None) -> float | None:
    return float(total.histogram.count) if isinstance(total, Trend) else None


def _sum(total: Total | None) -> float | None:
    return total.sum if isinstance(total, Counter) else None


def _share(total: Total | None) -> float | None:
    return total.share if isinstance(total, Rate) else None


def _percentile(total: Total | None, percent: float) -> float | None:
    return total.histogram.percentile(percent) if isinstance(total, Trend) else None


def _short(name: str) -> str:
    text = name.replace("\x00", "\ufffd")  # PostgreSQL can't store it in a text
    return text if len(text) <= _MAX_CHECK_LENGTH else f"{text[:_MAX_CHECK_LENGTH]}…"
