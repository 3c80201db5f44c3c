"""
k6's metric pushes, read.

Version 2 (k6 since 0.48) is a protobuf message ``MetricSet`` in snappy's block format; version 1 (k6 up to 0.47) is a
list of samples as JSON in gzip. The schema is that of grafana/k6, ``output/cloud/expv2/pbcloud``; only what is read
here is described. What is not described is skipped, as protobuf does.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cramjam
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from loadbell.domain.histograms import RESOLUTION, Histogram
from loadbell.domain.measurements import Counter, Gauge, Point, Rate, Total, Trend, looked_at

LARGEST_PUSH = 16 * 2**20
"""Bytes that a push may have once it is unpacked. k6's largest, 1,000 series of histograms, have about one million."""

MOST_POINTS = 50_000
"""Points that one push may hold."""

LONGEST_PERIOD = 3600
"""Seconds that a point may speak of; k6 aggregates over 3."""

LARGEST_TEXT = 8 * 2**20
"""Bytes that a push of version 1 may have once it is unpacked; as text it takes several times that in memory."""

MOST_BUCKETS = 8192
"""Buckets of a histogram; the last ones hold values of about 2 ** 60."""

_LARGEST_COUNT = 2**53
_LATEST = 2**40  # seconds since 1970, far beyond any clock
_SKIPPED_TAGS = frozenset({"vu", "iter"})


class BadPush(ValueError):  # noqa: N818 - reads as what it is
    """The push can't be read; the message says what is wrong with it."""


# Fields by message: name, number, kind; a kind in capitals is another message, one with "*" is repeated.
_SCHEMA: Mapping[str, tuple[tuple[str, int, str], ...]] = {
    "Timestamp": (("seconds", 1, "int64"),),
    "Label": (("name", 1, "string"), ("value", 2, "string")),
    "Span": (("offset", 1, "uint32"), ("length", 2, "uint32")),
    "CounterValue": (("time", 1, "Timestamp"), ("value", 2, "double")),
    "GaugeValue": (
        ("time", 1, "Timestamp"),
        ("last", 2, "double"),
        ("count", 3, "uint32"),
        ("min", 4, "double"),
        ("max", 5, "double"),
    ),
    "RateValue": (("time", 1, "Timestamp"), ("nonzero_count", 2, "uint32"), ("total_count", 3, "uint32")),
    "TrendHdrValue": (
        ("time", 1, "Timestamp"),
        ("counters", 2, "uint32*"),
        ("spans", 3, "Span*"),
        ("sum", 5, "double"),
        ("count", 6, "uint32"),
        ("min", 7, "double"),
        ("max", 8, "double"),
        ("extra_low_values_counter", 9, "uint32"),
        ("extra_high_values_counter", 10, "uint32"),
        ("min_resolution", 11, "double"),
    ),
    "CounterSamples": (("values", 1, "CounterValue*"),),
    "GaugeSamples": (("values", 1, "GaugeValue*"),),
    "RateSamples": (("values", 1, "RateValue*"),),
    "TrendHdrSamples": (("values", 1, "TrendHdrValue*"),),
    "TimeSeries": (
        ("labels", 1, "Label*"),
        ("counter_samples", 2, "CounterSamples"),
        ("gauge_samples", 3, "GaugeSamples"),
        ("rate_samples", 4, "RateSamples"),
        ("trend_hdr_samples", 5, "TrendHdrSamples"),
    ),
    "Metric": (("name", 1, "string"), ("type", 2, "int32"), ("time_series", 3, "TimeSeries*")),
    "MetricSet": (("test_run_id", 1, "string"), ("aggregation_period", 2, "uint32"), ("metrics", 3, "Metric*")),
}


