"""
Parses k6's metric pushes.

Version 2 (k6 since 0.48) is a protobuf message ``MetricSet`` in snappy's block format; version 1 (k6 up to 0.47) is a
list of samples as JSON in gzip. The schema is that of grafana/k6, ``output/cloud/expv2/pbcloud``, with only the fields
that are used; protobuf skips the others.

A value that can't be counted becomes a point without a value; the rest of the push still counts.
"""

import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import cramjam
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from loadbell.domain.histograms import RESOLUTION, Histogram, bucket_index
from loadbell.domain.measurements import (
    Counter,
    Gauge,
    Point,
    Rate,
    Total,
    Trend,
    metrics_with_labels,
    metrics_with_percentiles,
)
from loadbell.sources.k6_wire import NotWire, TooManyParts, check_size

MAX_PUSH_SIZE = 8 * 2**20
"""Bytes of an unpacked push. k6's largest, 1,000 series of histograms, have about one million."""

MAX_POINTS = 20_000
"""Points of one push."""

MAX_PERIOD_S = 3600
"""Seconds that a point may cover; k6 aggregates over 3."""

MAX_TEXT_SIZE = 8 * 2**20
"""Bytes of an unpacked push of version 1; as text it takes several times that in memory."""

MAX_BUCKETS = 8192
"""Buckets of a histogram; the last ones hold values of about 2 ** 60."""

MAX_JSON_PARTS = 300_000
"""Objects, lists and commas of a push of version 1."""

_MAX_COUNT = 2**53
_MAX_TIME_S = 2**40  # seconds since 1970, far beyond any clock
_MAX_TIME_DIGITS = 20  # digits
_NO_NUMBER = re.compile(rb":[ ]?(?:NaN|[+-]?Inf(?:inity)?)")
"""NaN and infinite values as k6 up to 0.47 writes them, which isn't JSON."""

_UNCOUNTABLE = b":9e99"
_NOT_JSON = "the metrics are not JSON of k6's format"
_NO_LABELS: Mapping[str, str] = {}
_SKIPPED_TAGS = frozenset({"vu", "iter"})


class BadPush(ValueError):  # noqa: N818 - reads as what it is
    """The push can't be parsed; the message says why."""


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


def read_protobuf(packed: bytes, asked: Iterable[str] | None = None) -> tuple[list[Point], int]:
    """Returns the points of a push of version 2, and how many seconds each covers.

    ``asked``: the thresholds, to skip unused trends and labels. None: unknown, so nothing is skipped.

    Raises:
        BadPush: it isn't one.
    """
    message = _decompress_snappy(packed)
    try:
        check_size(message)
        read = _MetricSet.FromString(message)
    except TooManyParts:
        raise BadPush(_too_many("K6_CLOUD_MAX_TIME_SERIES_IN_BATCH")) from None
    except (NotWire, DecodeError):
        raise BadPush("the metrics are not a protobuf message of k6's format") from None
    points: list[Point] = []
    model = None if asked is None else (metrics_with_percentiles(asked), metrics_with_labels(asked))
    for metric in read.metrics:
        name = metric.name
        trends, labels = (True, True) if model is None else (name in model[0], name in model[1])
        for series in metric.time_series:
            its_labels = {label.name: label.value for label in series.labels} if labels else _NO_LABELS
            points.extend(_read_series(name, its_labels, series, trends=trends))
            if len(points) > MAX_POINTS:
                raise BadPush(_too_many("K6_CLOUD_MAX_TIME_SERIES_IN_BATCH"))
    return points, min(max(read.aggregation_period, 1), MAX_PERIOD_S)


def read_json(packed: bytes) -> list[Point]:
    """Returns the points of a push of version 1.

    Raises:
        BadPush: it isn't one.
    """
    text = _decompress_gzip(packed)
    if text.count(b",") + text.count(b"{") + text.count(b"[") > MAX_JSON_PARTS:  # at least as many as objects
        raise BadPush(_too_many("K6_CLOUD_MAX_METRIC_SAMPLES_PER_PACKAGE"))
    points: list[Point] = []
    for sample in _samples(text):
        points.extend(_read_sample(sample))
        if len(points) > MAX_POINTS:
            raise BadPush(_too_many("K6_CLOUD_MAX_METRIC_SAMPLES_PER_PACKAGE"))
    return points


def _samples(text: bytes) -> Iterable["_Sample"]:
    """Returns the samples of a push of version 1. A number that can't be parsed becomes one that can't be counted.

    Raises:
        BadPush: they are not JSON of k6's format.
    """
    try:
        return msgspec.json.decode(text, type=list[_Sample])
    except msgspec.DecodeError:
        pass
    except (UnicodeDecodeError, RecursionError):
        raise BadPush(_NOT_JSON) from None
    try:
        parts = msgspec.json.decode(_NO_NUMBER.sub(_UNCOUNTABLE, text), type=list[msgspec.Raw])
        return [_sample(part) for part in parts]
    except (ValueError, RecursionError):
        raise BadPush(_NOT_JSON) from None


def _sample(text: msgspec.Raw) -> "_Sample":
    """Parses one sample; a number too large for a float becomes infinite.

    Raises:
        ValueError: it isn't a sample.
    """
    try:
        return msgspec.json.decode(text, type=_Sample)
    except msgspec.ValidationError:
        return msgspec.convert(json.loads(bytes(text), parse_int=float), _Sample)


def _decompress_snappy(packed: bytes) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(packed) > MAX_PUSH_SIZE:
            raise BadPush(f"the metrics are larger than {MAX_PUSH_SIZE // 2**20} MiB")
        return bytes(cramjam.snappy.decompress_raw(packed))
    except cramjam.DecompressionError:
        raise BadPush("the metrics are not in snappy's block format, or were cut off") from None


