"""Pushes as k6 makes them, from figures that a test chooses."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cramjam

from loadbell.domain.histograms import RESOLUTION, Histogram
from loadbell.sources.k6_points import _MetricSet

LABELS = {"scenario": "default", "group": "", "method": "GET", "status": "200", "expected_response": "true"}


def push(  # noqa: PLR0913 - the figures of one moment
    at: int,
    *,
    vus: int = 1,
    times: Sequence[float] = (),
    failed: int = 0,
    checks: Mapping[str, tuple[int, int]] | None = None,
    labels: Mapping[str, str] = LABELS,
    period: int = 3,
    http: bool = True,
) -> bytes:
    """What k6 says of the ``period`` that began ``at``: response times in ms, of which ``failed`` requests failed."""
    said = _MetricSet(test_run_id="1", aggregation_period=period)
    count = len(times)
    for name, kind, value in (
        ("vus", "gauge", vus),
        ("http_reqs", "counter", count),
        ("iterations", "counter", count),
        ("data_received", "counter", 1000 * count),
        ("data_sent", "counter", 100 * count),
        ("http_req_failed", "rate", (failed, count)),
        ("http_req_duration", "trend", times),
        ("iteration_duration", "trend", times),
    ):
        if (count or kind == "gauge") and (http or not name.startswith("http")):
            _add(_series(said, name, labels if kind != "gauge" else {}), at, kind, value)
    for check, told in (checks or {}).items():
        _add(_series(said, "checks", {**labels, "check": check}), at, "rate", told)
    return compress(said)


def compress(said: Any) -> bytes:
    """A message as it goes over the wire."""
    return bytes(cramjam.snappy.compress_raw(said.SerializeToString()))


def empty() -> Any:
    """A message without metrics."""
    return _MetricSet(test_run_id="1", aggregation_period=3)


def _series(said: Any, name: str, labels: Mapping[str, str]) -> Any:
    series = said.metrics.add(name=name).time_series.add()
    for label, text in labels.items():
        series.labels.add(name=label, value=text)
    return series


def _add(series: Any, at: int, kind: str, value: Any) -> None:
    time = {"seconds": at}
    match kind:
        case "counter":
            series.counter_samples.values.add(time=time, value=value)
        case "gauge":
            series.gauge_samples.values.add(time=time, last=value, count=1, min=value, max=value)
        case "rate":
            series.rate_samples.values.add(time=time, nonzero_count=value[0], total_count=value[1])
        case "trend":
            trend(series, at, value)


def trend(series: Any, at: int, values: Iterable[float]) -> Any:
    """Adds a histogram of ``values``, as k6 makes it, to ``series``."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    sample = series.trend_hdr_samples.values.add(
        time={"seconds": at}, sum=histogram.sum, count=histogram.count, min=histogram.least, max=histogram.greatest,
        min_resolution=RESOLUTION,
    )  # fmt: skip
    end = 0
    for bucket in sorted(histogram.buckets):
        sample.counters.append(histogram.buckets[bucket])
        sample.spans.add(offset=bucket - end, length=1)
        end = bucket + 1
    return sample
