"""Pushes that cost as much as a push can: made of few bytes, of many parts, of long texts. All are of one run."""

import gzip
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import cramjam

from loadbell.sources.k6_points import MAX_PUSH_SIZE, MAX_TEXT_SIZE

AT = 1_800_000_000
THRESHOLDS = tuple(f"http_req_duration{{a:{number},b:1}}" for number in range(50)) + tuple(
    f"m{number}{{a:1}}" for number in range(50)
)
"""Selections that a run asks for, so that labels and histograms are read."""


def field(number: int, content: bytes) -> bytes:
    """A field of a given length, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A number, as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def compress(message: bytes) -> bytes:
    """A push of version 2."""
    return bytes(cramjam.snappy.compress_raw(message))


def metric(content: bytes, name: bytes = b"http_req_duration") -> bytes:
    """A push of one metric."""
    return compress(field(3, field(1, name) + content))


def label(number: int, value: str = "1") -> bytes:
    """A label of a series."""
    return field(1, field(1, chr(97 + number % 26).encode()) + field(2, value.encode()))


TIME = field(1, varint(8) + varint(AT))
COUNTER = field(2, field(1, TIME + varint(2 << 3 | 1) + b"\x00" * 6 + b"\xf0\x3f"))
RATE = field(4, field(1, TIME + varint(2 << 3) + b"\x00" + varint(3 << 3) + b"\x01"))


def histogram(buckets: int, spans: int) -> bytes:
    """A series of one histogram of so many buckets, each with one value, in so many spans."""
    each = buckets // spans
    packed = field(2, b"\x01" * buckets)
    gaps = field(3, varint(8) + b"\x01" + varint(16) + varint(each)) * spans
    doubles = b"".join(varint(number << 3 | 1) + value for number, value in ((5, ONE), (7, ONE), (8, ONE), (11, MILLI)))
    return field(5, field(1, TIME + packed + gaps + doubles + varint(6 << 3) + varint(each * spans)))


ONE = b"\x00" * 6 + b"\xf0\x3f"
MILLI = b"\xfc\xa9\xf1\xd2\x4d\x62\x50\x3f"


def _fill(part: bytes) -> bytes:
    return part * ((MAX_PUSH_SIZE - 100) // len(part))


def _sample(**changes: Any) -> dict[str, Any]:
    data = {"time": f"{AT}000000", "type": "counter", "value": 1, **changes}
    return {"type": "Point", "metric": "http_reqs", "data": data}


def _texts(part: str) -> bytes:
    return gzip.compress(f"[{','.join([part] * (MAX_TEXT_SIZE // (len(part) + 1) - 1))}]".encode(), 1)


def _pack(sample: dict[str, Any], times: int) -> bytes:
    return gzip.compress(json.dumps([sample] * times, separators=(",", ":"), ensure_ascii=False).encode(), 1)


WORST: Mapping[str, tuple[int, Callable[[], bytes]]] = {
    "empty metrics": (2, lambda: compress(_fill(field(3, b"")))),
    "empty series": (2, lambda: metric(_fill(field(3, b"")))),
    "empty labels": (2, lambda: metric(field(3, _fill(field(1, b""))))),
    "empty values": (2, lambda: metric(field(3, field(2, _fill(field(1, b"")))))),
    "empty spans": (2, lambda: metric(field(3, field(5, field(1, _fill(field(3, b""))))))),
    "counters": (2, lambda: metric(field(3, field(5, field(1, field(2, _fill(b"\x01"))))))),
    "counters, not packed": (2, lambda: metric(field(3, field(5, field(1, _fill(b"\x10\x01")))))),
    "unknown fields": (2, lambda: compress(_fill(b"\x78\x01"))),
    "unknown fields of a series": (2, lambda: metric(field(3, _fill(b"\x78\x01")))),
    "groups": (2, lambda: compress(_fill(b"\x7b\x7c"))),
    "most empty series": (2, lambda: metric(field(3, b"") * 29_900)),
    "most series": (2, lambda: metric(field(3, label(0) + COUNTER) * 14_900)),
    "most values": (2, lambda: metric(field(3, field(2, field(1, TIME + b"\x11" + ONE)) * 19_900))),
    "most labels": (
        2, lambda: metric(field(3, b"".join(label(n) for n in range(26)) + COUNTER) * 5_000),
    ),
    "most checks": (
        2,
        lambda: metric(
            b"".join(field(3, field(1, field(1, b"check") + field(2, b"%d" % n)) + RATE) for n in range(14_900)),
            b"checks",
        ),
    ),
    "series of each selection": (
        2, lambda: metric(b"".join(field(3, label(0, str(n % 50)) + label(1) + COUNTER) for n in range(14_900))),
    ),
    "one text": (2, lambda: metric(field(3, field(1, field(2, "é🔔".encode() + b"x" * (2**21 - 100))) + COUNTER))),
    "long texts": (
        2,
        lambda: metric(
            field(3, field(1, field(1, b"check") + field(2, "🔔".encode() + b"x" * 990)) + RATE) * 2_000, b"checks"
        ),
    ),
    "metrics by name": (
        2, lambda: compress(b"".join(field(3, field(1, b"%d" % n) + field(3, COUNTER)) for n in range(9_900))),
    ),
    "wide histograms": (2, lambda: metric(field(3, histogram(8_000, 1)) * 24)),
    "histograms of gaps": (2, lambda: metric(field(3, histogram(7_000, 7_000)) * 18)),
    "wide histograms of many metrics": (
        2, lambda: compress(
            b"".join(
                field(3, field(1, b"m%d" % n) + field(3, label(0) + histogram(3_900, 1))) for n in range(50)
            )
        ),
    ),
    "small histograms": (2, lambda: metric(field(3, histogram(5, 1)) * 9_900)),
    "noise that can't be packed": (
        2, lambda: metric(field(3, field(15, random.Random(6).randbytes(MAX_PUSH_SIZE // 2)))),
    ),
    "JSON of empty objects": (1, lambda: _texts("{}")),
    "JSON of empty lists": (1, lambda: _texts("[]")),
    "JSON of numbers": (1, lambda: _texts("1")),
    "JSON, nested": (1, lambda: gzip.compress(b"[" * (MAX_TEXT_SIZE - 1), 1)),
    "JSON of samples": (1, lambda: _texts(json.dumps(_sample(), separators=(",", ":")))),
    "JSON of most samples": (
        1, lambda: _pack(_sample(), 14_900),
    ),
    "JSON of tags": (
        1, lambda: _pack(_sample(tags={str(n): "🔔" for n in range(200)}), 1_400),
    ),
    "JSON of most values": (
        1, lambda: _pack(_sample(value=None, values={str(n): n for n in range(200)}), 99),
    ),
    "JSON of one text": (
        1, lambda: _pack(_sample(tags={"a": "🔔" + "x" * (MAX_TEXT_SIZE - 200)}), 1),
    ),
    "JSON of long times": (1, lambda: _texts(json.dumps(_sample(time="9" * 4_000)))),
    "JSON of most samples with infinite values": (
        1, lambda: gzip.compress(gzip.decompress(_pack(_sample(value=0.125), 14_900)).replace(b"0.125", b"+Inf"), 1),
    ),
    "JSON of most samples with values beyond measure": (
        1, lambda: gzip.compress(gzip.decompress(_pack(_sample(value=0.125), 14_900)).replace(b"0.125", b"1e400"), 1),
    ),
    "JSON of long numbers": (
        1, lambda: gzip.compress(gzip.decompress(_pack(_sample(value=0.125), 8)).replace(b"0.125", b"9" * 10**6), 1),
    ),
    "JSON of objects for values": (
        1, lambda: gzip.compress(
            gzip.decompress(_pack(_sample(value=0.125, values={"a": [{}] * 140_000, "b": 0.5}), 1))
            .replace(b"0.125", b"1e400"), 1
        ),
    ),
    "gzip of nothing": (1, lambda: gzip.compress(b" " * 100_000_000, 1)),
}  # fmt: skip
"""By what is large in it: the version of the protocol, and the push."""