def _decompress_gzip(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(packed, MAX_TEXT_SIZE)
    except zlib.error:
        raise BadPush("the metrics are not in gzip's format") from None
    if unpacker.unconsumed_tail:
        raise BadPush(f"the metrics are larger than {MAX_TEXT_SIZE // 2**20} MiB")
    if not unpacker.eof:
        raise BadPush("the metrics were cut off")
    return text


def _read_series(metric: str, labels: Mapping[str, str], series: Any, *, trends: bool) -> Iterator[Point]:
    for kind, samples in series.ListFields():
        read = _READ.get(kind.name)
        if read is None or (kind.name == _TRENDS and not trends):
            continue
        for one in samples.values:
            yield _point(metric, labels, one.time.seconds, read(one))


def _point(metric: str, labels: Mapping[str, str], at: int, value: Total | None) -> Point:
    """Returns a point, without a value if it has no name or no time."""
    fits = metric and 0 <= at <= _MAX_TIME_S
    return Point(metric, labels, at, value if fits else None)


def _counter(value: float) -> Counter | None:
    return Counter(value) if 0 <= value <= _MAX_COUNT else None


def _rate(value: Any) -> Rate | None:
    return Rate(value.nonzero_count, value.total_count) if value.nonzero_count <= value.total_count else None


def _trend(value: Any) -> Trend | None:
    histogram = _histogram(value)
    return None if histogram is None else Trend(histogram)


def _gauge(at: int, *values: float) -> Gauge | None:
    """Returns a gauge of the last, the least and the greatest value."""
    if not all(_is_finite(value) for value in values):
        return None
    last, *extremes = values
    # Before k6 2.0.0 the least and the greatest were swapped (grafana/k6#5786).
    return Gauge(at, last, min(extremes), max(extremes))


def _histogram(value: Any) -> Histogram | None:
    """Returns the histogram; None if it contradicts itself, or its resolution isn't k6's."""
    least, greatest, total = value.min, value.max, value.sum
    if not math.isclose(value.min_resolution, RESOLUTION) or not all(map(_is_finite, (least, greatest, total))):
        return None
    buckets = _buckets(value)
    if buckets is None:
        return None
    # Values without a bucket are negative or very large; only the end at which they lie is known.
    histogram = Histogram(buckets, sum(buckets.values()), total, least, greatest)
    for count, at in ((value.extra_low_values_counter, least), (value.extra_high_values_counter, greatest)):
        if count:
            only = bucket_index(at)
            histogram.buckets[only] = histogram.buckets.get(only, 0) + count
            histogram.count += count
    return histogram if histogram.count == value.count else None


def _buckets(value: Any) -> dict[int, int] | None:
    """Returns the counters by bucket. A span has the number of buckets to skip before it, and its own.

    None: the spans go beyond any value, or have more buckets than counters.
    """
    counters = list(value.counters)
    if len(value.spans) > MAX_BUCKETS:
        return None
    buckets: dict[int, int] = {}
    taken = bucket = 0
    for span in value.spans:
        bucket += span.offset
        until = taken + span.length
        if bucket + span.length > MAX_BUCKETS or until > len(counters):
            return None
        for count in counters[taken:until]:
            if count:
                buckets[bucket] = count
            bucket += 1
        taken = until
    return buckets


_TRENDS = "trend_hdr_samples"
_READ: Mapping[str, Callable[[Any], Total | None]] = {
    "counter_samples": lambda one: _counter(one.value),
    "gauge_samples": lambda one: _gauge(one.time.seconds, one.last, one.min, one.max),
    "rate_samples": _rate,
    _TRENDS: _trend,
}
"""Parsers of the values, by kind of samples."""


class _Data(msgspec.Struct):
    time: str | float
    type: str
    tags: dict[str, Any] | None = None
    value: float | None = None
    values: dict[str, Any] | None = None


class _Sample(msgspec.Struct):
    type: str
    metric: str
    data: _Data


_RATES = frozenset({"http_req_failed", "checks"})
_COUNTERS = frozenset({"http_reqs", "iterations", "data_sent", "data_received", "dropped_iterations"})


def _read_sample(sample: _Sample) -> Iterator[Point]:
    data = sample.data
    time, tags = str(data.time), data.tags or {}
    is_time = time.isascii() and time.isdecimal() and len(time) <= _MAX_TIME_DIGITS
    at = int(time) // 1_000_000 if is_time else -1
    labels = {name: text for name, text in tags.items() if isinstance(text, str) and name not in _SKIPPED_TAGS}
    if data.values is None:
        if data.value is not None:  # else it is k6's own aggregate, which newer releases send as version 2
            yield _point(sample.metric, labels, at, _total(data.type, at, data.value))
        return
    for name, value in data.values.items():  # several metrics of one request or iteration
        kind = "rate" if name in _RATES else "counter" if name in _COUNTERS else "trend"
        yield _point(name, labels, at, _total(kind, at, value))


def _total(kind: str, at: int, value: Any) -> Total | None:
    if not isinstance(value, int | float):
        return None
    match kind:
        case "counter":
            return _counter(value)
        case "gauge":
            return _gauge(at, value, value, value)
        case "rate" if _is_finite(value):
            return Rate(int(value != 0), 1)
        case "trend" if _is_finite(value):
            histogram = Histogram()
            histogram.add(value)
            return Trend(histogram)
        case _:
            return None


def _is_finite(value: float) -> bool:
    """Whether ``value`` can be counted; for NaN the comparison is false."""
    return abs(value) <= _MAX_COUNT


def _too_many(setting: str) -> str:
    return f"a push may hold {MAX_POINTS:,} points, with all that belongs to them; lower {setting}"