def _message(name: str) -> Any:
    package = "loadbell.k6"
    file = descriptor_pb2.FileDescriptorProto(name="loadbell/k6.proto", package=package, syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for field, number, kind in fields:
            repeated, single = kind.endswith("*"), kind.rstrip("*")
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            made = described.field.add(name=field, number=number, label=label)
            if single in _SCHEMA:
                made.type, made.type_name = kinds.TYPE_MESSAGE, f".{package}.{single}"
            else:
                made.type = kinds.Type.Value(f"TYPE_{single.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


_MetricSet = _message("MetricSet")


def points_of_protobuf(packed: bytes, asked: Iterable[str] | None = None) -> tuple[list[Point], int]:
    """The points of a push of version 2, and how many seconds each speaks of.

    Of trends there are only those that somebody looks at; ``asked``: the thresholds, None: not known, so all of them.

    Raises:
        BadPush: it is not one.
    """
    try:
        read = _MetricSet.FromString(_unsnapped(packed))
    except DecodeError:
        raise BadPush("the metrics are not a protobuf message of k6's format") from None
    points: list[Point] = []
    wanted = None if asked is None else looked_at(asked)
    if len(read.metrics) > MOST_POINTS or sum(len(metric.time_series) for metric in read.metrics) > MOST_POINTS:
        raise BadPush(_too_many())
    for metric in read.metrics:
        if not metric.name:
            raise BadPush("a metric has no name")
        trends = wanted is None or metric.name in wanted
        for series in metric.time_series:
            labels = {label.name: label.value for label in series.labels}
            points.extend(_points_of_series(metric.name, labels, series, trends=trends))
            if len(points) > MOST_POINTS:
                raise BadPush(_too_many())
    return points, min(max(read.aggregation_period, 1), LONGEST_PERIOD)


def points_of_json(packed: bytes) -> list[Point]:
    """The points of a push of version 1.

    Raises:
        BadPush: it is not one.
    """
    try:
        samples = msgspec.json.decode(_gunzipped(packed), type=list[_Sample])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadPush("the metrics are not JSON of k6's format") from None
    if len(samples) > MOST_POINTS:
        raise BadPush(_too_many())
    points: list[Point] = []
    for sample in samples:
        points.extend(_points_of_sample(sample))
        if len(points) > MOST_POINTS:
            raise BadPush(_too_many())
    return points


def _unsnapped(packed: bytes) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(packed) > LARGEST_PUSH:
            raise BadPush(f"the metrics are larger than {LARGEST_PUSH // 2**20} MiB")
        return bytes(cramjam.snappy.decompress_raw(packed))
    except cramjam.DecompressionError:
        raise BadPush("the metrics are not in snappy's block format, or were cut off") from None


def _gunzipped(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(packed, LARGEST_TEXT)
    except zlib.error:
        raise BadPush("the metrics are not in gzip's format") from None
    if unpacker.unconsumed_tail:
        raise BadPush(f"the metrics are larger than {LARGEST_TEXT // 2**20} MiB")
    if not unpacker.eof:
        raise BadPush("the metrics were cut off")
    return text


def _points_of_series(metric: str, labels: Mapping[str, str], series: Any, *, trends: bool) -> Iterator[Point]:
    for one in series.counter_samples.values:
        yield Point(metric, labels, _moment(one.time.seconds), Counter(_finite(one.value)))
    for one in series.gauge_samples.values:
        # Before k6 2.0.0 the least and the greatest stood in each other's place (grafana/k6#5786).
        least, greatest = sorted((_finite(one.min), _finite(one.max)))
        at = _moment(one.time.seconds)
        yield Point(metric, labels, at, Gauge(at, _finite(one.last), least, greatest))
    for one in series.rate_samples.values:
        if one.nonzero_count > one.total_count:
            raise BadPush(f"{_named(metric)}: more values are not zero than there are values")
        yield Point(metric, labels, _moment(one.time.seconds), Rate(one.nonzero_count, one.total_count))
    for one in series.trend_hdr_samples.values if trends else ():
        yield Point(metric, labels, _moment(one.time.seconds), Trend(_histogram(metric, one)))


def _histogram(metric: str, value: Any) -> Histogram:
    if not math.isclose(value.min_resolution, RESOLUTION):
        raise BadPush(f"{_named(metric)}: its histogram's resolution is {value.min_resolution:g}, not {RESOLUTION:g}")
    buckets = _buckets(metric, value)
    least, greatest = _finite(value.min), _finite(value.max)
    # What k6 could not put into a bucket is negative or very large; it is known only that it lies at an end.
    histogram = Histogram(buckets, sum(buckets.values()), _finite(value.sum), least, greatest)
    for count, at in ((value.extra_low_values_counter, least), (value.extra_high_values_counter, greatest)):
        if count:
            outside = Histogram()
            outside.add(at)
            only = next(iter(outside.buckets))
            histogram.buckets[only] = histogram.buckets.get(only, 0) + count
            histogram.count += count
    if histogram.count != value.count:
        raise BadPush(f"{_named(metric)}: its histogram counts {histogram.count} values, not {value.count}")
    return histogram


def _buckets(metric: str, value: Any) -> dict[int, int]:
    """The counters by bucket. A span says how many buckets are passed over before it, and how many it has."""
    counters = value.counters
    if len(value.spans) > MOST_BUCKETS:
        raise BadPush(f"{_named(metric)}: its histogram has too many gaps")
    buckets: dict[int, int] = {}
    taken = bucket = 0
    for span in value.spans:
        bucket += span.offset
        until = taken + span.length
        if bucket + span.length > MOST_BUCKETS:
            raise BadPush(f"{_named(metric)}: its histogram has buckets beyond any value")
        if until > len(counters):
            raise BadPush(f"{_named(metric)}: its histogram names more buckets than it counts")
        for count in counters[taken:until]:
            if count:
                buckets[bucket] = count
            bucket += 1
        taken = until
    return buckets


class _Data(msgspec.Struct):
    time: str
    type: str
    tags: dict[str, str] | None = None
    value: float | None = None
    values: dict[str, float] | None = None
    count: int | None = None


class _Sample(msgspec.Struct):
    type: str
    metric: str
    data: _Data


_RATES = frozenset({"http_req_failed", "checks"})
_COUNTERS = frozenset({"http_reqs", "iterations", "data_sent", "data_received", "dropped_iterations"})


def _points_of_sample(sample: _Sample) -> Iterator[Point]:
    data = sample.data
    try:
        micros = int(data.time)
    except ValueError:
        raise BadPush(f"{_named(sample.metric)}: its time is not a number of microseconds") from None
    at = _moment(micros // 1_000_000)
    labels = {name: value for name, value in (data.tags or {}).items() if name not in _SKIPPED_TAGS}
    if data.values is None:
        if data.value is None:
            return  # an aggregate of k6's own, which newer versions send as version 2
        yield Point(sample.metric, labels, at, _total(data.type, at, _finite(data.value)))
        return
    for name, value in data.values.items():  # several metrics of one request or iteration
        kind = "rate" if name in _RATES else "counter" if name in _COUNTERS else "trend"
        yield Point(name, labels, at, _total(kind, at, _finite(value)))


def _total(kind: str, at: int, value: float) -> Total:
    match kind:
        case "counter":
            return Counter(value)
        case "gauge":
            return Gauge(at, value, value, value)
        case "rate":
            return Rate(int(value != 0), 1)
        case "trend":
            histogram = Histogram()
            histogram.add(value)
            return Trend(histogram)
        case _:
            raise BadPush(f"{_named(kind)} is no kind of metric")


def _moment(seconds: int) -> int:
    if not 0 <= seconds <= _LATEST:
        raise BadPush(f"{str(seconds)[:40]} is no time in seconds since 1970")
    return seconds


def _finite(value: float) -> float:
    if not math.isfinite(value) or abs(value) > _LARGEST_COUNT:
        raise BadPush(f"{value:g} is no value that can be counted")
    return value


def _named(text: str) -> str:
    return repr(text[:100])


def _too_many() -> str:
    return f"a push may hold {MOST_POINTS:,} points; lower K6_CLOUD_MAX_TIME_SERIES_IN_BATCH"
