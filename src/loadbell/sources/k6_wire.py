"""
Counts the parts of a push of version 2 on its bytes, before any object is created.

A message of a few hundred KiB may contain millions of empty messages, and protobuf allocates memory for each. So the
repeated parts are counted first: metrics, series, labels, values and the spans of histograms. Every skipped field
counts, too, so that the same number bounds the work. Errors inside of a part are left to protobuf.
"""

from collections.abc import Mapping

MAX_MESSAGES = 30_000
"""Metrics and series of one push, with their lists of values and histograms. k6 sends some 3,000 at a time."""

MAX_PARTS = 150_000
"""All repeated parts of one push. 1,000 series of histograms have 50,000."""

MAX_COUNTERS = 200_000
"""Bytes of all counters of the histograms of one push."""

MAX_TEXT_SIZE = 2 * 2**20
"""Bytes of all names and labels of one push; as text each may take four times that in memory."""

_MORE = 0x80  # bytes of a number from this on are followed by another
_MAX_VARINT_SIZE = 10
_MAX_UINT32 = 2**32 - 1  # tag or length
_OF_LENGTH = 2  # the kind of field with a length before it
_LENGTHS = {1: 8, 5: 4}  # of the kinds with a fixed one
_BOUNDED = {"text": MAX_TEXT_SIZE, "counters": MAX_COUNTERS, "messages": MAX_MESSAGES}

# The content of a field, by level and number; others are skipped.
_LEVELS: Mapping[str, Mapping[int, str]] = {
    "MetricSet": {3: "Metric"},
    "Metric": {1: "text", 3: "TimeSeries"},
    "TimeSeries": {1: "text", 2: "Samples", 3: "Samples", 4: "Samples", 5: "TrendHdrSamples"},
    "Samples": {},
    "TrendHdrSamples": {1: "TrendHdrValue"},
    "TrendHdrValue": {2: "counters"},
}


class TooManyParts(Exception):  # noqa: N818 - reads as what it is
    """The message has more parts than allowed."""


class NotWire(ValueError):  # noqa: N818 - reads as what it is
    """The bytes are not protobuf's wire format."""


def check_size(message: bytes) -> None:
    """Checks that ``message``, a ``MetricSet``, is small enough to be parsed.

    Raises:
        TooManyParts: it exceeds one of the limits above.
        NotWire: it is not in protobuf's wire format.
    """
    _Walker(message).walk(0, len(message), "MetricSet")


class _Walker:
    """Counts down the parts that are still allowed."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._parts = MAX_PARTS
        self._room = dict(_BOUNDED)

    def walk(self, at: int, end: int, level: str) -> None:
        """Counts the fields from ``at`` to ``end``; recursion is as deep as the levels."""
        message, below = self._message, _LEVELS[level]
        while at < end:
            self._parts -= 1
            if self._parts < 0:
                raise TooManyParts
            tag, at = (message[at], at + 1) if message[at] < _MORE else self._varint(at, end, _MAX_UINT32)
            kind = tag & 7
            if kind == _OF_LENGTH:
                length, at = (
                    (message[at], at + 1) if at < end and message[at] < _MORE else self._varint(at, end, _MAX_UINT32)
                )
                if length > end - at:
                    raise NotWire
                inner = below.get(tag >> 3)
                if inner is not None:
                    self._look_inside(inner, at, length)
                at += length
            elif kind == 0:
                _, at = self._varint(at, end)
            else:
                at += _LENGTHS.get(kind, end + 1)  # groups, which k6 never sends, end beyond the message
        if at > end:
            raise NotWire

    def _look_inside(self, what: str, at: int, length: int) -> None:
        """Counts the parts of a nested message, or the bytes of another field."""
        counted = length if what in self._room else 1
        room = what if what in self._room else "messages"
        self._room[room] -= counted
        if self._room[room] < 0:
            raise TooManyParts
        if what in _LEVELS:
            self.walk(at, at + length, what)

    def _varint(self, at: int, end: int, largest: int = 2**70) -> tuple[int, int]:
        value = 0
        for shift in range(min(_MAX_VARINT_SIZE, end - at)):
            byte = self._message[at + shift]
            value |= (byte & 0x7F) << (7 * shift)
            if byte < _MORE and value <= largest:
                return value, at + shift + 1
        raise NotWire
